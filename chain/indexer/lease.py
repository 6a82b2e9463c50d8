"""One worker at a time: a lease on a row. The indexer's is its stream, the sender's its account.

The lease says who should work. What makes two workers harmless is its token, which grows with each holder and which
each commit checks. So neither a wrong clock nor a wrong guess about a dead process can lose or double anything.
"""

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from chain.models import OutboxAccount, Stream

# Models with the columns `lease_owner`, `lease_until` and `lease_token`.
Leased = Stream | OutboxAccount

# Longer than a step with a slow node. A successor on the same machine does not wait for it, nor after a clean end.
LEASE_TIME = timedelta(seconds=60)
_PROC = Path("/proc")


def owner_identity() -> str:
    """Names this process so that another one on the same machine can tell when it is gone. Differs with each call."""
    pid = os.getpid()
    return f"{_namespace()}/{pid}/{_start_time(pid)}/{secrets.token_hex(4)}"


def owner_is_gone(owner: str) -> bool:
    """True only where the owner was a process of this machine, seen from the same namespace, and no longer runs."""
    namespace, _, rest = owner.partition("/")
    pid, _, rest = rest.partition("/")
    started = rest.partition("/")[0]
    if not pid.isdecimal() or not started or not namespace or namespace != _namespace():
        return False
    return _start_time(int(pid)) != started


def lease_take(stream: Leased, owner: str) -> int | None:
    """Take the lease if it is free, expired or its owner is gone. The token, or `None`."""
    now = timezone.now()
    free = Q(lease_owner="") | Q(lease_until__lt=now) | Q(lease_until=None)
    if owner_is_gone(stream.lease_owner):
        free |= Q(lease_token=stream.lease_token)
    taken = (
        _rows(type(stream))
        .filter(free, pk=stream.pk, lease_token=stream.lease_token)
        .update(lease_owner=owner, lease_until=now + LEASE_TIME, lease_token=F("lease_token") + 1)
    )
    return stream.lease_token + 1 if taken == 1 else None


def lease_renew(stream_id: int, token: int, *, of: type[Leased] = Stream) -> bool:
    """Keep the lease for another period. False where somebody else took it."""
    held = _rows(of).filter(pk=stream_id, lease_token=token).exclude(lease_owner="")
    return held.update(lease_until=timezone.now() + LEASE_TIME) == 1


def lease_release(stream_id: int, token: int, *, of: type[Leased] = Stream) -> None:
    """Let the next one in at once."""
    _rows(of).filter(pk=stream_id, lease_token=token).update(lease_owner="", lease_until=None)


def _rows(model: type[Leased]) -> QuerySet[Any]:
    return model._default_manager.all()


def _namespace() -> str:
    """Process ids mean something within one boot and one pid namespace. Empty where the system names neither."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _start_time(pid: int) -> str:
    try:
        # The second field is the command in parentheses, which may hold anything; the start time is the 22nd.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
