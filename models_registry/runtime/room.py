"""Room in memory for runners: who has it, who waits for it, who is asked to give it up.

Idle runners make room first, those that were used least recently before others. Where none is idle, those that have
been in longest are asked to end after the run that they are at; whoever still wants them waits in the same line. So
models that do not fit beside each other take turns, however busy the buyers of one keep it. Who is behind in the line
may pass where there is room at once, until the first has waited for long.
"""

import math
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Generic, TypeVar

from models_registry.runtime.errors import RunnerBusyError, RunnerOutOfMemoryError
from models_registry.runtime.specs import MIB

# A runner is not asked to give way sooner after it came in: loading takes a second or more, and runs are what counts.
# Nobody passes one that has waited for so long.
STAY_S = 10.0
RETRY_AFTER_S = 5
_SHUTTING_DOWN = "This worker is shutting down. Try again."


class Holder:
    """What may hold room: `charge` bytes, from before its runner starts until that has ended.

    `users` are the calls that run or wait there. `gives_way` asks for its end after the run in progress.
    """

    def __init__(self, charge: int) -> None:
        self.charge = charge
        self.users = 0
        self.is_charged = False
        self.gives_way = False
        self.waits_since = 0.0
        self.came_at = 0.0
        self.last_used = 0.0

    def make_way(self) -> bool:
        """Give up what no call waits for, where that is why it holds room: whether that is under way.

        Comes with `changed` held.
        """
        return False


HolderT = TypeVar("HolderT", bound=Holder)


class Room(Generic[HolderT]):
    """`memory_bytes` for the holders in `slots`, first come, first served. Thread-safe.

    `changed` guards the holders, and is notified of what may make room.
    """

    def __init__(self, memory_bytes: int, slots: MutableMapping[Any, HolderT]) -> None:
        self._memory_bytes, self._slots = memory_bytes, slots
        self.changed = threading.Condition()
        self.is_closed = False
        self._line: list[HolderT] = []

    def free(self) -> int:
        """Bytes that nobody holds."""
        with self.changed:
            return self._memory_bytes - sum(slot.charge for slot in self._slots.values() if slot.is_charged)

    def check_open(self) -> None:
        """Raises RunnerBusyError once the pool is closed."""
        if self.is_closed:
            raise RunnerBusyError(_SHUTTING_DOWN, retry_after_s=RETRY_AFTER_S)

    def take(self, holder: HolderT, *, until: float, evict: Callable[[HolderT], None]) -> None:
        """Charge the holder once there is room for it; `evict` ends one that was taken out of the slots.

        Raises RunnerOutOfMemoryError for what never fits, RunnerBusyError when it is `until` (monotonic) or closed.
        """
        if holder.charge > self._memory_bytes:
            needs, most = holder.charge // MIB, self._memory_bytes // MIB
            raise RunnerOutOfMemoryError(f"The model needs about {needs} MiB; this worker may use {most} MiB.")
        with self.changed:
            holder.waits_since = time.monotonic()
            self._line.append(holder)
        try:
            while (victim := self._wait(holder, until)) is not None:
                evict(victim)
        finally:
            with self.changed:
                self._line.remove(holder)
                if not self._line:
                    for slot in self._slots.values():
                        slot.gives_way = False
                self.changed.notify_all()

    def take_idle(self, holder: HolderT, *, beside: int) -> bool:
        """Charge the holder if there is room for it and `beside` bytes more that nobody has or waits for."""
        with self.changed:
            if self.is_closed or self._line or holder.charge + beside > self.free():
                return False
            holder.is_charged, holder.came_at = True, time.monotonic()
            return True

    def give_back(self, holder: HolderT) -> None:
        """Its runner has ended, or never started."""
        with self.changed:
            holder.is_charged = holder.gives_way = False
            self.changed.notify_all()

    def _wait(self, holder: HolderT, until: float) -> HolderT | None:
        """Wait until the holder is charged (`None`), or return somebody idle, taken out of the slots, to be evicted."""
        with self.changed:
            while True:
                self.check_open()
                now, first, ask_again = time.monotonic(), self._line[0], math.inf
                if holder.charge <= self.free() and (holder is first or now < first.waits_since + STAY_S):
                    holder.is_charged, holder.came_at = True, now
                    return None
                if holder is first:
                    making_way = [slot for slot in self._slots.values() if slot.make_way()]
                    idle = [(slot.last_used, key) for key, slot in self._slots.items() if _is_idle(slot)]
                    if idle:
                        return self._slots.pop(min(idle)[1])
                    # What is under way may do: nobody who works is asked before it has come.
                    ask_again = math.inf if making_way else self._ask_to_give_way(holder.charge)
                left = min(until, ask_again) - time.monotonic()
                if left > 0:
                    self.changed.wait(left)
                elif ask_again >= until:
                    raise RunnerBusyError(
                        "No room for one more model came free in time. Try again.", retry_after_s=RETRY_AFTER_S
                    )

    def _ask_to_give_way(self, wanted: int) -> float:
        """Ask as many as are needed, longest in first. Returns when the next may be asked."""
        charged = sorted((slot for slot in self._slots.values() if slot.is_charged), key=lambda slot: slot.came_at)
        missing = wanted - self.free() - sum(slot.charge for slot in charged if slot.gives_way)
        for slot in charged:
            if missing <= 0:
                break
            if slot.gives_way:
                continue
            if time.monotonic() < slot.came_at + STAY_S:
                return slot.came_at + STAY_S
            slot.gives_way = True
            missing -= slot.charge
        return math.inf


def _is_idle(holder: Holder) -> bool:
    return holder.users == 0 and holder.is_charged
