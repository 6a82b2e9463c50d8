"""Who gets room in memory: idle runners go first, busy ones take turns, and nobody waits behind a flood for ever."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from models_registry.runtime import room as rooms
from models_registry.runtime.errors import RunnerBusyError, RunnerOutOfMemoryError
from models_registry.runtime.room import Holder, Room
from models_registry.runtime.specs import MIB
from tests.runtime.support import eventually

LONG = 60.0


@pytest.fixture
def slots():
    return {}


@pytest.fixture
def room(slots):
    return Room(100 * MIB, slots)


@pytest.fixture
def holder(slots):
    """`holder(name, mib, users)`: in the slots, without room yet."""

    def make(name: str, mib: int = 60, *, users: int = 1) -> Holder:
        slots[name] = Holder(mib * MIB)
        slots[name].users = users
        return slots[name]

    return make


@pytest.fixture
def take(room):
    """`take(holder, within_s)`: the holders that were evicted for it."""

    def taken(holder: Holder, within_s: float = LONG) -> list[Holder]:
        gone: list[Holder] = []

        def evict(victim: Holder) -> None:
            gone.append(victim)
            room.give_back(victim)

        room.take(holder, until=time.monotonic() + within_s, evict=evict)
        return gone

    return taken


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def leaves(room: Room[Holder], holder: Holder) -> None:
    with room.changed:
        holder.users -= 1
        room.changed.notify_all()


def test_idle_holders_are_evicted_until_it_fits_least_recently_used_first(room, slots, holder, take):
    first, second, third = (holder(name, 30) for name in "abc")
    for number, one in enumerate((second, first, third)):
        assert take(one) == []
        one.users, one.last_used = 0, number
    assert take(holder("d", 60)) == [second, first]
    assert list(slots) == ["c", "d"] and room.free() == 10 * MIB


def test_busy_holder_is_asked_after_its_stay_and_makes_room_when_it_ends(room, holder, take, threads, monkeypatch):
    busy, other = holder("busy"), holder("other")
    take(busy)
    waits = threads.submit(take, other)
    assert eventually(lambda: room._line == [other])
    time.sleep(0.1)
    assert not busy.gives_way and not waits.done()
    monkeypatch.setattr(rooms, "STAY_S", 0.0)
    with room.changed:
        room.changed.notify_all()
    assert eventually(lambda: busy.gives_way)
    room.give_back(busy)
    assert waits.result(LONG) == [] and other.is_charged and not busy.gives_way


def test_nobody_who_works_is_asked_while_another_makes_way(room, holder, take, threads, monkeypatch):
    monkeypatch.setattr(rooms, "STAY_S", 0.0)
    busy, ending = holder("busy", 40), holder("ending", 40)
    for one in (busy, ending):
        take(one)
    told = threading.Event()
    monkeypatch.setattr(ending, "make_way", lambda: told.set() or ending.is_charged)
    monkeypatch.setattr(room, "_ask_to_give_way", lambda wanted: pytest.fail("somebody who works was asked"))
    waits = threads.submit(take, holder("other", 60))
    assert told.wait(LONG)
    room.give_back(ending)
    assert waits.result(LONG) == [] and busy.is_charged


def test_only_as_many_are_asked_as_are_needed_the_longest_in_first(room, holder, take, threads, monkeypatch):
    monkeypatch.setattr(rooms, "STAY_S", 0.0)
    small = [holder(name, 30) for name in "abc"]
    for one in small:
        take(one)
    waits = threads.submit(take, holder("d", 60))
    assert eventually(lambda: small[1].gives_way)
    assert [one.gives_way for one in small] == [True, True, False]
    for one in small[:2]:
        room.give_back(one)
    waits.result(LONG)


def test_two_that_do_not_fit_and_are_never_idle_take_turns(room, holder, threads, monkeypatch):
    monkeypatch.setattr(rooms, "STAY_S", 0.02)
    ends = threading.Event()
    turns = {"a": 0, "b": 0}

    def flood(name: str) -> None:
        mine = holder(name)
        while not ends.is_set():
            if not mine.is_charged:
                room.take(mine, until=time.monotonic() + LONG, evict=pytest.fail)
                turns[name] += 1
            time.sleep(0.001)
            if mine.gives_way:
                room.give_back(mine)
        room.give_back(mine)

    floods = [threads.submit(flood, name) for name in turns]
    assert eventually(lambda: min(turns.values()) >= 3)
    ends.set()
    for one in floods:
        one.result(LONG)


def test_small_one_passes_where_there_is_room_until_the_first_has_waited_for_long(
    room, holder, take, threads, monkeypatch
):
    take(holder("busy"))
    large = threads.submit(take, holder("large", 90))
    assert eventually(lambda: len(room._line) == 1)
    assert take(holder("small", 20)) == []
    monkeypatch.setattr(rooms, "STAY_S", -math.inf)
    with pytest.raises(RunnerBusyError):
        take(holder("later", 20), 0.05)
    with room.changed:
        room.is_closed = True
        room.changed.notify_all()
    with pytest.raises(RunnerBusyError, match="shutting down"):
        large.result(LONG)


def test_wait_that_ends_without_room_is_busy_and_nobody_is_asked_any_more(room, holder, take, monkeypatch):
    monkeypatch.setattr(rooms, "STAY_S", 0.0)
    busy = holder("busy")
    take(busy)
    with pytest.raises(RunnerBusyError) as refused:
        take(holder("other"), 0.05)
    assert refused.value.retryable and not busy.gives_way and room._line == []


def test_caller_that_leaves_makes_its_holder_idle_and_wakes_who_waits(room, holder, take, threads):
    busy, other = holder("busy"), holder("other")
    take(busy)
    waits = threads.submit(take, other)
    assert eventually(lambda: room._line == [other])
    leaves(room, busy)
    assert waits.result(LONG) == [busy]


def test_what_never_fits_is_refused_at_once(room, holder, take):
    with pytest.raises(RunnerOutOfMemoryError, match="about 101 MiB; this worker may use 100 MiB"):
        take(holder("huge", 101))
    assert room._line == []
