"""Starting a runner that can reach its model, its interpreter and one socket, and nothing else.

Two ways, chosen by who we are:

- an unprivileged worker: bwrap makes a user namespace (`userns`);
- a root worker: bwrap without one, and setpriv to a user id that only this runner has (`setpriv`).
  As uid 0 in a user namespace the payload would still be root to the kernel.

docs/sandbox.md says what each option closes; tests/hostile attacks both ways.
"""

import logging
import os
import shutil
import socket
import subprocess
import sysconfig
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from models_registry.runtime import cgroups, identities, landlock, seccomp
from models_registry.runtime.errors import ModelUnloadableError, SandboxUnavailable
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.logtail import LogTail
from models_registry.runtime.specs import SandboxConfig
from models_registry.runtime.watchdog import Watchdog
from models_registry.runtime.wire import FrameError, HostChannel

logger = logging.getLogger(__name__)

SERVE = "models_registry.runtime.inside.serve:main"
PROBE = "models_registry.runtime.inside.probe:main"
_CODE_PATH = "/app/models_registry/runtime"
_BOOT = (
    "import sys; sys.path[:0] = ['/app', *sys.argv[3:]]; from models_registry.runtime.inside.boot import main; main()"
)
_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 125; shift; done; shift; exec "$@"'
_OPEN_FILES = 512
_HEADROOM_BYTES = 1024**3  # address space of libraries that is mapped and never touched

_VARIABLES = {
    "PATH": "/nowhere",
    "HOME": "/tmp",  # noqa: S108 - inside the sandbox
    "TMPDIR": "/tmp",  # noqa: S108
    "USER": "runner",
    "LOGNAME": "runner",
    "LC_ALL": "C.UTF-8",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    # A pool of threads that an import starts would escape Landlock, which binds one thread.
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "OMP_WAIT_POLICY": "PASSIVE",  # on shared cores, threads that spin while they wait slow each other down
}
# Every variable of a runner; bwrap adds PWD.
VARIABLES = frozenset({*_VARIABLES, "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PWD"})

Command = list[str]


@dataclass(frozen=True)
class Plan:
    """What this machine offers and how it is used. Made by `detect`, tried by `require`."""

    config: SandboxConfig
    way: str
    bwrap: str
    prlimit: str
    setpriv: str
    groups: cgroups.Cgroups | None
    landlock_abi: int

    @property
    def isolation(self) -> str:
        """The layers in force, for fingerprints: `bwrap-setpriv+cgroup1+seccomp+landlock7`."""
        memory = f"cgroup{self.groups.version}" if self.groups else "rlimit-watchdog"
        lock = f"+landlock{self.landlock_abi}" if self.landlock_abi else ""
        return f"bwrap-{self.way}+{memory}+seccomp{lock}"

    @property
    def is_degraded(self) -> bool:
        """Whether a layer is missing that only the demo may do without."""
        return self.groups is None or self.landlock_abi == 0


class Process:
    """A sandboxed process. Its owner closes it; `kill` may be called from any thread."""

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        *,
        channel: HostChannel,
        log: LogTail,
        group: cgroups.Group | None,
        identity: identities.Identity | None,
        watchdog: Watchdog | None,
        inner_descriptor: int,
    ) -> None:
        self.channel, self.log, self.identity = channel, log, identity
        self.inner_descriptor = inner_descriptor
        self._popen, self._group, self._watchdog = popen, group, watchdog
        self._oom_kills = 0
        self._closing = threading.Lock()
        self._is_closed = False

    @property
    def pid(self) -> int:
        """The launcher's process (bwrap), outside the sandbox."""
        return self._popen.pid

    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def ran_out_of_memory(self) -> bool:
        """Whether the memory cap ended it."""
        if self._group is not None and not self._is_closed:
            self._oom_kills = self._group.out_of_memory_kills()
        return self._oom_kills > 0 or (self._watchdog is not None and self._watchdog.has_fired)

    def memory_used(self) -> int:
        """Bytes in use, by the group's or the watchdog's count."""
        if self._group is not None:
            return 0 if self._is_closed else self._group.memory_used()
        return self._watchdog.last_seen if self._watchdog else 0

    def kill(self) -> None:
        """End everything inside, at once."""
        self._popen.kill()
        if self._group is not None and not self._is_closed:
            self._group.kill()

    def wait(self, timeout_s: float) -> int:
        """The exit status. Raises subprocess.TimeoutExpired."""
        return self._popen.wait(timeout_s)

    def close(self) -> None:
        """End it if it lives, and give back what it held. May be called twice."""
        with self._closing:
            if self._is_closed:
                return
            self.kill()
            self._popen.wait()
            self.ran_out_of_memory()
            self._is_closed = True
            if self._group is not None:
                self._group.remove()
            if self._watchdog is not None:
                self._watchdog.stop()
            self.channel.close()
            self.log.close()
            if self.identity is not None:
                self.identity.release()


def detect(config: SandboxConfig) -> Plan:
    """What this machine offers, without starting anything. Raises SandboxUnavailable naming what is missing."""
    is_root = os.geteuid() == 0
    plan = Plan(
        config=config,
        way="setpriv" if is_root else "userns",
        bwrap=_tool(config.bwrap, "bwrap", "bubblewrap"),
        prlimit=_tool(config.prlimit, "prlimit", "util-linux"),
        setpriv=_tool(config.setpriv, "setpriv", "util-linux") if is_root else "",
        groups=cgroups.detect(config.cgroup_root),
        landlock_abi=landlock.abi(),
    )
    try:
        seccomp.start_filter()
    except NotImplementedError as error:
        raise SandboxUnavailable(f"No sandbox on this machine: {error}.") from error
    if plan.groups is None and not config.allow_degraded:
        raise SandboxUnavailable(
            "No control group can be made that caps memory and processes. Run the worker where its cgroup is "
            "delegated to it (systemd: Delegate=yes; a container: a writable /sys/fs/cgroup), or name a delegated "
            "one in WEIGHHOUSE_SANDBOX_CGROUP. Only the demo runs without."
        )
    if plan.landlock_abi == 0 and not config.allow_degraded:
        raise SandboxUnavailable(
            "This kernel has no Landlock. Use Linux 5.13 or later with landlock in its list of security modules "
            "(boot option lsm=landlock,...). Only the demo runs without."
        )
    if plan.is_degraded:
        logger.warning("The sandbox is degraded, as the demo permits: %s", plan.isolation)
    return plan


def require(config: SandboxConfig) -> Plan:
    """`detect`, then start a sandbox and look around in it. Raises SandboxUnavailable."""
    plan = detect(config)
    launcher = Launcher()
    try:
        with_start = launch(plan, launcher, entry=PROBE)
        try:
            _probe(plan, with_start)
        finally:
            with_start.close()
    finally:
        launcher.close()
    return plan


def launch(plan: Plan, launcher: Launcher, *, entry: str = SERVE, model: Path | None = None) -> Process:
    """Start a payload in the sandbox. Everything that runs untrusted data starts here, attacks of the tests too.

    `entry` is `module:function`, importable from this package or the configured libraries; `model` is bound
    read-only at /model. Raises ModelUnloadableError where the runner's user could
    not read the model, SandboxUnavailable, OSError.
    """
    if model is not None and plan.way == "setpriv":
        _require_readable(model)
    config = plan.config
    identity = identities.lease(config.first_uid, config.uid_count) if plan.way == "setpriv" else None
    group = None
    try:
        if plan.groups is not None:
            group = plan.groups.create(memory_bytes=config.memory_bytes, processes=config.processes)
        return _start(plan, launcher, _Parts(entry, model, identity, group))
    except BaseException:
        if group is not None:
            group.remove()
        if identity is not None:
            identity.release()
        raise


@dataclass(frozen=True)
class _Parts:
    """What differs from one start to the next."""

    entry: str
    model: Path | None
    identity: identities.Identity | None
    group: cgroups.Group | None


def _start(plan: Plan, launcher: Launcher, parts: _Parts) -> Process:
    ours, theirs = socket.socketpair()
    log_read, log_write = os.pipe2(os.O_CLOEXEC)
    inner_descriptor = theirs.fileno()
    filter_fd = _in_memory(seccomp.start_filter())
    command = [
        *_join(parts.group),
        plan.bwrap,
        *_namespaces(plan),
        *["--seccomp", str(filter_fd)],
        *_environment(plan.config),
        *_mounts(plan, parts.model),
        "--",
        *_drop_to_user(plan, parts.identity),
        *_limits(plan, parts.group),
        *_payload(plan.config, parts.entry, inner_descriptor),
    ]
    try:
        popen = launcher.call(
            lambda: subprocess.Popen(
                command,
                env={},  # bwrap's own process 1 keeps its environment readable inside
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log_write,
                stderr=log_write,
                pass_fds=(theirs.fileno(), filter_fd),
                start_new_session=True,  # Ctrl-C is for the worker, which ends its runners in order
            )
        )
    except BaseException:
        ours.close()
        os.close(log_read)
        raise
    finally:
        theirs.close()
        os.close(log_write)
        os.close(filter_fd)
    watchdog = None if parts.group is not None else Watchdog(popen, memory_bytes=plan.config.memory_bytes)
    return Process(
        popen,
        channel=HostChannel(ours),
        log=LogTail(log_read),
        group=parts.group,
        identity=parts.identity,
        watchdog=watchdog,
        inner_descriptor=inner_descriptor,
    )


def _join(group: cgroups.Group | None) -> Command:
    """A shell line that enters the group and becomes bwrap, so that nothing runs outside of it."""
    return ["/bin/sh", "-c", _JOIN, "sh", *map(str, group.join_files), "--"] if group else []


def _namespaces(plan: Plan) -> Command:
    common = ["--die-with-parent", "--new-session", "--hostname", "runner", "--cap-drop", "ALL"]
    if plan.way == "userns":
        return ["--unshare-all", "--unshare-user", "--disable-userns", *common]
    kinds = [f"--unshare-{kind}" for kind in ("pid", "net", "ipc", "uts", "cgroup")]
    # What setpriv needs to become the runner's user; it drops these too.
    kept = [word for name in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{name}")]
    return [*kinds, *common, *kept]


def _environment(config: SandboxConfig) -> Command:
    variables = {**_VARIABLES, "OMP_NUM_THREADS": str(config.threads), "MKL_NUM_THREADS": str(config.threads)}
    return [word for name, value in variables.items() for word in ("--setenv", name, value)]


def _mounts(plan: Plan, model: Path | None) -> Command:
    config = plan.config
    words: Command = []
    made: set[Path] = {Path("/")}
    binds = _bound_paths(plan)
    if model is not None:
        binds.append((model.resolve(), Path("/model")))
    words += ["--proc", "/proc", "--dev", "/dev"]
    words += ["--size", str(config.shared_memory_bytes), "--tmpfs", "/dev/shm"]  # noqa: S108
    words += ["--perms", "1777", "--size", str(config.scratch_bytes), "--tmpfs", "/tmp"]  # noqa: S108
    made.add(Path("/tmp"))  # noqa: S108
    for source, target in binds:
        words += _parents(target, made)
        words += ["--ro-bind", str(source), str(target)]
    for device in config.devices:
        words += ["--dev-bind", str(device), str(device)]
    for link in ("/lib", "/lib64"):
        if Path(link).is_symlink():
            words += ["--symlink", str(Path(link).readlink()), link]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]  # noqa: S108


def _bound_paths(plan: Plan) -> list[tuple[Path, Path]]:
    """What of this machine is visible, each at its own path: programs, libraries, facts of the processor."""
    config = plan.config
    tools = [Path(plan.prlimit)] + ([Path(plan.setpriv)] if plan.setpriv else [])
    shared = config.interpreter.parent.parent / "lib"
    own = [
        *_system_libraries(),
        Path("/sys/devices/system/cpu"),
        Path("/etc/ld.so.cache"),
        *tools,
        config.interpreter,
        config.standard_library,
        *sorted(shared.glob("libpython*.so*")),
        *config.libraries,
    ]
    paths = [path for path in dict.fromkeys(own) if path.exists()]
    kept = [path for path in paths if not any(other != path and other in path.parents for other in paths)]
    return [*((path, path) for path in kept), (Path(__file__).resolve().parent, Path(_CODE_PATH))]


def _system_libraries() -> list[Path]:
    """The C library's directories, no more of /usr than that."""
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    narrow = Path("/usr/lib") / multiarch
    found = [narrow] if multiarch and (narrow / "libc.so.6").exists() else [Path("/usr/lib")]
    found += [Path("/usr/lib64")]
    found += [path for path in (Path("/lib"), Path("/lib64")) if not path.is_symlink()]
    return found


def _parents(target: Path, made: set[Path]) -> Command:
    """Directories that every user may pass; bwrap would make them for root alone."""
    words: Command = []
    for parent in reversed(target.parents):
        if parent not in made:
            made.add(parent)
            words += ["--perms", "0755", "--dir", str(parent)]
    return words


def _drop_to_user(plan: Plan, identity: identities.Identity | None) -> Command:
    if identity is None:
        return []
    uid = str(identity.uid)
    nothing = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"]
    return [plan.setpriv, "--reuid", uid, "--regid", uid, "--clear-groups", "--no-new-privs", *nothing]


def _limits(plan: Plan, group: cgroups.Group | None) -> Command:
    config = plan.config
    limits = {
        "core": 1,  # 0 would still feed a core_pattern that is a pipe; 1 is the kernel's word for none (fs/coredump.c)
        "nofile": _OPEN_FILES,
        "fsize": config.scratch_bytes,
        "nproc": config.processes,
        "cpu": config.cpu_seconds,
        "memlock": 0,
        "msgqueue": 0,
    }
    if group is None:
        limits["as"] = config.memory_bytes + _HEADROOM_BYTES
    return [plan.prlimit, *(f"--{name}={value}:{value}" for name, value in limits.items())]


def _payload(config: SandboxConfig, entry: str, descriptor: int) -> Command:
    # -I and -S: no user site, no .pth file, no PYTHON* variable decides what is imported.
    flags = ["-I", "-S", "-B"]
    return [str(config.interpreter), *flags, "-c", _BOOT, entry, str(descriptor), *map(str, config.libraries)]


def begin_options(plan: Plan) -> dict[str, object]:
    """The first message to a payload: what it needs to lock itself in."""
    config = plan.config
    readable = [str(target) for _, target in _bound_paths(plan)]
    return {
        "readable": readable,
        "devices": [str(device) for device in config.devices],
        "threads": config.threads,
        "allow_degraded": config.allow_degraded,
    }


def _probe(plan: Plan, process: Process) -> None:
    until = time.monotonic() + plan.config.start_timeout_s
    try:
        process.channel.send(begin_options(plan), until=until)
        answer = process.channel.receive(limit=65_536, until=until)
    except (OSError, EOFError, TimeoutError, FrameError) as error:
        process.close()
        raise SandboxUnavailable(
            f"{plan.bwrap} could not make a sandbox here: {process.log.last_line() or type(error).__name__}. "
            + _advice(plan)
        ) from error
    if answer.get("kind") != "locked":
        raise SandboxUnavailable(f"The sandbox does not hold: {answer.get('reason')}. " + _advice(plan))


def _advice(plan: Plan) -> str:
    if plan.way == "setpriv":
        return (
            "A root worker needs CAP_SYS_ADMIN and unmasked mounts: in a container, run the worker as an "
            "unprivileged user, or start it with --cap-add SYS_ADMIN and seccomp and AppArmor profiles that "
            "allow mount; where it maps few user ids, set WEIGHHOUSE_SANDBOX_FIRST_UID within them."
        )
    return (
        "An unprivileged worker needs user namespaces (kernel.unprivileged_userns_clone=1, "
        "kernel.apparmor_restrict_unprivileged_userns=0 or a profile for bwrap) and an interpreter, libraries and "
        "releases that its user can reach."
    )


def _tool(given: str | None, name: str, package: str) -> str:
    found = shutil.which(given or name)
    if found is None:
        raise SandboxUnavailable(
            f"{given or name} was not found. Install the distribution's package {package}; "
            "models never run without a sandbox.",
            install=package,
        )
    return str(Path(found).resolve())


def _require_readable(model: Path) -> None:
    """A runner's own user must be able to read the release; say so now instead of failing inside."""
    for path in (model, *model.rglob("*")):
        needed = 0o5 if path.is_dir() else 0o4
        if path.stat().st_mode & needed != needed:
            raise ModelUnloadableError(
                "A file of the release is not readable by the runner's user. The worker's copy must have modes "
                "0755 (directories) and 0644 (files).",
                log=str(path),
            )


def _in_memory(data: bytes) -> int:
    """A descriptor from which the data can be read once, for bwrap."""
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
