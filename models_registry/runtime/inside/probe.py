"""The payload of the start-up check: lock, report, leave."""

from models_registry.runtime.inside import lockdown
from models_registry.runtime.wire import RunnerChannel


def main(channel: RunnerChannel) -> None:
    """Answer `locked`, or `open` with the reason."""
    options = channel.receive()
    try:
        facts = lockdown.lock(options)
    except (OSError, RuntimeError) as error:
        channel.send({"kind": "open", "reason": str(error)})
    else:
        channel.send({"kind": "locked", **facts})
