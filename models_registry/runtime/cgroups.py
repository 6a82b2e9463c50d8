"""Control groups, versions 1 and 2: the memory and process caps of one runner, and its weight in processor time.

Source: Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst and scheduler/sched-design-CFS.rst of the kernel.
"""

import errno
import itertools
import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

logger = logging.getLogger(__name__)

_OWNER = re.compile(r"^weighhouse-(\d+)-(\d+)-(\d+)-\d+$")
_sequence = itertools.count(1)
_FOREIGN_AGE_S = 600
# What one thread weighs that is in no group of its own (1), or in one that was given no weight (2).
_WEIGHT_OF_A_THREAD = {1: 1024, 2: 100}
# With much less than an eighth, what is light would not get ready at all on a machine that is never idle.
_LIGHT_WEIGHT = {1: 128, 2: 12}
_MOST_WEIGHT = {1: 2**18, 2: 10_000}


@dataclass(frozen=True)
class Group:
    """One runner's group: a directory in each hierarchy (one in version 2). `cpu` where that can be had too."""

    version: int
    memory: Path
    pids: Path
    cpu: Path | None = None

    @property
    def directories(self) -> tuple[Path, ...]:
        return _distinct(self.memory, self.pids, self.cpu)

    @property
    def join_files(self) -> tuple[Path, ...]:
        """Files into which a process writes its id to join."""
        return tuple(directory / "cgroup.procs" for directory in self.directories)

    def out_of_memory_kills(self) -> int:
        """How many of the group's processes the kernel ended for memory."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        for line in _read(self.memory / name).splitlines():
            key, _, value = line.partition(" ")
            if key == "oom_kill":
                return int(value)
        return 0

    def memory_used(self) -> int:
        """Bytes charged to the group, file pages that it brought in included."""
        name = "memory.usage_in_bytes" if self.version == 1 else "memory.current"
        try:
            # Read after each run: a file object with its decoder would take ten times as long.
            descriptor = os.open(f"{self.memory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return int(os.read(descriptor, 32))
            finally:
                os.close(descriptor)
        except (OSError, ValueError):
            return 0

    def weigh(self, threads: int) -> None:
        """Let all of the group's threads together weigh as much as so many; with 0, an eighth of one.

        It matters only while others want the processor too. Raises OSError.
        """
        if self.cpu is not None:
            weight = max(_LIGHT_WEIGHT[self.version], threads * _WEIGHT_OF_A_THREAD[self.version])
            name = "cpu.shares" if self.version == 1 else "cpu.weight"
            (self.cpu / name).write_text(str(min(weight, _MOST_WEIGHT[self.version])))

    def kill(self) -> None:
        """End every process of the group."""
        for join in self.join_files:
            for pid in _read(join).split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def remove(self, *, within_s: float = 2.0) -> None:
        """End what is left and remove the directories; a group that stays busy is left to the next sweep."""
        until = time.monotonic() + within_s
        for directory in self.directories:
            while not _removed(directory):
                if time.monotonic() > until:
                    logger.warning("control group %s is still busy", directory.name)
                    break
                self.kill()
                time.sleep(0.005)


@dataclass(frozen=True)
class Cgroups:
    """Where groups may be made. `version` is 1 or 2; `memory` and `pids` are parents (the same one in 2).

    `cpu` is the parent of the groups that give runners a weight, or None: they are not had everywhere.
    """

    version: int
    memory: Path
    pids: Path
    cpu: Path | None = None

    def create(self, *, memory_bytes: int, processes: int, threads: int = 1) -> Group:
        """A new, empty group with both caps and no swap, as heavy as `threads`. Raises OSError."""
        name = f"weighhouse-{_namespace()}-{os.getpid()}-{started_at(os.getpid())}-{next(_sequence)}"
        group = Group(self.version, self.memory / name, self.pids / name, self.cpu and self.cpu / name)
        try:
            for directory in group.directories:
                directory.mkdir()
            _limit(group, memory_bytes, processes)
            group.weigh(threads)
        except OSError:
            group.remove(within_s=0)
            raise
        return group

    def sweep(self) -> None:
        """Remove the empty groups of owners that no longer live."""
        namespace = _namespace()
        for parent in _distinct(self.memory, self.pids, self.cpu):
            for directory in parent.glob("weighhouse-*"):
                owner = _OWNER.match(directory.name)
                if owner is None:
                    continue
                # An owner in another process namespace (a former container) cannot be looked up: its groups go
                # when they are old. A group with processes stays in any case; the kernel sees to that.
                is_ours = int(owner[1]) == namespace
                is_stale = started_at(int(owner[2])) != int(owner[3]) if is_ours else _age_s(directory) > _FOREIGN_AGE_S
                if is_stale:
                    _removed(directory)


def detect(delegated: Path | None = None) -> Cgroups | None:
    """The first place where a group with both caps can be made, with a weight or else without, or None.

    `delegated` is a path inside the hierarchy (`/weighhouse`); without it the process's own group is
    tried, then its parent, then the root of the mount.
    """
    for candidate in _with_and_without_weight(_candidates(delegated)):
        try:
            candidate.sweep()
            candidate.create(memory_bytes=64 * 1024**2, processes=8).remove()
        except OSError as error:
            logger.debug("no control group below %s: %s", candidate.memory, error)
            continue
        return candidate
    return None


def _with_and_without_weight(candidates: list[Cgroups]) -> Iterator[Cgroups]:
    for candidate in candidates:
        yield candidate
        if candidate.cpu is not None:
            yield replace(candidate, cpu=None)


def _distinct(*directories: Path | None) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(directory for directory in directories if directory is not None))


def started_at(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 where there is none. With the id, a unique name."""
    text = _read(Path(f"/proc/{pid}/stat"))
    return int(text.rpartition(")")[2].split()[19]) if text else 0


def _age_s(directory: Path) -> float:
    try:
        return time.time() - directory.stat().st_mtime
    except OSError:
        return 0.0


def _namespace() -> int:
    """Which process namespace the ids in a group's name belong to."""
    return Path("/proc/self/ns/pid").stat().st_ino


def _candidates(delegated: Path | None) -> list[Cgroups]:
    own, mounts = _own_paths(), _mounts()
    found: list[Cgroups] = []
    if "memory" in mounts and "pids" in mounts:
        names = [name for name in ("memory", "pids", "cpu") if name in mounts]
        places = [_inside(mounts[name], own.get(name, "/"), delegated) for name in names]
        found += [Cgroups(1, *parents) for parents in zip(*places, strict=True)]
    if "" in mounts:
        for directory in _inside(mounts[""], own.get("", "/"), delegated):
            if "memory" in _read(directory / "cgroup.controllers").split():
                _enable(directory)
                weighs = "cpu" in _read(directory / "cgroup.subtree_control").split()
                found.append(Cgroups(2, directory, directory, directory if weighs else None))
    return found


def _inside(mount: tuple[Path, str], own: str, delegated: Path | None) -> list[Path]:
    point, root = mount
    if delegated is not None:
        return [point / _below(root, f"/{str(delegated).strip('/')}")]
    here = point / _below(root, own)
    if not here.is_dir():
        here = point
    return [here, here.parent if here != point else point, point]


def _below(root: str, path: str) -> str:
    """A path of the hierarchy, from the group that is mounted: a container may have been given one group alone."""
    prefix = root.rstrip("/")
    return path.removeprefix(prefix).lstrip("/") if f"{path}/".startswith(f"{prefix}/") else path.lstrip("/")


def _own_paths() -> dict[str, str]:
    """Controller (or "" for version 2) -> this process's group."""
    paths = {}
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _mounts() -> dict[str, tuple[Path, str]]:
    """Controller (or "" for version 2) -> (mount point, which group is mounted there)."""
    mounts: dict[str, tuple[Path, str]] = {}
    for line in _read(Path("/proc/self/mountinfo")).splitlines():
        head, _, tail = line.partition(" - ")
        kind, _, options = tail.split(" ", 2)
        root, point = head.split(" ")[3:5]
        if kind == "cgroup2":
            mounts[""] = (Path(point), root)
        elif kind == "cgroup":
            for option in options.split(","):
                mounts[option.strip()] = (Path(point), root)
    return mounts


def _enable(directory: Path) -> None:
    """Hand controllers to children, cpu where it is there; the kernel refuses where the group has processes."""
    control, available = directory / "cgroup.subtree_control", _read(directory / "cgroup.controllers").split()
    # The kernel takes all of what is written, or nothing; cpu can be done without.
    for names in (("memory", "pids", "cpu"), ("memory", "pids")):
        wanted = [name for name in names if name in available]
        if set(wanted) <= set(_read(control).split()):
            return
        try:
            control.write_text(" ".join(f"+{name}" for name in wanted))
        except OSError as error:
            logger.debug("%s stay off below %s: %s", wanted, directory, error)
        else:
            return


def _limit(group: Group, memory_bytes: int, processes: int) -> None:
    if group.version == 1:
        (group.memory / "memory.limit_in_bytes").write_text(str(memory_bytes))
        with_swap = group.memory / "memory.memsw.limit_in_bytes"
        if with_swap.exists():
            with_swap.write_text(str(memory_bytes))
        else:
            (group.memory / "memory.swappiness").write_text("0")
    else:
        (group.memory / "memory.max").write_text(str(memory_bytes))
        (group.memory / "memory.oom.group").write_text("1")
        if (group.memory / "memory.swap.max").exists():
            (group.memory / "memory.swap.max").write_text("0")
    (group.pids / "pids.max").write_text(str(processes))


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        raise
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
