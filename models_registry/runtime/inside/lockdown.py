"""The second half of the sandbox, closed from inside: after the imports, before the model."""

import errno
import os
import socket
from typing import Any

from models_registry.runtime import landlock, seccomp

MODEL_PATH = "/model/release"
# Landlock passes over a mount point and asks its parent, so that the rule holds for what is mounted after the lock too.
_MODEL_PARENT = "/model"
SCRATCH_PATH = "/tmp"  # noqa: S108 - the sandbox's own, sized tmpfs
_KERNEL_FACTS = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/etc/ld.so.cache")
# What CUDA reads of the driver before it opens a card.
_CARD_FACTS = ("/proc/driver/nvidia", "/proc/devices", "/proc/sys/vm/mmap_min_addr")
_PLAIN_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def lock(options: dict[str, Any]) -> dict[str, Any]:
    """Close everything that computing does not need, and try it. Returns what holds.

    `options`: `readable` (paths of interpreter and libraries), `devices`, `allow_degraded`.
    Raises RuntimeError when a layer is missing or does not hold: the runner must then end.
    """
    threads = os.listdir("/proc/self/task")  # noqa: PTH208 - one system call
    if len(threads) != 1:
        # Landlock binds the calling thread alone; one that an import left behind would stay free.
        raise RuntimeError(f"{len(threads)} threads before the lock, expected 1")
    landlock_abi = 0
    if landlock.abi() > 0 or not options["allow_degraded"]:
        landlock_abi = landlock.restrict(
            readable=[
                *options["readable"],
                _MODEL_PARENT,
                *_KERNEL_FACTS,
                *(_CARD_FACTS if options["devices"] else ()),
            ],
            scratch=[SCRATCH_PATH],
            devices=[*_PLAIN_DEVICES, *options["devices"]],
        )
    seccomp.load(seccomp.work_filter(devices=bool(options["devices"])))
    _try(landlock_abi)
    return {"landlock": landlock_abi}


def _try(landlock_abi: int) -> None:
    """The layers hold only if an attempt says so."""
    _expect_refused("a socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close())
    _expect_refused("a program", lambda: os.execv("/proc/self/exe", ["python"]))  # noqa: S606 - expected to fail
    # memfd_create is refused by the work filter alone, so that its absence shows.
    _expect_refused("a file in memory", lambda: os.close(os.memfd_create("attempt")))
    if landlock_abi:
        _expect_refused("another process's files", lambda: os.close(os.open("/proc/1/status", os.O_RDONLY)))


def _expect_refused(what: str, attempt: Any) -> None:
    try:
        attempt()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            return
        raise RuntimeError(f"{what} failed for another reason than the lock: {error}") from error
    raise RuntimeError(f"{what} was not refused")
