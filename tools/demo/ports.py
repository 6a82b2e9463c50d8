"""Loopback ports: finding a free one, and telling whose process answers on it."""

import random
import socket
from pathlib import Path

# Below Linux's ephemeral range (32768 and up), so that no outgoing connection takes the port in between.
_RANGE = range(20000, 32000)


def is_free(port: int) -> bool:
    """Whether a listener could take `port` on the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection that lingers in TIME_WAIT does not occupy the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(*, preferred: int | None = None) -> int:
    """`preferred` when it is free, else a random free port."""
    if preferred is not None and is_free(preferred):
        return preferred
    # The system's generator, not the seeded one: test runners seed `random` alike in every process.
    for port in random.SystemRandom().sample(_RANGE, 200):
        if is_free(port):
            return port
    raise OSError("no free port on 127.0.0.1 between 20000 and 31999: stop some servers and try again")


def listens(pid: int, port: int) -> bool:
    """Whether process `pid` itself holds the listening socket of `port`.

    A port that answers proves nothing: another process may have taken it first.
    """
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
        return any(str(link.readlink()) in inodes for link in links)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
