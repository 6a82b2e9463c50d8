"""The text of docs/gas.md: figures that were measured, goals, and what others pay."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class Measured(Protocol):
    """What `contract_gas.measure` gives."""

    @property
    def calls(self) -> dict[str, int]: ...
    @property
    def deployments(self) -> dict[str, int]: ...
    @property
    def sizes(self) -> dict[str, int]: ...


@dataclass(frozen=True)
class Row:
    """An operation. `minus` names another whose gas comes off; `batch` is by how many the gas is divided."""

    operation: str
    label: str = ""
    goal: int | None = None
    peers: str = ""
    batch: int = 1
    minus: str = ""
    missed: str = ""

    @property
    def name(self) -> str:
        return self.label or self.operation

    def gas(self, calls: dict[str, int]) -> int:
        whole = calls[self.operation] - (calls[self.minus] if self.minus else 0)
        return round(whole / self.batch)


# A goal that is missed has its reason here, and a reason that is not needed any more fails the tests.
SECTIONS: dict[str, tuple[Row, ...]] = {
    "Publishing and pricing": (
        Row(
            "publish, first of a publisher",
            goal=105_000,
            peers="Ocean Protocol 1.39 to 1.44 million; ERC721URIStorage 166,000",
        ),
        Row("publish, later", goal=88_000, peers="Ocean Protocol the same; ERC721URIStorage 148,000"),
        Row("publish, one parent"),
        Row("publish, three parents"),
        Row("release"),
        Row("addPlan", peers="Ocean Protocol 93,000"),
        Row("registerOperator"),
        Row("suspend"),
    ),
    "Buying": (
        Row(
            "buy, vesting, new buyer",
            goal=138_000,
            peers="Ocean Protocol 279,000 to 306,000; opening a SingularityNET channel 197,000",
            missed="The goal is of a prototype without an entry share, which is income at the purchase and writes the "
            "plan's income. Without one, the next row, it is met.",
        ),
        Row("buy, vesting, no entry share, new buyer", goal=138_000),
        Row("buy, vesting, no entry share, again"),
        Row("buy, vesting, again"),
        Row("buy, at once, new buyer", goal=120_000, peers="Ocean Protocol 279,000 to 306,000"),
        Row("buy, at once, again"),
        Row("buy, coin, vesting, new buyer"),
        Row("buy, coin, vesting, again"),
        Row(
            "buyWithPermit, vesting, new buyer",
            label="buyWithPermit, above buy",
            goal=35_000,
            minus="buy, vesting, new buyer",
        ),
        Row(
            "buyWithAuthorization, vesting, new buyer",
            label="buyWithAuthorization, above buy",
            minus="buy, vesting, new buyer",
        ),
        Row(
            "renew",
            goal=78_000,
            missed="It reads eleven rows for the first time (2,100 each), among them whether sales are paused, the "
            "token is still allowed and the model is suspended; writes five (2,900 each): licence, holding, income, "
            "two balances; and announces what vested beside what is renewed.",
        ),
        Row("renew, metered"),
    ),
    "Leaving and using": (
        Row("cancel, unmetered", goal=75_000, peers="none has it"),
        Row("cancel, metered", peers="none has it"),
        Row("settle"),
        Row("transfer"),
        Row("deliver"),
        Row(
            "reportUsage, 50 of one plan",
            label="reportUsage, 50 of one plan, each",
            goal=8_500,
            batch=50,
            peers="claiming from a SingularityNET channel 25,000 to 39,000",
        ),
        Row("anchor"),
    ),
    "Income": (
        Row(
            "collect, 50 of one plan",
            label="collect, 50 of one plan, each",
            goal=13_000,
            batch=50,
            peers="Ocean Protocol 99,000 to claim a job, after 183,000 to open it",
        ),
        Row("collect, 50 of 50 plans", label="collect, 50 of 50 plans, each", goal=25_000, batch=50),
        Row("split, no ancestors"),
        Row("split, three ancestors"),
        Row("split, eight ancestors"),
        Row(
            "withdraw, token, to a non-zero balance",
            goal=47_000,
            peers="SingularityNET 63,000 the first time",
            missed="The row of a credit also counts what was ever withdrawn, so that a fingerprint shows a withdrawal "
            "before the model's sale. A row that is never cleared earns no refund (4,800), and the market's balance "
            "is not cleared either while others have money there (4,800).",
        ),
        Row("withdraw, coin, to a non-zero balance"),
        Row("withdrawAccount, token, to a non-zero balance"),
    ),
}

HEAD = """\
# Gas

What each operation costs, as the `gasUsed` of a receipt: 21,000 for the transaction, its data and all refunds included.
`tools/contracts.py gas --write` takes every figure of ours on this page from a development chain (anvil, with the rules
of `foundry.toml`), through the committed ABI and bytecode; `make test` fails when one is not what is written here.

Each operation starts from a market in use: the model has sold before, its plan's income and all credits are not zero,
TestUSD is the token where no coin is named, approvals are unlimited. A *new buyer* receives a first licence. Licences
that are renewed, collected or left are ten days old, of thirty, with nothing collected before, and an entry share of
5 %. Figures for a batch of fifty are divided by fifty.

*Others pay*: receipts of their unmodified contracts on a development chain, taken when the goals were set. The command
does not repeat them. Ocean Protocol sells access to data and computation, SingularityNET pays for calls through
channels of its MultiPartyEscrow, ERC721URIStorage is OpenZeppelin's token with a stored address.
"""


def rows() -> Iterator[Row]:
    for section in SECTIONS.values():
        yield from section


def page(measured: Measured) -> str:
    parts = [HEAD]
    for title, section in SECTIONS.items():
        parts.append(f"## {title}\n\n" + _table(section, measured.calls))
    parts.append("## Goals that are missed\n\n" + _missed(measured.calls))
    parts.append("## Deployment\n\n" + _deployments(measured))
    return "\n".join(parts)


def _table(section: tuple[Row, ...], calls: dict[str, int]) -> str:
    lines = ["| operation | gas | goal | others pay |", "|---|---|---|---|"]
    for row in section:
        goal = "" if row.goal is None else f"{row.goal:,}"
        if is_missed(row, calls):
            goal += ", missed"
        lines.append(f"| {row.name} | {row.gas(calls):,} | {goal} | {row.peers} |")
    return "\n".join(lines) + "\n"


def is_missed(row: Row, calls: dict[str, int]) -> bool:
    return row.goal is not None and row.gas(calls) > row.goal


def _missed(calls: dict[str, int]) -> str:
    missed = [row for row in rows() if is_missed(row, calls)]
    lines = [f"- **{row.name}**, {row.gas(calls) - (row.goal or 0):,} above. {row.missed}" for row in missed]
    return "\n".join(lines or ["None."]) + "\n"


def _deployments(measured: Measured) -> str:
    lines = ["| contract | gas | code, bytes of 24,576 |", "|---|---|---|"]
    for name, gas in sorted(measured.deployments.items()):
        lines.append(f"| {name} | {gas:,} | {measured.sizes[name]:,} |")
    return "\n".join(lines) + "\n"
