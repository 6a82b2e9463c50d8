"""How many rows to compute at once, by trying it. Knows no device: it is told what a trial took."""

from collections.abc import Callable
from typing import NamedTuple

# What a doubling must save of a row's time to be kept, in parts of it.
_GAIN = 0.1


class Trial(NamedTuple):
    """What computing a number of rows took: seconds, and the most bytes at a time beside the weights."""

    seconds: float
    peak_bytes: int


def rows_measured(
    run: Callable[[int], Trial | None], *, room_bytes: int, least: int, most: int, most_s: float = 5.0
) -> int:
    """The number of rows by which a row is cheapest, from 1 to `most`.

    1. Begin with `least`, and halve while memory does not suffice (`run` gives None).
    2. Double as long as twice the bytes are within `room_bytes`, all trials took less than `most_s`, and the last
       doubling made a row cheaper by a tenth.
    """
    rows, trial = least, run(least)
    while trial is None and rows > 1:
        rows //= 2
        trial = run(rows)
    if trial is None or rows < least:
        return rows
    spent = trial.seconds
    while rows * 2 <= most and trial.peak_bytes * 2 <= room_bytes and spent < most_s:
        wider = run(rows * 2)
        if wider is None:
            break
        spent += wider.seconds
        if wider.seconds / 2 > trial.seconds * (1 - _GAIN):
            break
        rows, trial = rows * 2, wider
    return rows
