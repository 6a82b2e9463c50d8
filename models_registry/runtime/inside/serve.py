"""The production payload: import, lock, load one model, answer requests until the host leaves.

The messages, in order: host `begin` (options), runner `locked`; host `load`, runner `ready` or `failed`;
then host `run`, runner `done` or `failed`, with the request's id, and before it, where the request streams, `part`
for each piece of text. While a request runs, `cancel` with its id may come. A failure carries a code and, for a
model that cannot be loaded, a reason from a fixed list; details go to stderr, which the operator reads.
"""

import sys
import traceback
from typing import Any

from models_registry.runtime.inside import lockdown
from models_registry.runtime.wire import RunnerChannel

_OUT_OF_MEMORY_WORDS = ("can't allocate memory", "out of memory", "bad_alloc", "not enough memory")


class Refusal(Exception):
    """A failure with a code of the protocol."""

    def __init__(self, code: str, reason: str = "", **data: Any) -> None:
        super().__init__(code, reason)
        self.fields = {"code": code, "reason": reason, **data}


class Exchange:
    """The request that is being answered: whether it is still wanted, and who reads along."""

    def __init__(self, channel: RunnerChannel, request: dict[str, Any]) -> None:
        self._channel, self._identity = channel, request["id"]
        self._streams = request.get("streams", False)

    def check(self) -> None:
        """Raises Refusal once the host does not want the answer any more."""
        while self._channel.is_waiting():
            if self._channel.receive().get("cancel") == self._identity:
                raise Refusal("runner.cancelled")

    def part(self, position: int, text: str) -> None:
        """Send a piece of an input's text, if somebody reads along."""
        if self._streams:
            self._channel.send({"kind": "part", "id": self._identity, "position": position, "text": text})


def main(channel: RunnerChannel) -> None:
    """Serve until the host closes the channel."""
    try:
        models = prepare(channel)
        model = _load(channel, models)
        while model is not None:
            _answer(channel, model)
    except EOFError:
        return


def prepare(channel: RunnerChannel) -> Any:
    """Import what needs an open world, close the world, say so. Returns the module of models."""
    options = channel.receive()
    # Imports come before the lock: they read and map files that the lock closes. They are not at the
    # top of the file, since attacks run through this function with and without them.
    from models_registry.runtime.inside import models  # noqa: PLC0415

    facts = lockdown.lock(options)
    models.configure(options["threads"])
    channel.send({"kind": "locked", **facts})
    return models


def _load(channel: RunnerChannel, models: Any) -> Any:
    request = channel.receive()
    try:
        model = models.load(lockdown.MODEL_PATH, request["task"], request["dtype"])
        channel.send({"kind": "ready", **model.facts(), **models.accelerator_facts(model)})
    except Refusal as refusal:
        channel.send({"kind": "failed", **refusal.fields})
    except Exception as error:  # noqa: BLE001 - any failure of untrusted files is an answer; stderr keeps it
        channel.send({"kind": "failed", **_explained(error, "model.unloadable")})
    else:
        return model
    return None


def _answer(channel: RunnerChannel, model: Any) -> None:
    request = channel.receive()
    if "cancel" in request:
        return  # it came after the answer
    model.exchange = Exchange(channel, request)
    try:
        reply = {"kind": "done", **model.run(request["inputs"], request["parameters"])}
    except EOFError:
        raise  # the host is gone
    except Refusal as refusal:
        reply = {"kind": "failed", **refusal.fields}
    except Exception as error:  # noqa: BLE001 - likewise
        reply = {"kind": "failed", **_explained(error, "runner.failed")}
    channel.send({**reply, "id": request["id"]})


def _explained(error: Exception, code: str) -> dict[str, str]:
    traceback.print_exception(error, file=sys.stderr)
    text = str(error)
    if isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY_WORDS):
        return {"code": "runner.out_of_memory", "reason": ""}
    return {"code": code, "reason": "other"}
