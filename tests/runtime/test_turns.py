import threading
import time

import pytest

from models_registry.runtime.errors import RunnerBusyError, RunnerCancelledError
from models_registry.runtime.specs import RunResult
from models_registry.runtime.turns import MOST_ROWS, Call, State, Suspects, Turns, rows_for
from tests.runtime.support import eventually

ANSWER = RunResult(outputs=[], fingerprint={}, timings={}, usage={})


def call(buyer="buyer", text="good", *, joins=True, rows=1, cancelled=None, deadline_s=60.0, **parameters) -> Call:
    return Call([text] * rows, parameters, deadline_s, buyer=buyer, joins=joins, cancelled=cancelled)


@pytest.fixture
def turns():
    return Turns(most_waiting=64)


def leading(turns: Turns, buyer="first", **changes) -> Call:
    """A call that has the turn."""
    leader = call(buyer, **changes)
    turns.enter(leader)
    assert turns.wait(leader)
    return leader


def entered(turns: Turns, *calls: Call) -> list[Call]:
    for one in calls:
        turns.enter(one)
    return list(calls)


def served(turns: Turns, leader: Call, waiting: list[Call]) -> list[Call]:
    """The calls in the order of their turns, each of one call."""
    order = []
    while leader is not None:
        order.append(leader)
        turns.release(leader)
        leader = next((one for one in waiting if one.state is State.LEADS and one not in order), None)
    return order[1:]


def test_turns_go_round_the_buyers_and_by_age_within_one(turns):
    leader = leading(turns, joins=False)
    flood = [call("flood", joins=False) for _ in range(3)]
    single, other = call("single", joins=False), call("other", joins=False)
    waiting = entered(turns, *flood, single, other)
    assert served(turns, leader, waiting) == [flood[0], single, other, flood[1], flood[2]]


def test_buyer_that_comes_late_is_next_in_spite_of_a_flood(turns):
    leader = leading(turns, "flood", joins=False)
    flood = entered(turns, *(call("flood", joins=False) for _ in range(30)))
    single = call("single", joins=False)
    turns.enter(single)
    assert served(turns, leader, [*flood, single])[0] is single


def test_third_buyer_waits_for_one_turn_of_each_of_two_floods(turns):
    first = leading(turns, "a", joins=False)
    second, third = entered(turns, call("b", joins=False), call("a", joins=False))
    turns.release(first)
    turns.release(second)
    first_again, again = third, entered(turns, call("b", joins=False), call("a", joins=False))
    late = call("late", joins=False)
    turns.enter(late)
    assert served(turns, first_again, [*again, late]) == [again[0], late, again[1]]


def test_buyer_who_gave_up_and_comes_again_has_kept_the_place(turns):
    leader = leading(turns, joins=False)
    given_up = call("patient", joins=False, deadline_s=0.01)
    turns.enter(given_up)
    with pytest.raises(RunnerBusyError):
        turns.wait(given_up)
    newer, again = entered(turns, call("newer", joins=False), call("patient", joins=False))
    assert served(turns, leader, [newer, again]) == [again, newer]


def test_stream_of_newcomers_does_not_keep_a_buyer_waiting_who_was_served(turns):
    turns.release(leading(turns, "served", joins=False))
    leader = leading(turns, "new", joins=False)
    again = call("served", joins=False)
    waiting = entered(turns, again, *(call(f"new {number}", joins=False) for number in range(5)))
    assert served(turns, leader, waiting)[0] is again


def test_buyer_who_was_taken_along_was_served(turns):
    leader = leading(turns)
    entered(turns, call("taken"))
    for one in turns.gather(leader):
        one.end(ANSWER)
    again, other = entered(turns, call("taken", joins=False), call("other", joins=False))
    assert served(turns, leader, [again, other]) == [other, again]


def test_call_that_is_next_when_its_time_is_over_stays_for_one_turn_more(turns):
    leader = leading(turns)
    following, behind = entered(turns, call("a", joins=False), call("b", joins=False))
    following.until = behind.until = 0.0
    with pytest.raises(RunnerBusyError):
        turns.wait(behind)
    threading.Timer(0.2, turns.release, [leader]).start()
    assert turns.wait(following)
    assert following.until > time.monotonic() + 30, "it has time to wait for room"


def test_call_that_is_next_stays_no_longer_than_that(turns):
    leading(turns)
    following = call("a", deadline_s=0.05)
    turns.enter(following)
    with pytest.raises(RunnerBusyError):
        turns.wait(following)
    assert following.has_stayed


def test_no_more_than_so_many_places_are_remembered(turns):
    for n in range(1100):
        turns.release(leading(turns, f"buyer {n}"))
    assert len(turns._places) == 1024 and "buyer 0" not in turns._places


def test_turn_takes_calls_of_equal_parameters_along(turns):
    leader = leading(turns, normalise=True)
    alike, unlike = call("b", normalise=True), call("c", normalise=False)
    entered(turns, alike, unlike)
    assert turns.gather(leader) == [leader, alike]
    assert (alike.state, unlike.state) == (State.TAKEN, State.WAITS)


def test_turn_takes_of_each_buyer_before_it_takes_twice_of_one(turns):
    leader = leading(turns)
    flood = [call("flood", rows=8) for _ in range(10)]
    others = [call(name, rows=8) for name in ("b", "c")]
    entered(turns, *flood, *others)
    assert turns.gather(leader) == [leader, flood[0], *others]


def test_turn_is_bounded_in_rows_and_in_characters(turns):
    leader = leading(turns)
    entered(turns, *(call("flood") for _ in range(60)))
    assert len(turns.gather(leader)) == MOST_ROWS
    long = Turns(most_waiting=64)
    leader = leading(long, text="x" * 4000)
    entered(long, *(call("flood", "x" * 4000) for _ in range(20)))
    assert len(long.gather(leader)) == 1 + 4


def test_runner_with_more_threads_is_given_more_rows_at_once():
    rows = [rows_for(threads, has_accelerator=False) for threads in (1, 2, 3, 4, 64)]
    assert rows == [16, 16, 24, 32, 32]
    assert rows_for(1, has_accelerator=True) == MOST_ROWS
    turns = Turns(most_waiting=64, most_rows=rows[0])
    leader = leading(turns)
    entered(turns, *(call("flood") for _ in range(60)))
    assert len(turns.gather(leader)) == 16


def test_short_call_takes_no_long_one_along_and_a_long_one_takes_short_ones(turns):
    leader = leading(turns, text="x" * 10)
    long = call("b", "x" * 4000)
    turns.enter(long)
    assert turns.gather(leader) == [leader]
    turns.release(leader)
    short = call("c")
    turns.enter(short)
    assert turns.wait(long) and turns.gather(long) == [long, short]


def test_full_room_refuses_with_the_seconds_after_which_to_come_again():
    turns = Turns(most_waiting=2)
    leading(turns)
    entered(turns, call("a"), call("b"))
    with pytest.raises(RunnerBusyError) as caught:
        turns.enter(call("c"))
    assert caught.value.retryable and 1 <= caught.value.data["retry_after_s"] <= 60


def test_newest_call_of_a_flood_makes_place_for_another_buyer():
    turns = Turns(most_waiting=3)
    leading(turns)
    flood = entered(turns, *(call("flood") for _ in range(3)))
    single = call("single")
    turns.enter(single)
    assert [one.state for one in (*flood, single)] == [State.WAITS, State.WAITS, State.ENDED, State.WAITS]
    with pytest.raises(RunnerBusyError):
        flood[2].result()
    with pytest.raises(RunnerBusyError):
        turns.enter(call("flood"))


def test_call_whose_time_to_wait_is_over_is_busy_and_leaves_no_trace(turns):
    leader = leading(turns)
    late, other = call("late", deadline_s=0.01), call("other")
    entered(turns, late, other)
    with pytest.raises(RunnerBusyError):
        turns.wait(late)
    assert turns.gather(leader) == [leader, other]


def test_waiting_call_that_is_cancelled_leaves_and_the_turn_goes_on(turns):
    cancelled = threading.Event()
    leader, given_up, other = leading(turns), call("a", cancelled=cancelled), call("b")
    entered(turns, given_up, other)
    cancelled.set()
    with pytest.raises(RunnerCancelledError):
        turns.wait(given_up)
    turns.release(leader)
    assert turns.wait(other)


def test_call_that_is_cancelled_as_its_turn_comes_hands_the_turn_on(turns):
    cancelled = threading.Event()
    leader, given_up, other = leading(turns), call("a", cancelled=cancelled), call("b")
    entered(turns, given_up, other)
    turns.release(leader)
    cancelled.set()
    with pytest.raises(RunnerCancelledError):
        turns.wait(given_up)
    turns.leave(given_up)
    assert turns.wait(other)


def test_taken_call_that_is_cancelled_is_given_no_answer(turns):
    cancelled = threading.Event()
    leader, taken = leading(turns), call("a", cancelled=cancelled)
    turns.enter(taken)
    turns.gather(leader)
    cancelled.set()
    with pytest.raises(RunnerCancelledError):
        turns.wait(taken)
    taken.end(ANSWER)
    assert taken.outcome is None
    turns.put_back([taken], alone=set())
    assert taken.state is State.ENDED


def test_calls_put_back_go_first_and_those_at_fault_alone(turns):
    leader = leading(turns)
    good, bad, other = call("good"), call("bad"), call("good")
    entered(turns, good, bad, other)
    assert turns.gather(leader) == [leader, good, bad, other]
    later = call("later")
    turns.enter(later)
    turns.put_back([leader, good, bad, other], alone={bad})
    turns.release(leader)
    assert turns.wait(good)
    together = turns.gather(good)
    assert together == [good, leader, later, other]
    for one in together:
        one.end(ANSWER)
    turns.release(good)
    assert turns.wait(bad) and turns.gather(bad) == [bad]


def test_separated_buyers_waiting_calls_are_joined_with_nobodys(turns):
    leader = leading(turns)
    suspect, other = call("suspect"), call("other")
    entered(turns, suspect, other)
    turns.separate("suspect")
    assert turns.gather(leader) == [leader, other]


def test_suspects_are_forgotten_in_time_and_never_more_than_so_many(monkeypatch):
    suspects = Suspects()
    for n in range(1100):
        suspects.add(n)
    assert 1099 in suspects and 0 not in suspects
    assert len(suspects._until) == 1024
    monkeypatch.setattr("models_registry.runtime.turns._SUSPECT_S", -1)
    suspects.add(1099)
    assert 1099 not in suspects


def test_lone_call_waits_for_nobody(turns, monkeypatch):
    """Not a matter of time: the wait for others is not entered at all."""
    monkeypatch.setattr(turns._arrived, "wait", lambda left: pytest.fail("waited for others that are not there"))
    for _ in range(3):
        leader = leading(turns)
        assert turns.gather(leader) == [leader]
        leader.end(ANSWER)
        turns.release(leader)


def test_call_after_a_turn_of_many_waits_a_moment_for_the_others(turns, monkeypatch):
    leader = leading(turns)
    entered(turns, call("a"), call("b"))
    for one in turns.gather(leader):
        one.end(ANSWER)
    monkeypatch.setattr("models_registry.runtime.turns._RECENT_S", 60)
    monkeypatch.setattr("models_registry.runtime.turns._GATHER_S", 60)
    turns.release(leader)
    back = leading(turns)
    gathered: list[Call] = []
    thread = threading.Thread(target=lambda: gathered.extend(turns.gather(back)))
    thread.start()
    others = entered(turns, call("a"), call("b"))
    thread.join()
    assert gathered == [back, *others]


def test_next_turn_begins_before_the_answers_of_the_one_before_are_handed_out(turns):
    leader, taken, following = leading(turns), call("a"), call("b", joins=False)
    entered(turns, taken, following)
    assert turns.gather(leader) == [leader, taken]
    turns.pass_on(leader)
    assert (taken.state, following.state) == (State.TAKEN, State.LEADS)
    for one in (leader, taken):
        one.end(ANSWER)
    turns.release(leader)
    assert following.state is State.LEADS
    assert not turns.wait(leader) and not turns.wait(taken) and turns.wait(following)


def passed_on(turns):
    """The call that has the turn next, and the thread of the leader that passes it on."""
    leader, following = leading(turns), call("b")
    turns.enter(following)
    thread = threading.Thread(target=lambda: turns.pass_on(leader))
    thread.start()
    assert turns.wait(following)
    return following, thread


def test_turn_is_passed_on_once_the_next_request_is_under_way(turns, monkeypatch):
    monkeypatch.setattr("models_registry.runtime.turns._START_S", 60)
    following, thread = passed_on(turns)
    thread.join(0.05)
    assert thread.is_alive()
    following.is_under_way.set()
    thread.join(10)
    assert not thread.is_alive()


def test_next_leader_that_leaves_keeps_no_answer_back(turns, monkeypatch):
    monkeypatch.setattr("models_registry.runtime.turns._START_S", 60)
    following, thread = passed_on(turns)
    turns.leave(following)
    thread.join(10)
    assert not thread.is_alive()


def test_turn_does_not_wait_for_calls_that_are_still_being_answered(turns, monkeypatch):
    leader, taken, following = leading(turns), call("a"), call("b", joins=False)
    entered(turns, taken, following)
    turns.gather(leader)
    following.joins = True
    monkeypatch.setattr("models_registry.runtime.turns._START_S", 60)
    monkeypatch.setattr(turns._arrived, "wait", lambda left: pytest.fail("waited for calls without an answer"))
    thread = threading.Thread(target=lambda: turns.pass_on(leader))
    thread.start()
    assert turns.wait(following) and turns.gather(following) == [following]
    following.is_under_way.set()
    thread.join()


def test_calls_that_an_interrupted_leader_had_no_time_to_answer_wait_again(turns):
    leader, first, second = leading(turns), call("a"), call("b")
    entered(turns, first, second)
    assert turns.gather(leader) == [leader, first, second]
    turns.pass_on(leader)
    first.end(ANSWER)
    turns.leave(leader)
    assert not turns.wait(first)
    assert turns.wait(second) and second.joins


def test_call_that_leaves_while_it_waits_is_no_turn_to_wait_for(turns, monkeypatch):
    cancelled = threading.Event()
    leader, given_up = leading(turns), call("a", cancelled=cancelled)
    turns.enter(given_up)
    cancelled.set()
    monkeypatch.setattr("models_registry.runtime.turns._RECENT_S", 60)
    monkeypatch.setattr(turns._arrived, "wait", lambda left: pytest.fail("waited for others that are not there"))
    with pytest.raises(RunnerCancelledError):
        turns.wait(given_up)
    turns.leave(given_up)
    assert turns.gather(leader) == [leader]


def test_interrupted_call_hands_its_turn_on(turns):
    leader, other = leading(turns), call("other")
    turns.enter(other)
    turns.leave(leader)
    assert turns.wait(other)


def test_calls_that_an_interrupted_leader_took_along_wait_again(turns):
    leader, taken = leading(turns), call("taken")
    turns.enter(taken)
    assert turns.gather(leader) == [leader, taken]
    turns.leave(leader)
    assert turns.wait(taken) and taken.joins


def test_many_threads_get_one_turn_each_and_never_two_at_once(turns):
    holders, most, lock = [], [], threading.Lock()

    def run(buyer: str) -> None:
        mine = call(buyer, joins=False)
        turns.enter(mine)
        while turns.wait(mine):
            with lock:
                holders.append(mine)
                most.append(len(holders))
            mine.end(ANSWER)
            holders.remove(mine)
            turns.release(mine)
        mine.result()

    threads = [threading.Thread(target=run, args=(f"buyer {n % 5}",)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 50
    assert eventually(lambda: not turns._queues)


def test_calls_put_back_wait_for_a_turn_of_every_buyer_and_not_of_every_call(turns):
    leader = leading(turns)
    entered(turns, *[call("flood") for _ in range(5)], call("other"))
    calls = turns.gather(leader)
    assert len(calls) == 7
    buyers = {one.buyer for one in calls}
    turns.put_back(calls, alone=set(calls))
    assert all(one.until <= time.monotonic() + 60.0 * len(buyers) for one in calls)
    assert all(one.until > time.monotonic() + 60.0 * (len(buyers) - 1) for one in calls)
