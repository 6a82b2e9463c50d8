"""Whose turn it is at one runner: round-robin over buyers, with calls that are alike taken along.

Nothing here runs a model. A call's own thread waits, and then either leads a turn or is answered by one that
somebody else leads. So that no buyer is made to wait by another's flood:

- the turn is the buyer's who was served longest ago, or never and came first, and goes from oldest to newest within
  one: newcomers wait for each of the others once, and no stream of them keeps anybody waiting for ever;
- whoever gives up waiting keeps that place, and whoever is next stays for one turn more: so the line moves;
- a turn is its leader's call and a bounded number of short ones;
- the waiting room is bounded, and when it is full the newest call of the buyer who has most in it makes place.
"""

import itertools
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from models_registry.runtime.errors import RunnerBusyError, RunnerCancelledError
from models_registry.runtime.exchange import CANCELLED, OnText
from models_registry.runtime.specs import RunResult

MOST_ROWS = 32  # inputs of one joined request
# With more a batch is hardly cheaper by the input; with fewer, half of a crowd is answered while the other half runs.
_ROWS_OF_A_THREAD, _FEWEST_ROWS = 8, 16
MOST_EXTENT = 16_384  # characters of the calls that a leader takes along
# A call that is much longer than the leader's would make the leader wait; shorter ones would wait anyway.
_LONGER, _SHORT = 4, 512
# After a turn of several calls their threads are likely to be back in a moment.
_GATHER_S = 0.003
_RECENT_S = 0.010
_START_S = 0.005  # how long a turn that is over waits for the next one's request
_LOOK_S = 0.05  # how often a waiting call looks whether it was cancelled
_PATIENCE_S = 1.0
_SUSPECT_S = 600.0
_MOST_SUSPECTS = 1024
_MOST_PLACES = 1024  # buyers whose place in the line is remembered
_LONGEST_RETRY_S = 60


class State(Enum):
    """Where a call is. LEADS: its thread holds the turn, or hands out the answers. TAKEN: another's turn answers it."""

    WAITS = 1
    LEADS = 2
    TAKEN = 3
    ENDED = 4


@dataclass(eq=False)
class Call:
    """One caller's use of a runner. `until` is the monotonic time at which it stops waiting for a turn.

    Once, where it is next by then, it waits `deadline_s` longer (`has_stayed`), which a turn and a start may last.

    `joins` says whether it may share a request with calls of equal parameters. Of a call that leads, `taken` are those
    that it took along; `is_under_way` is set once its request is sent, or its turn is over.
    """

    inputs: list[Any]
    parameters: dict[str, Any]
    deadline_s: float
    buyer: str = ""
    joins: bool = False
    on_text: OnText | None = None
    cancelled: threading.Event | None = None
    state: State = State.WAITS
    outcome: RunResult | Exception | None = None
    ready: threading.Event = field(default_factory=threading.Event)
    asked_at: float = field(default_factory=time.monotonic)
    until: float = 0.0
    has_stayed: bool = False
    extents: list[int] = field(init=False)
    taken: list["Call"] = field(default_factory=list)
    is_under_way: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.until = self.asked_at + max(0.0, self.deadline_s)
        self.extents = [extent(value) for value in self.inputs]

    def is_cancelled(self) -> bool:
        return self.cancelled is not None and self.cancelled.is_set()

    def end(self, outcome: RunResult | Exception) -> None:
        """Give the caller its answer. One that left already gets none."""
        if self.state is not State.ENDED:
            self.state, self.outcome = State.ENDED, outcome
            self.ready.set()

    def result(self) -> RunResult:
        """The answer, or raises what went wrong."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome is None:
            raise RuntimeError("The call has not ended.")
        return self.outcome


class Turns:
    """The turns of one runner. Thread-safe. `most_waiting` bounds the calls that wait, `most_rows` a joined request."""

    def __init__(self, *, most_waiting: int, most_rows: int = MOST_ROWS) -> None:
        self._most_waiting, self._most_rows = most_waiting, most_rows
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._queues: OrderedDict[str, deque[Call]] = OrderedDict()
        self._leader: Call | None = None
        self._last_buyer = ""
        # When each buyer was served last, and of those that never were, when they came: by numbers of one count.
        self._places: OrderedDict[str, int] = OrderedDict()
        self._numbers = itertools.count()
        self._began_at = self._ended_at = 0.0
        self._before = 1  # calls of the turn that was answered last
        self._call_s = 0.0  # what a call took of late

    def enter(self, call: Call) -> None:
        """Begin to wait. Raises RunnerBusyError where too many wait already."""
        with self._lock:
            if call.buyer not in self._places:
                self._note_place(call.buyer)
            if self._waiting() >= self._most_waiting:
                self._make_place(call.buyer)
            self._queues.setdefault(call.buyer, deque()).append(call)
            self._arrived.notify_all()
            self._grant()

    def wait(self, call: Call) -> bool:
        """Wait for the turn. True: the caller leads, and must `release`. False: the call has ended.

        Raises RunnerBusyError when its time to wait is over, RunnerCancelledError.
        """
        while not call.ready.wait(_pause(call)):
            with self._lock:
                if call.ready.is_set():
                    break
                if call.is_cancelled():
                    self._take_out(call)
                    raise RunnerCancelledError(CANCELLED)
                if call.state is State.WAITS and time.monotonic() >= call.until and not self._stays(call):
                    self._take_out(call)
                    raise self._busy("Other runs of this model took all the time that this one had.")
        with self._lock:
            if call.state is State.LEADS:
                if call.is_cancelled():
                    raise RunnerCancelledError(CANCELLED)
                call.ready.clear()
                return True
            return False

    def gather(self, leader: Call) -> list[Call]:
        """The leader's call and those that it takes along. They are `end`ed or `put_back`."""
        with self._lock:
            if not leader.joins:
                return [leader]
            self._await_others()
            taken = self._companions(leader)
            for call in taken:
                call.state = State.TAKEN
            leader.taken = taken
            return [leader, *taken]

    def put_back(self, calls: list[Call], *, alone: set[Call]) -> None:
        """Let calls of a turn that went wrong wait again, in the places that they had; some by themselves.

        Turns go from buyer to buyer, and each may take all of its time: so long each waits, once for every buyer. Not
        for every call: one buyer's failing calls would hold their threads for the sum of their deadlines. What gets no
        turn in time may be tried again.
        """
        with self._lock:
            self._put_back(calls, alone)

    def separate(self, buyer: str) -> None:
        """Join the waiting calls of a buyer with nobody's."""
        with self._lock:
            for call in self._queues.get(buyer, ()):
                call.joins = False

    def pass_on(self, leader: Call) -> None:
        """Let the next turn begin before the answers of this one are handed out, so that the runner need not wait.

        Returns once the next request is under way, or after a moment: each answer wakes a thread, and all of those
        would be in the way of the next leader's.
        """
        with self._lock:
            self._end_turn(leader)
            following = self._leader
        if following is not None:
            following.is_under_way.wait(_START_S)
        with self._lock:
            self._note_return(leader)

    def release(self, leader: Call) -> None:
        """The turn is over; the next one begins. Calls that it took along and left without an answer wait again."""
        with self._lock:
            self._put_back([call for call in leader.taken if call.state is State.TAKEN], set())
            if self._leader is leader:
                self._note_return(leader)
                self._end_turn(leader)
            leader.taken = []
            self._grant()

    def leave(self, call: Call) -> None:
        """Whatever interrupted the caller, nothing is left of its call."""
        with self._lock:
            self._take_out(call)
        self.release(call)

    def busy(self, reason: str) -> RunnerBusyError:
        """The answer to a call for which there is no place, with the time after which one is likely."""
        with self._lock:
            return self._busy(reason)

    def _busy(self, reason: str) -> RunnerBusyError:
        seconds = min(_LONGEST_RETRY_S, max(1, math.ceil(self._waiting() * self._call_s)))
        return RunnerBusyError(f"{reason} Try again in {seconds} s.", retry_after_s=seconds)

    def _put_back(self, calls: list[Call], alone: set[Call]) -> None:
        deadlines_s: dict[str, float] = {}
        for call in calls:
            deadlines_s[call.buyer] = max(call.deadline_s, deadlines_s.get(call.buyer, 0.0))
        patience_s = sum(deadlines_s.values())
        for call in reversed(calls):
            if call.state is not State.ENDED:
                call.state, call.joins = State.WAITS, call.joins and call not in alone
                call.until = time.monotonic() + patience_s
                self._queues.setdefault(call.buyer, deque()).appendleft(call)
                self._queues.move_to_end(call.buyer, last=False)

    def _waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    def _make_place(self, buyer: str) -> None:
        own = len(self._queues.get(buyer, ()))
        fullest = max(self._queues.values(), key=len)
        if len(fullest) <= own + 1:
            raise self._busy("Too many runs wait for this model.")
        newest = fullest[-1]
        self._take_out(newest, ended=False)
        newest.end(self._busy("Too many runs wait for this model."))

    def _grant(self) -> None:
        if self._leader is None and self._queues:
            call = self._next()
            self._unqueue(call)
            self._last_buyer = call.buyer
            call.state = State.LEADS
            self._leader, self._began_at = call, time.monotonic()
            if call.has_stayed:
                # What is left of its time would not do to wait for room.
                call.until = max(call.until, self._began_at + call.deadline_s)
            call.is_under_way.clear()
            call.ready.set()

    def _next(self) -> Call:
        """The call whose turn is next, where one waits."""
        # Not twice in a row the same buyer where another waits, since calls that are put back keep their place.
        others = [buyer for buyer in self._queues if buyer != self._last_buyer]
        return self._queues[min(others, key=self._place, default=self._last_buyer)][0]

    def _place(self, buyer: str) -> int:
        return self._places.get(buyer, -1)

    def _note_place(self, buyer: str) -> None:
        self._places[buyer] = next(self._numbers)
        self._places.move_to_end(buyer)
        if len(self._places) > _MOST_PLACES:
            self._places.popitem(last=False)

    def _stays(self, call: Call) -> bool:
        """Whether a call whose time is over waits on, as the turn is its own when the one that runs is over."""
        if call.has_stayed or self._next() is not call:
            return False
        call.has_stayed, call.until = True, time.monotonic() + call.deadline_s
        return True

    def _end_turn(self, leader: Call) -> None:
        for call in (leader, *leader.taken):
            if call.state is not State.WAITS:
                self._note_place(call.buyer)
        took = (time.monotonic() - self._began_at) / (1 + len(leader.taken))
        self._call_s = took if self._call_s == 0.0 else 0.8 * self._call_s + 0.2 * took
        self._leader = None
        leader.is_under_way.set()
        self._grant()

    def _note_return(self, leader: Call) -> None:
        """The threads of a turn's calls will be back in a moment."""
        self._before, self._ended_at = 1 + len(leader.taken), time.monotonic()

    def _await_others(self) -> None:
        """A moment's wait for the calls of the turn before, whose threads are on their way back."""
        now = time.monotonic()
        awaited = min(self._before, self._most_rows) if now - self._ended_at < _RECENT_S else 1
        until = now + _GATHER_S
        while 1 + self._waiting() < awaited and (left := until - time.monotonic()) > 0:
            self._arrived.wait(left)

    def _companions(self, leader: Call) -> list[Call]:
        """One call of each buyer in turn, as long as they fit."""
        taken: list[Call] = []
        rows, total = len(leader.inputs), 0
        longest = max(_SHORT, _LONGER * max(leader.extents))

        def fits(call: Call) -> bool:
            return (
                call.joins
                and rows + len(call.inputs) <= self._most_rows
                and total + sum(call.extents) <= MOST_EXTENT
                and max(call.extents) <= longest
                and call.parameters == leader.parameters
            )

        found = True
        while found:
            found = False
            for queue in list(self._queues.values()):
                call = next(filter(fits, queue), None)
                if call is not None:
                    found = True
                    self._unqueue(call)
                    taken.append(call)
                    rows, total = rows + len(call.inputs), total + sum(call.extents)
        return taken

    def _unqueue(self, call: Call) -> None:
        """Take a call out of its queue; its buyer goes to the end of the round."""
        queue = self._queues[call.buyer]
        queue.remove(call)
        if queue:
            self._queues.move_to_end(call.buyer)
        else:
            del self._queues[call.buyer]

    def _take_out(self, call: Call, *, ended: bool = True) -> None:
        """As `_unqueue`, without a loss of place for the buyer. A call in a turn is only marked."""
        queue = self._queues.get(call.buyer)
        if call.state is State.WAITS and queue is not None and call in queue:
            queue.remove(call)
            if not queue:
                del self._queues[call.buyer]
        if ended:
            call.state = State.ENDED


class Suspects:
    """Who ended a runner, for some minutes. Thread-safe. Each costs others a second try, so not again and again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[Hashable, float] = {}

    def add(self, who: Hashable) -> None:
        with self._lock:
            now = time.monotonic()
            self._until = {name: until for name, until in self._until.items() if until > now and name != who}
            while len(self._until) >= _MOST_SUSPECTS:
                del self._until[next(iter(self._until))]
            self._until[who] = now + _SUSPECT_S

    def __contains__(self, who: Hashable) -> bool:
        with self._lock:
            return self._until.get(who, 0.0) > time.monotonic()


def rows_for(threads: int, *, has_accelerator: bool) -> int:
    """How many inputs a joined request of a runner with so many threads may have: of an accelerator's all at once."""
    if has_accelerator:
        return MOST_ROWS
    return min(MOST_ROWS, max(_FEWEST_ROWS, _ROWS_OF_A_THREAD * threads))


def extent(value: Any) -> int:
    """Roughly how much there is to read: characters of texts, bytes of files."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(extent, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(extent, value))
    return 1


def _pause(call: Call) -> float:
    """Until when to sleep: a call in a turn has no time of its own to keep."""
    pause = _PATIENCE_S if call.cancelled is None else _LOOK_S
    if call.state is State.WAITS:
        pause = min(pause, call.until - time.monotonic())
    return max(0.0, pause)
