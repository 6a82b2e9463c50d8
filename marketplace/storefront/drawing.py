"""Pictures of money, drawn by the server as SVG paths: no script, no style attribute, no text that would shrink.

A picture is stretched to its box (`preserveAspectRatio="none"`, strokes do not scale), so the numbers stand beside it
as ordinary text, which is also what a screen reader gets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 400
# A part that is not nothing is seen, however small.
_LEAST = 6


@dataclass(frozen=True, slots=True)
class VestingPicture:
    """Paths of a term: time runs to the right, from its start to its end, and what has vested runs up, to the amount.

    `vested` and `back` are areas up to now: what is the publisher's, and above it what would come back. `past` is the
    line between them, `future` how it goes on by time alone, `now` a vertical line, `dot` where they meet. `use` is
    empty, or the level that use alone has reached.
    """

    vested: str
    back: str
    past: str
    future: str
    now: str
    dot: str
    use: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar, from `x`, `width` wide, of `WIDTH`. `name` is for its style."""

    name: str
    x: int
    width: int


def vesting_picture(
    curve: Sequence[tuple[int, int]], *, amount: int, now: int, by_use: int | None = None
) -> VestingPicture | None:
    """The picture of a term from its curve of `(block time, vested)`. `by_use` is None where no calls are counted.

    `None` where there is nothing to draw: nothing is held, or time vests nothing.
    """
    if amount <= 0 or len(curve) < 2 or curve[-1][0] <= curve[0][0]:
        return None
    first, last = curve[0][0], curve[-1][0]
    here = min(max(now, first), last)

    def point(at: int, vested: int) -> tuple[float, float]:
        level = min(max(vested, 0), amount)
        return WIDTH * (at - first) / (last - first), HEIGHT - HEIGHT * level / amount

    past = [point(at, vested) for at, vested in curve if at <= here]
    future = [point(at, vested) for at, vested in curve if at >= here]
    x, y = past[-1]
    return VestingPicture(
        vested=_path([(0, HEIGHT), *past, (x, HEIGHT)], closed=True),
        back=_path([(x, 0), (0, 0), *past], closed=True),
        past=_path(past),
        future=_path(future),
        now=_path([(x, 0), (x, HEIGHT)]),
        # A line without length and with round ends is a dot, whatever the box does to the picture.
        dot=f"M{_number(x)} {_number(y)}h0",
        use="" if by_use is None else _path([point(first, by_use), point(last, by_use)]),
    )


def bar(parts: Sequence[tuple[str, int]]) -> list[Segment]:
    """A bar of amounts side by side, in their order. Nothing where all are 0."""
    total = sum(amount for _, amount in parts)
    if total <= 0:
        return []
    shown = [(name, max(round(WIDTH * amount / total), _LEAST)) for name, amount in parts if amount > 0]
    scale = WIDTH / sum(width for _, width in shown)
    segments, x = [], 0.0
    for name, width in shown:
        following = x + width * scale
        segments.append(Segment(name, round(x), round(following) - round(x)))
        x = following
    return segments


def _path(points: Sequence[tuple[float, float]], *, closed: bool = False) -> str:
    start, *others = (f"{_number(x)} {_number(y)}" for x, y in points)
    return f"M{start}" + "".join(f"L{other}" for other in others) + ("Z" if closed else "")


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
