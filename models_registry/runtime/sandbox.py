"""Starting a runner that can reach its model, its interpreter and one socket, and nothing else.

Two ways, chosen by who we are:

- an unprivileged worker: bwrap makes a user namespace (`userns`);
- a root worker: bwrap without one, and setpriv to a user id that only this runner has (`setpriv`).
  As uid 0 in a user namespace the payload would still be root to the kernel.

docs/sandbox.md says what each option closes; tests/hostile attacks both ways.
"""

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

from models_registry.runtime import cgroups, command, identities, landlock, mounting, seccomp
from models_registry.runtime.errors import ModelUnloadableError, SandboxUnavailable
from models_registry.runtime.inside.lockdown import MODEL_PATH
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.logtail import LogTail
from models_registry.runtime.plan import Plan
from models_registry.runtime.specs import SandboxConfig
from models_registry.runtime.watchdog import Watchdog
from models_registry.runtime.wire import FrameError, HostChannel

logger = logging.getLogger(__name__)

SERVE = "models_registry.runtime.inside.serve:main"
PROBE = "models_registry.runtime.inside.probe:main"
_GIVE_TIMEOUT_S = 10.0


class NotGivenError(Exception):
    """A release could not be mounted into a running sandbox, which is of no use then. `is_permitted`: may be tried."""

    def __init__(self, reason: str, *, is_permitted: bool = True) -> None:
        super().__init__(reason)
        self.is_permitted = is_permitted


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
        threads: int = 1,
    ) -> None:
        self.channel, self.log, self.identity = channel, log, identity
        self.inner_descriptor = inner_descriptor
        self._popen, self._group, self._watchdog = popen, group, watchdog
        self._threads = threads
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

    def weigh(self, is_light: bool) -> None:
        """Whether it weighs an eighth of a thread where others want the processor too, or as its honest threads."""
        if self._group is not None and not self._is_closed:
            with contextlib.suppress(OSError):  # it was closed meanwhile
                self._group.weigh(0 if is_light else self._threads)

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
    read-only at MODEL_PATH, which is empty without one until `give`. Raises ModelUnloadableError where the runner's
    user could not read the model, SandboxUnavailable, also where the machine has no process, descriptor or group left.
    """
    try:
        return _launch(plan, launcher, entry, model)
    except (OSError, RuntimeError) as error:
        # What Python raises where no thread can be started is a RuntimeError.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SandboxUnavailable(f"This machine could not start a sandbox: {reason}. Try again later.") from error


def _launch(plan: Plan, launcher: Launcher, entry: str, model: Path | None) -> Process:
    if model is not None and plan.way == "setpriv":
        _require_readable(model)
    config = plan.config
    identity = identities.lease(config.first_uid, config.uid_count) if plan.way == "setpriv" else None
    group = None
    try:
        if plan.groups is not None:
            group = plan.groups.create(
                memory_bytes=config.memory_bytes, processes=config.processes, threads=config.threads
            )
        return _start(plan, launcher, command.Parts(entry, model, identity, group))
    except BaseException:
        if group is not None:
            group.remove()
        if identity is not None:
            identity.release()
        raise


def give(plan: Plan, process: Process, model: Path) -> None:
    """Mount a model, read-only, into a sandbox that was launched without one and has met none.

    The mount is made from outside, in the sandbox's own mount namespace: the host's files and mounts stay as they are,
    and the sandbox sees what it would have seen had it been launched with the model. It ends with the namespace.
    Raises ModelUnloadableError as `launch`, NotGivenError where this machine does not permit it.
    """
    program = [str(plan.config.interpreter), "-I", "-S", "-B", mounting.__file__]
    try:
        if plan.way == "setpriv":
            _require_readable(model)
        subprocess.run(
            [*program, str(process.pid), str(model.resolve()), MODEL_PATH],
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_GIVE_TIMEOUT_S,
        )
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        reason = last[0] if last else f"exit status {error.returncode}"
        raise NotGivenError(reason, is_permitted=error.returncode != mounting.NOT_PERMITTED) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotGivenError(type(error).__name__) from error


def _start(plan: Plan, launcher: Launcher, parts: command.Parts) -> Process:
    with contextlib.ExitStack() as handed_over, contextlib.ExitStack() as ours_alone:
        filter_fd = _in_memory(seccomp.start_filter())
        handed_over.callback(os.close, filter_fd)
        ours, theirs = socket.socketpair()
        ours_alone.enter_context(ours)
        handed_over.enter_context(theirs)
        log_read, log_write = os.pipe2(os.O_CLOEXEC)
        ours_alone.callback(os.close, log_read)
        handed_over.callback(os.close, log_write)
        inner_descriptor = theirs.fileno()
        words = command.build(plan, parts, channel=inner_descriptor, filter_fd=filter_fd)
        popen = launcher.call(
            lambda: subprocess.Popen(
                words,
                env={},  # bwrap's own process 1 keeps its environment readable inside
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log_write,
                stderr=log_write,
                pass_fds=(inner_descriptor, filter_fd),
                start_new_session=True,  # Ctrl-C is for the worker, which ends its runners in order
            )
        )
        ours_alone.callback(_end, popen)
        watchdog = None if parts.group is not None else Watchdog(popen, memory_bytes=plan.config.memory_bytes)
        log = LogTail(log_read)
        ours_alone.pop_all()
    return Process(
        popen,
        channel=HostChannel(ours),
        log=log,
        group=parts.group,
        identity=parts.identity,
        watchdog=watchdog,
        inner_descriptor=inner_descriptor,
        threads=plan.config.threads,
    )


def _end(popen: "subprocess.Popen[bytes]") -> None:
    """End what nobody came to own."""
    popen.kill()
    popen.wait()


def begin_options(plan: Plan) -> dict[str, object]:
    """The first message to a payload: what it needs to lock itself in."""
    config = plan.config
    readable = [str(target) for _, target in command.bound_paths(plan)]
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
            "A root worker needs CAP_SYS_ADMIN, CAP_NET_ADMIN and unmasked mounts: in a container, run it as an "
            "unprivileged user, or start it with --cap-add SYS_ADMIN --cap-add NET_ADMIN and seccomp and AppArmor "
            "profiles that allow mount; where it maps few user ids, set WEIGHHOUSE_SANDBOX_FIRST_UID within them."
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
