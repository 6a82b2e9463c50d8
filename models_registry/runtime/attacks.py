"""What a model that took over its runner would try. Payloads for the production launch function.

Each attack returns evidence that it succeeded, or None; EPERM, EACCES and ENOSYS count as refused. They run in two
stages: `start`, the first Python inside bwrap, before the lock; and `locked`, where a model would be.
They are written so that they do no harm where they succeed: arguments are invalid, files are opened and
not written. `FATAL` ones end or exhaust the process that runs them, each in a process of its own.
Standard library only: this file is imported inside the sandbox.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models_registry.runtime.inside import lockdown, serve
from models_registry.runtime.seccomp import DENIED_AT_START
from models_registry.runtime.syscalls import current
from models_registry.runtime.wire import RunnerChannel

Facts = dict[str, Any]
Evidence = str | None

_libc = ctypes.CDLL(None, use_errno=True)
CALL_PREFIX = "system call "
_HELD_S = 3.0
_REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS)
_NOBODY_THERE = (errno.ESRCH, *_REFUSED)
# These take no argument that could be made invalid, so they are not called at random.
_NOT_CALLED = frozenset({"fork", "vfork", "vhangup"})


@dataclass(frozen=True)
class Attack:
    """`stages` are those in which it must fail."""

    name: str
    run: Callable[[Facts], Evidence]
    stages: tuple[str, ...] = ("start", "locked")


def _call(name: str, *arguments: int) -> Evidence:
    """A raw system call; evidence unless the kernel refused it."""
    number = current()[1].get(name)
    if number is None:
        return None
    result = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    if result < 0 and ctypes.get_errno() in _REFUSED:
        return None
    return f"{name} gave {result}, {errno.errorcode.get(ctypes.get_errno(), '')}"


def _opened(paths: list[str], flags: int) -> Evidence:
    for path in paths:
        with contextlib.suppress(OSError):
            os.close(os.open(path, flags | os.O_CLOEXEC))
            return f"opened {path}"
    return None


def _run_program(facts: Facts) -> Evidence:
    os.execv(sys.executable or "/proc/self/exe", ["python", "-c", "import os; os._exit(77)"])  # noqa: S606
    return "a program was run"


def _run_shell(facts: Facts) -> Evidence:
    found = [path for path in ("/bin/sh", "/usr/bin/env", "/usr/bin/bash") if os.access(path, os.X_OK)]
    return f"{found} can be executed" if found else None


def _run_from_memory(facts: Facts) -> Evidence:
    descriptor = os.memfd_create("payload")
    os.write(descriptor, b"#!/nothing\n")
    os.execve(descriptor, ["payload"], {})  # noqa: S606
    return "memory was run"


def _fork(facts: Facts) -> Evidence:
    if os.fork() == 0:
        os._exit(0)
    return "a process was made"


def _clone_raw(facts: Facts) -> Evidence:
    sigchld = 17
    number = current()[1]["clone"]
    result = _libc.syscall(ctypes.c_long(number), ctypes.c_long(sigchld), 0, 0, 0, 0)
    if result == 0:
        os._exit(0)
    return f"process {result} was made" if result > 0 else None


def _clone_namespace(facts: Facts) -> Evidence:
    new_user, sigchld = 0x10000000, 17
    number = current()[1]["clone"]
    result = _libc.syscall(ctypes.c_long(number), ctypes.c_long(new_user | sigchld), 0, 0, 0, 0)
    if result == 0:
        os._exit(0)
    return f"process {result} was made in a new user namespace" if result > 0 else None


def _tcp(facts: Facts) -> Evidence:
    with socket.create_connection(("127.0.0.1", facts["tcp_port"]), timeout=2):
        return "connected to a port of the host"


def _udp(facts: Facts) -> Evidence:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(b"weighhouse", ("127.0.0.1", facts["udp_port"]))
    return "a datagram was sent"


def _abstract_socket(facts: Facts) -> Evidence:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.connect("\0" + facts["abstract_name"])
    return "connected to the host's abstract socket"


def _netlink(facts: Facts) -> Evidence:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW):
        return "a netlink socket was made"


def _foreign_files(facts: Facts) -> Evidence:
    usual = ["/etc/passwd", "/etc/shadow", "/etc/hostname", "/etc/machine-id", "/root/.bashrc", "/var/lib/dpkg/status"]
    return _opened([*facts["files"], *usual], os.O_RDONLY)


def _foreign_files_by_proc(facts: Facts) -> Evidence:
    roots = ("/proc/1/root", "/proc/1/cwd", "/proc/self/root", "/proc/1/root/../..")
    return _opened([f"{root}{path}" for root in roots for path in (*facts["files"], "/etc/passwd")], os.O_RDONLY)


def _look_around(facts: Facts) -> Evidence:
    """Any file that is not of the interpreter, the libraries, the model or the kernel."""
    known = ("/proc", "/sys/devices/system/cpu", "/dev", "/tmp", "/model", *facts["readable"])  # noqa: S108
    for directory, inner, names in os.walk("/"):
        inner[:] = [name for name in inner if not os.path.join(directory, name).startswith(known)]  # noqa: PTH118
        for name in names:
            path = os.path.join(directory, name)  # noqa: PTH118
            if not path.startswith(known) and not Path(path).is_symlink():
                return f"found {path}"
    return None


def _devices(facts: Facts) -> Evidence:
    disks = [f"/dev/{name}" for name in ("mem", "kmem", "kmsg", "sda", "vda", "nvme0n1", "kvm", "fuse", "net/tun")]
    return _opened([*disks, "/proc/kcore", "/proc/kmsg"], os.O_RDONLY)


def _environments(facts: Facts) -> Evidence:
    """Every environment that can be read, as it was when its program started."""
    for path in [Path("/proc/self/environ"), *_listed("/proc", "[0-9]*/environ")]:
        with contextlib.suppress(OSError):
            names = {entry.split(b"=")[0].decode("utf-8", "replace") for entry in path.read_bytes().split(b"\0")}
            if names & set(facts["foreign_variables"]):
                return f"{path} holds {sorted(names & set(facts['foreign_variables']))}"
    return None


def _listed(place: str, pattern: str) -> list[Path]:
    try:
        return list(Path(place).glob(pattern))
    except OSError:
        return []


def _first_process(facts: Facts) -> Evidence:
    return _opened([f"/proc/1/{name}" for name in ("environ", "cmdline", "maps", "mem", "fd")], os.O_RDONLY)


def _change_first_process(facts: Facts) -> Evidence:
    return _opened([f"/proc/1/{name}" for name in ("oom_score_adj", "mem", "comm", "clear_refs")], os.O_WRONLY)


def _other_processes(facts: Facts) -> Evidence:
    seen = [entry for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208
    return f"{len(seen)} processes are visible" if len(seen) > 4 else None


def _signal_host(facts: Facts) -> Evidence:
    try:
        os.kill(facts["host_pid"], 0)
    except OSError as error:
        if error.errno in _NOBODY_THERE:  # another process namespace, where the number means nothing
            return None
        raise
    return "the host's process can be signalled"


def _signal_first(facts: Facts) -> Evidence:
    os.kill(1, 0)
    return "process 1 can be signalled"


def _signal_all(facts: Facts) -> Evidence:
    os.kill(-1, 0)
    return "every process can be signalled"


def _kernel_settings(facts: Facts) -> Evidence:
    paths = [
        "kernel/core_pattern",
        "kernel/modprobe",
        "vm/drop_caches",
        "kernel/randomize_va_space",
        "fs/suid_dumpable",
    ]
    files = [f"/proc/sys/{path}" for path in paths]
    return _opened([*files, "/proc/sysrq-trigger"], os.O_WRONLY)


def _control_groups(facts: Facts) -> Evidence:
    return "/sys/fs/cgroup is there" if os.access("/sys/fs/cgroup", os.R_OK) else None


def _write_model(facts: Facts) -> Evidence:
    return _written(lockdown.MODEL_PATH) or _written("/model")


def _write_libraries(facts: Facts) -> Evidence:
    places = ["/", "/dev", "/app/models_registry/runtime", "/proc", "/etc", *facts["readable"]]
    return next((evidence for place in places if (evidence := _written(place))), None)


def _written(place: str) -> Evidence:
    """Whether anything at or in a place can be changed."""
    with contextlib.suppress(OSError):
        new = f"{place}/weighhouse-attack"
        os.close(os.open(new, os.O_CREAT | os.O_WRONLY))
        os.unlink(new)  # noqa: PTH108
        return f"{new} was made"
    with contextlib.suppress(OSError):
        inside = [f"{place}/{name}" for name in os.listdir(place)]  # noqa: PTH208
        return _opened([path for path in inside if Path(path).is_file()], os.O_WRONLY)
    return _opened([place], os.O_WRONLY)


def _inherited_files(facts: Facts) -> Evidence:
    names = {int(name) for name in os.listdir("/proc/self/fd")}  # noqa: PTH208
    extra = {name for name in names if name > 2 and name != facts["channel"] and _is_open(name)}
    return f"descriptors {sorted(extra)} are open" if extra else None


def _is_open(descriptor: int) -> bool:
    # The kernel's entropy source may be held open by the interpreter; the listing itself is closed by now.
    try:
        target = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    except OSError:
        return False
    return target not in ("/dev/urandom", "/dev/null")


def _privileges(facts: Facts) -> Evidence:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status[name], 16):
            return f"{name} is {status[name].strip()}"
    if status["NoNewPrivs"].strip() != "1" or status["Seccomp"].strip() != "2":
        return "privileges can be gained or no filter is loaded"
    return "uid 0" if os.getuid() == 0 else None


def _become_root(facts: Facts) -> Evidence:
    try:
        os.setuid(0)
    except OSError as error:
        if error.errno == errno.EINVAL:  # a user namespace that does not know uid 0
            return None
        raise
    return "uid 0"


def _raise_limits(facts: Facts) -> Evidence:
    for name in (resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        _, hard = resource.getrlimit(name)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(name, (hard + 1, hard + 1))
            return f"limit {name} was raised"
    return None


def _type_into_terminal(facts: Facts) -> Evidence:
    terminal_injection = 0x5412
    return _call("ioctl", 0, terminal_injection, 0)


def _fill_scratch(facts: Facts) -> Evidence:
    """More than the scratch space and shared memory may hold together."""
    block, written = b"x" * 2**20, 0
    for place in ("/tmp", "/dev/shm"):  # noqa: S108
        for number in range(4):
            with contextlib.suppress(OSError), Path(f"{place}/fill-{number}").open("wb", buffering=0) as file:
                while written <= facts["scratch_bytes"] and file.write(block) == len(block):
                    written += len(block)
    return f"{written} bytes were written" if written > facts["scratch_bytes"] else None


def _thread_bomb(facts: Facts) -> Evidence:
    stop = threading.Event()
    threads: list[threading.Thread] = []
    with contextlib.suppress(RuntimeError):
        while len(threads) <= facts["processes"]:
            threads.append(threading.Thread(target=stop.wait, daemon=True))
            threads[-1].start()
    stop.set()
    return f"{len(threads)} threads ran" if len(threads) > facts["processes"] else None


def _memory_bomb(facts: Facts) -> Evidence:
    """More than it may have, for longer than a watchdog on a busy machine needs to look."""
    held: list[mmap.mmap] = []
    step = 2**24
    while len(held) * step <= facts["memory_bytes"]:
        try:
            area = mmap.mmap(-1, step)
        except OSError as error:
            if error.errno == errno.ENOMEM:  # the cap on address space
                return None
            raise
        for page in range(0, step, 4096):
            area[page] = 1
        held.append(area)
    time.sleep(_HELD_S)
    return f"{len(held) * step} bytes were used for {_HELD_S:.0f} s"


def _foreign_abi(facts: Facts) -> Evidence:
    """The x32 numbers of x86_64, or an unknown call elsewhere: other numbers for the same calls."""
    x32_getpid = 0x40000000 | 39
    result = _libc.syscall(ctypes.c_long(x32_getpid))
    return f"getpid by another ABI gave {result}" if result > 0 else None


def _call_by_interrupt(facts: Facts) -> Evidence:
    """int 0x80 on x86_64 enters the kernel by the 32-bit table, whose numbers mean other calls."""
    if os.uname().machine != "x86_64":
        return None
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20 (getpid); int 0x80; ret
    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))
    return f"getpid by int 0x80 gave {function()}" if function() > 0 else None


def _forbidden_calls() -> Iterator[Attack]:
    """Every call that the start filter denies, by itself, with arguments that would otherwise be an error."""
    for name in DENIED_AT_START:
        if name not in _NOT_CALLED and name in current()[1]:
            yield Attack(f"{CALL_PREFIX}{name}", lambda facts, name=name: _call(name, -1, -1, -1, -1, -1))  # type: ignore[misc]


_LOCKED = ("locked",)
ATTACKS: tuple[Attack, ...] = (
    Attack("run a program", _run_program, _LOCKED),
    Attack("run a program from memory", _run_from_memory, _LOCKED),
    Attack("find a shell", _run_shell),
    Attack("fork", _fork),
    Attack("clone by system call", _clone_raw),
    Attack("new user namespace by clone", _clone_namespace),
    Attack("connect by TCP", _tcp),
    Attack("send by UDP", _udp),
    Attack("connect to an abstract unix socket", _abstract_socket),
    Attack("open a netlink socket", _netlink),
    Attack("read foreign files", _foreign_files),
    Attack("read foreign files through /proc", _foreign_files_by_proc),
    Attack("find other files", _look_around),
    Attack("open devices", _devices),
    Attack("read the worker's environment", _environments),
    Attack("look into process 1", _first_process, _LOCKED),
    # Before the lock an unprivileged worker's payload has the user of process 1, which is bwrap's and holds nothing.
    Attack("change process 1", _change_first_process, _LOCKED),
    Attack("see other processes", _other_processes),
    Attack("signal the host", _signal_host),
    Attack("signal process 1", _signal_first, _LOCKED),
    Attack("signal everybody", _signal_all, _LOCKED),
    Attack("write kernel settings", _kernel_settings),
    Attack("reach control groups", _control_groups),
    Attack("write to the model", _write_model),
    Attack("write to the libraries", _write_libraries),
    Attack("find inherited descriptors", _inherited_files),
    Attack("hold privileges", _privileges),
    Attack("become root", _become_root),
    Attack("raise limits", _raise_limits),
    Attack("type into the terminal", _type_into_terminal),
    Attack("fill the scratch space", _fill_scratch),
    *_forbidden_calls(),
)
FATAL: tuple[Attack, ...] = (
    Attack("thread bomb", _thread_bomb, _LOCKED),
    Attack("memory bomb", _memory_bomb, _LOCKED),
    Attack("system calls of another ABI", _foreign_abi, _LOCKED),
    Attack("system calls by int 0x80", _call_by_interrupt, _LOCKED),
)
BY_NAME: dict[str, Attack] = {attack.name: attack for attack in (*ATTACKS, *FATAL)}


def attempt(attack: Attack, facts: Facts) -> dict[str, str]:
    """The outcome of one attack: `refused`, or `SUCCEEDED` with evidence."""
    try:
        evidence = attack.run(facts)
    except OSError as error:
        # Another errno means that the kernel looked at the request instead of refusing it.
        outcome = "refused" if error.errno in _REFUSED else "SUCCEEDED"
        return {"name": attack.name, "outcome": outcome, "detail": str(error)[:200]}
    if evidence is None:
        return {"name": attack.name, "outcome": "refused", "detail": ""}
    return {"name": attack.name, "outcome": "SUCCEEDED", "detail": evidence[:200]}


def _serve_attacks(channel: RunnerChannel) -> None:
    with contextlib.suppress(EOFError):
        while True:
            request = channel.receive()
            channel.send({"kind": "outcome", **attempt(BY_NAME[request["attack"]], request["facts"])})


def start(channel: RunnerChannel) -> None:
    """Payload: attack before the lock."""
    channel.receive()
    _serve_attacks(channel)


def locked(channel: RunnerChannel) -> None:
    """Payload: go the production way up to the model, then attack."""
    serve.prepare(channel)
    _serve_attacks(channel)


def locked_early(channel: RunnerChannel) -> None:
    """Payload: as `locked` without the seconds of imports, for the many processes of fatal attacks."""
    facts = lockdown.lock(channel.receive())
    channel.send({"kind": "locked", **facts})
    _serve_attacks(channel)
