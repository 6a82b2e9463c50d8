"""Refusals of the model: every reason that applies, because the order of a contract's checks is its own affair."""


class Refused(Exception):
    """The action is not allowed. `reasons` are the names of the contract errors of which it must give one."""

    def __init__(self, reasons: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(reasons)))
        self.reasons = reasons


class Reasons:
    """Collects why an action is refused."""

    def __init__(self) -> None:
        self._found: set[str] = set()

    def when(self, condition: object, error: str) -> None:
        if condition:
            self._found.add(error)

    def refuse(self) -> None:
        """Raises `Refused` where anything was found."""
        if self._found:
            raise self.refusal()

    def refusal(self) -> Refused:
        return Refused(frozenset(self._found))
