"""Landlock by its three system calls: which paths a runner may still open. Source: landlock(7).

Imported inside the sandbox as well: nothing but the standard library.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same number on every architecture
_VERSION_FLAG = 1
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_ON_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _READ_FILE | _READ_DIR
_SCRATCH = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_DEVICE = _READ_FILE | _WRITE_FILE | _IOCTL_DEV

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """The kernel's Landlock version, 0 where it has none."""
    version: int = _libc.syscall(_CREATE, None, 0, _VERSION_FLAG)
    return max(version, 0)


def _handled(version: int) -> bytes:
    """struct landlock_ruleset_attr in the size that this version knows: files, then TCP, then scopes."""
    file_bits = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    fields = [(1 << file_bits) - 1]
    if version >= 4:
        fields.append(0b11)  # bind and connect TCP
    if version >= 6:
        fields.append(0b11)  # abstract unix sockets and signals outside the domain
    return struct.pack(f"={len(fields)}Q", *fields)


def restrict(*, readable: Iterable[str], scratch: Iterable[str] = (), devices: Iterable[str] = ()) -> int:
    """Leave this thread the named paths alone. Returns the ABI in force.

    It binds the calling thread and those that it starts: call it while there is one thread.
    Paths that do not exist are passed over. Raises OSError.
    """
    version = abi()
    if version == 0:
        raise OSError(38, "this kernel has no Landlock")
    attributes = _handled(version)
    ruleset = _checked(_libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0))
    handled = struct.unpack_from("=Q", attributes)[0]
    try:
        for paths, rights in ((readable, _READ), (scratch, _SCRATCH), (devices, _DEVICE)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        _checked(_libc.syscall(_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)
    return version


def _allow(ruleset: int, path: str, rights: int) -> None:
    if not Path(path).exists():
        return
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not Path(path).is_dir():
            rights &= _ON_FILES
        rule = struct.pack("=Qi", rights, parent)
        _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
    finally:
        os.close(parent)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock refused")
    return result
