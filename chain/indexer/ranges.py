"""How many blocks to ask for at once. Pure."""

from dataclasses import dataclass

SIZE_START = 2_000
SIZE_MAX = 50_000
# Logs in one answer above which the next range is not made longer.
LOGS_COMFORTABLE = 2_000


@dataclass(slots=True)
class RangeSize:
    """The length of the next range of final blocks: halved on refusal, doubled slowly after answers that were small."""

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

    def grow(self, logs: int) -> None:
        if logs <= LOGS_COMFORTABLE:
            self.blocks = max(min(self.blocks * 2, self.refused - 1, SIZE_MAX), 1)
