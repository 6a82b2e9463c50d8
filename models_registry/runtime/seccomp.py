"""Two seccomp filters as raw BPF programs: one from the start, a tighter one before a model is touched.

Built here instead of by libseccomp, which is not found inside the sandbox. Each program checks the
architecture first, so that another ABI's numbers cannot slip through. Source: seccomp(2), linux/filter.h.
Imported inside the sandbox as well: nothing but the standard library.
"""

import ctypes
import os
import struct
from collections.abc import Iterable

from models_registry.runtime.syscalls import MACHINES, current

ALLOW = 0x7FFF0000
KILL = 0x80000000
_EPERM = 0x00050000 | 1
_ENOSYS = 0x00050000 | 38

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT = 0x40000000
_AUDIT_ARCH_X86_64 = MACHINES["x86_64"][0]

_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020080
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_HARMLESS_IOCTLS = (0x5401, 0x541B, 0x5450, 0x5451)  # TCGETS (isatty), FIONREAD, FIONCLEX, FIOCLEX
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030)  # duplicate, flags, record locks
_PRCTLS = (15, 16, 0x53564D41)  # names of threads and of memory areas

# Forbidden from the first program that bwrap executes. The way there still needs execve and setuid.
_DENIED_TEXT = """
ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_open pidfd_getfd pidfd_send_signal
mount umount2 pivot_root chroot unshare setns open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick
mount_setattr statmount listmount add_key request_key keyctl bpf perf_event_open userfaultfd
io_uring_setup io_uring_enter io_uring_register io_setup io_submit kexec_load kexec_file_load
init_module finit_module delete_module reboot swapon swapoff acct quotactl quotactl_fd
settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname iopl ioperm modify_ldt
open_by_handle_at name_to_handle_at lookup_dcookie fanotify_init fanotify_mark personality syslog vhangup nfsservctl
mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node memfd_secret mknod mknodat
socket socketpair connect bind listen accept accept4 fork vfork
mq_open mq_unlink msgget semget shmget shmat inotify_init inotify_init1 lsm_set_self_attr
"""
DENIED_AT_START = _DENIED_TEXT.split()

# All that computing on files that are open to it takes. Everything else is EPERM.
_ALLOWED_AT_WORK = """
read pread64 readv preadv preadv2 write pwrite64 writev close close_range lseek
open openat openat2 creat stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat
getdents getdents64 getcwd statfs fstatfs
unlink unlinkat mkdir mkdirat rmdir rename renameat renameat2 ftruncate fallocate fsync fdatasync umask dup
mmap munmap mremap mprotect madvise brk msync mincore membarrier pkey_alloc pkey_mprotect pkey_free
futex futex_waitv futex_wait futex_wake futex_requeue set_robust_list get_robust_list rseq set_tid_address
exit exit_group restart_syscall arch_prctl
gettid getpid getppid getpgid getpgrp getsid getuid geteuid getgid getegid getresuid getresgid getgroups
getpriority capget rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait sigaltstack
clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage sysinfo uname getrandom getcpu
getrlimit sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
sched_get_priority_min get_mempolicy poll ppoll select pselect6 eventfd2
"""


def _ins(code: int, operand: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, when_true, when_false, operand & 0xFFFFFFFF)


def _give(action: int) -> bytes:
    return _ins(_RETURN, action)


def _argument(index: int, *, high: bool = False) -> bytes:
    return _ins(_LOAD, _ARGUMENTS_AT + 8 * index + (4 if high else 0))


class _Program:
    """Rules in order. A rule that matches the call's number always returns, so the number stays loaded."""

    def __init__(self) -> None:
        architecture, self._numbers = current()
        self._code = [
            _ins(_LOAD, _ARCH_AT),
            _ins(_EQUAL, architecture, 1, 0),
            _give(KILL),
            _ins(_LOAD, _NUMBER_AT),
        ]
        if architecture == _AUDIT_ARCH_X86_64:
            self._code += [_ins(_AT_LEAST, _X32_BIT, 0, 1), _give(KILL)]

    def each(self, names: Iterable[str], action: int) -> None:
        """The same action for every named call that this machine has."""
        for name in names:
            self.rule(name, [_give(action)])

    def rule(self, name: str, body: list[bytes]) -> None:
        """A body of instructions for one call; its last instruction must return."""
        if name in self._numbers:
            self._code += [_ins(_EQUAL, self._numbers[name], 0, len(body)), *body]

    def argument_in(self, name: str, index: int, values: Iterable[int], *, found: int, other: int) -> None:
        """`found` where the low half of an argument is one of the values, else `other`."""
        body = [_argument(index)]
        for value in values:
            body += [_ins(_EQUAL, value, 0, 1), _give(found)]
        self.rule(name, [*body, _give(other)])

    def threads_only(self) -> None:
        """New threads yes; new processes and namespaces no. clone3 hides its flags behind a pointer."""
        self.rule(
            "clone",
            [
                _argument(0),
                _ins(_ANY_BIT, _CLONE_NAMESPACES, 0, 1),
                _give(_EPERM),
                _ins(_ANY_BIT, _CLONE_THREAD, 0, 1),
                _give(ALLOW),
                _give(_EPERM),
            ],
        )
        self.each(["clone3"], _ENOSYS)

    def finish(self, action: int) -> bytes:
        return b"".join([*self._code, _give(action)])


def start_filter() -> bytes:
    """The program that bwrap loads before it executes anything: a list of what is denied."""
    program = _Program()
    program.threads_only()
    program.argument_in("ioctl", 1, _TERMINAL_INJECTION, found=_EPERM, other=ALLOW)
    program.each(DENIED_AT_START, _EPERM)
    return program.finish(ALLOW)


def work_filter(*, devices: bool = False) -> bytes:
    """The program that a runner loads over itself before it touches a model: a list of what is allowed.

    Reads the calling process's id: a runner may signal itself (abort does) and nobody else.
    `devices` allows ioctl, which drivers of accelerators are spoken to with.
    """
    program = _Program()
    program.threads_only()
    if devices:
        program.argument_in("ioctl", 1, _TERMINAL_INJECTION, found=_EPERM, other=ALLOW)
    program.argument_in("ioctl", 1, _HARMLESS_IOCTLS, found=ALLOW, other=_EPERM)
    program.argument_in("fcntl", 1, _FCNTLS, found=ALLOW, other=_EPERM)
    program.argument_in("prctl", 0, _PRCTLS, found=ALLOW, other=_EPERM)
    for name in ("kill", "tgkill"):
        program.argument_in(name, 0, [os.getpid()], found=ALLOW, other=_EPERM)
    program.rule(
        "prlimit64",  # a limit may be read, not set
        [
            _argument(2),
            _ins(_EQUAL, 0, 0, 3),
            _argument(2, high=True),
            _ins(_EQUAL, 0, 0, 1),
            _give(ALLOW),
            _give(_EPERM),
        ],
    )
    program.each(_ALLOWED_AT_WORK.split(), ALLOW)
    return program.finish(_EPERM)


class _SockFprog(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def load(program: bytes) -> None:
    """Bind every thread of this process to a program, for ever. Raises OSError.

    prctl(PR_SET_NO_NEW_PRIVS) must have been set, as bwrap does.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    seccomp_number = {0xC000003E: 317, 0xC00000B7: 277}[current()[0]]
    set_mode_filter, thread_sync = 1, 1
    buffer = ctypes.create_string_buffer(program, len(program))
    argument = _SockFprog(len(program) // 8, ctypes.cast(buffer, ctypes.c_char_p))
    result = libc.syscall(seccomp_number, set_mode_filter, thread_sync, ctypes.byref(argument))
    if result != 0:
        raise OSError(ctypes.get_errno(), f"seccomp filter refused (result {result})")
