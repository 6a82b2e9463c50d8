"""How many blocks to ask for at once. Pure."""

from dataclasses import dataclass

SIZE_START = 100
SIZE_MAX = 50_000
# Logs in one answer that are worth their transaction and small in memory: what the length is led to.
LOGS_WANTED = 2_000


@dataclass(slots=True)
class RangeSize:
    """The length of the next range of final blocks, led to where an answer has `LOGS_WANTED` logs.

    At most doubled after an answer, halved on a refusal, and never again as long as what was refused.
    """

    blocks: int = SIZE_START
    # The shortest length that was refused; growing stops below it.
    refused: int = SIZE_MAX + 1

    def last_block(self, first: int, limit: int) -> int:
        return min(first + self.blocks - 1, limit)

    def shrink(self, asked: int) -> bool:
        """After a refusal of `asked` blocks. False where one block alone was refused and nothing shorter exists."""
        self.refused = min(self.refused, asked)
        self.blocks = max(asked // 2, 1)
        return asked > 1

    def adapt(self, asked: int, logs: int) -> None:
        """After an answer of `logs` logs for `asked` blocks."""
        wanted = asked * LOGS_WANTED // logs if logs else SIZE_MAX
        # A range that the head cut short says nothing against longer ones.
        self.blocks = max(min(wanted, max(self.blocks, asked) * 2, self.refused - 1, SIZE_MAX), 1)
