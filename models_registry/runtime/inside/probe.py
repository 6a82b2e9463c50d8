"""The payload of the start-up check: look around, lock, report, leave."""

import os
from pathlib import Path

from models_registry.runtime.inside import lockdown
from models_registry.runtime.wire import RunnerChannel


def main(channel: RunnerChannel) -> None:
    """Answer `locked`, or `open` with the reason."""
    options = channel.receive()
    try:
        _look_around()
        facts = lockdown.lock(options)
    except (OSError, RuntimeError) as error:
        channel.send({"kind": "open", "reason": str(error)})
    else:
        channel.send({"kind": "locked", **facts})


def _look_around() -> None:
    """What bwrap was asked for is there: a bwrap that does less would not complain. Raises RuntimeError."""
    if os.getpid() > 8:
        raise RuntimeError("the process namespace is the host's")
    if Path("/etc/passwd").exists():
        raise RuntimeError("the host's files are visible")
    interfaces = Path("/proc/net/dev").read_text().splitlines()[2:]
    if any(not line.strip().startswith("lo:") for line in interfaces):
        raise RuntimeError("the host's network is visible")
    if os.getuid() == 0:
        raise RuntimeError("the payload is root")
    if os.access("/", os.W_OK) or os.access("/dev", os.W_OK):
        raise RuntimeError("the root or /dev is writable")
