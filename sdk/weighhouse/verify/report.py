"""What was checked, what came of it, and what that means."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

STATEMENT = (
    "A receipt is a statement that its operator can be held to. It does not prove that the model computed this\n"
    "output: for that, run the job again with the release and the versions of the fingerprint, and compare."
)


class Result(enum.Enum):
    """`SKIPPED`: nothing was given to check it by. That is no failure, and proves nothing."""

    OK = "ok"
    FAILED = "FAILED"
    SKIPPED = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `meaning` is a sentence about what the result says."""

    name: str
    result: Result
    meaning: str


@dataclass(slots=True)
class Report:
    """All checks in their order. `ok` says that at least one was made and none failed."""

    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        results = [check.result for check in self.checks]
        return Result.OK in results and Result.FAILED not in results

    def failed(self) -> list[str]:
        """The names of what failed."""
        return [check.name for check in self.checks if check.result is Result.FAILED]

    def add(self, name: str, holds: bool | None, *, ok: str, failed: str = "", skipped: str = "") -> bool:
        """Note a check; `holds` None is one that could not be made. Returns whether it holds."""
        result, meaning = (Result.OK, ok) if holds else (Result.FAILED, failed)
        if holds is None:
            result, meaning = Result.SKIPPED, skipped
        self.checks.append(Check(name, result, meaning))
        return bool(holds)

    def text(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for check in self.checks:
            yield f"{check.result.value:<12} {check.name:<16} {check.meaning}"
        failed = self.failed()
        yield ""
        if failed:
            yield f"FAILED: {', '.join(failed)}. Do not rely on this document."
        else:
            yield "Every check that could be made holds."
        yield STATEMENT
