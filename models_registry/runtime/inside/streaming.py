"""Text of tokens as they come. Pure: the tokenizer is a function."""

from collections.abc import Callable

_BROKEN = "\ufffd"  # what a decoder writes for bytes that are no character yet


class TextStream:
    """A text that grows by tokens and never takes back what it gave out.

    1. After each token everything is decoded again: what a token says can depend on its neighbours.
    2. Broken characters at the end may be whole with the next token: they wait.
    3. What could be the beginning of a stop text waits. A stop text ends the text before it.
    4. A decoder may change its mind about what was settled (bytes that turn out to be no character): the settled
       text stays, and goes on behind its length. So the text is the same whether or not somebody reads along.
    """

    def __init__(self, decode: Callable[[list[int]], str], *, stops: list[str], give: Callable[[str], None]) -> None:
        self.is_stopped = False
        self._decode, self._stops, self._give = decode, stops, give
        self._settled = self._waiting = ""
        self._given = 0

    def push(self, written: list[int]) -> None:
        """Take all tokens that there are by now."""
        if self.is_stopped:
            return
        more = self._decode(written)[len(self._settled) :]
        sure = more.rstrip(_BROKEN)
        self._waiting = more[len(sure) :]
        self._settle(sure)

    def finish(self) -> str:
        """The whole text; gives out what waited."""
        if not self.is_stopped:
            waiting, self._waiting = self._waiting, ""
            self._settle(waiting)
        self._hand_on(len(self._settled))
        return self._settled

    def _settle(self, more: str) -> None:
        before, self._settled = self._settled, self._settled + more
        places = [self._find(stop, len(before)) for stop in self._stops]
        found = [place for place in places if place >= 0]
        if found:
            self.is_stopped = True
            self._settled = self._settled[: min(found)]
            self._hand_on(len(self._settled))
        else:
            self._hand_on(len(self._settled) - self._held_back())

    def _find(self, stop: str, before: int) -> int:
        return self._settled.find(stop, max(0, before - len(stop) + 1))

    def _held_back(self) -> int:
        """Length of the longest end that a stop text begins with."""
        longest = max(map(len, self._stops), default=1) - 1
        ends = range(min(longest, len(self._settled)), 0, -1)
        return next((size for size in ends if any(s.startswith(self._settled[-size:]) for s in self._stops)), 0)

    def _hand_on(self, end: int) -> None:
        if end > self._given:
            self._give(self._settled[self._given : end])
            self._given = end
