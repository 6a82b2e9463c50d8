"""The worked examples of docs/contracts-market.md, recomputed by the model and by the contracts on a chain.

A table names what happens and when, and the amounts after it. Each row is carried out on both sides, which must agree,
and the page must say what they hold.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contracts_model.arithmetic import income_shares
from tests.contracts_model.conftest import Cast, cast, twin
from tests.contracts_model.states import DAY, HOUR, Request
from tests.contracts_model.twin import Twin

PAGE = Path(__file__).resolve().parents[2] / "docs" / "contracts-market.md"
UNITS = 10**6
FLAGS = {"RUN": 1, "DOWNLOAD": 2, "TRANSFERABLE": 4, "RENEWABLE": 8}
# The fixtures of the model's own tests.
__all__ = ["cast", "twin"]


@dataclass(frozen=True)
class Example:
    title: str
    terms: dict[str, str]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def number(self, name: str) -> int:
        return int(self.terms.get(name, "0").split()[0])

    @property
    def price(self) -> int:
        return units(self.terms["price"])

    @property
    def ancestors(self) -> list[int]:
        return [int(bps) for bps in re.findall(r"\d+", self.terms.get("ancestors", ""))]


def examples() -> list[Example]:
    found = []
    for part in PAGE.read_text(encoding="utf-8").split("\n### ")[1:]:
        terms = re.search(r"^Terms: (.+)$", part, re.MULTILINE)
        if terms is None:
            continue
        named = dict(term.split(" ", 1) for term in terms[1].split(", "))
        table = [line for line in part.split("\n## ")[0].splitlines() if line.startswith("|")]
        cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table]
        found.append(Example(part.splitlines()[0], named, cells[0], tuple(cells[2:])))
    return found


def units(amount: str) -> int:
    whole, fraction = amount.split(".")
    assert len(fraction) == 6, amount
    return int(whole + fraction)


def seconds(time: str) -> int:
    parts = re.findall(r"(day|days|hour|hours)? ?(\d+) ?(hours?)?", time)
    return sum(int(number) * (HOUR if hours else DAY) for _, number, hours in parts)


def flags(example: Example) -> int:
    named = example.terms.get("flags", "RUN RENEWABLE" if example.number("period") else "RUN")
    return sum(FLAGS[flag] for flag in named.split())


def plan_of(example: Example, twin: Twin, cast: Cast) -> int:
    """A plan with the example's terms, of a model with its ancestors."""
    parents = [(twin.publish(by=cast.friend), bps) for bps in example.ancestors]
    twin.role("set_fee_bps", example.number("fee"), by=cast.admin)
    operator_id = twin.role("register_operator", cast.key, cast.payee, by=cast.operator)
    terms: dict[str, Any] = {
        "price": example.price,
        "period": example.number("period") * DAY,
        "vesting": example.number("vesting") * DAY,
        "calls": example.number("calls"),
        "entryBps": example.number("entry"),
        "serviceBps": example.number("service"),
        "flags": flags(example),
    }
    model_id = twin.publish(by=cast.publisher, parents=parents)
    return twin.add_plan(model_id, by=cast.publisher, token=twin.usd, operatorId=operator_id, **terms)


class Story:
    """One licence of an example's plan, at the times of the table."""

    def __init__(self, twin: Twin, cast: Cast, plan_id: int) -> None:
        self.twin, self.cast, self.plan_id = twin, cast, plan_id
        self.licence_id = 0
        self.bought_at = 0

    def act(self, what: str, at: int) -> int | None:
        """Do what the table says, `at` seconds after the purchase. The refund, where one was paid."""
        after = self.bought_at + at - self.twin.model.now
        verb, *rest = what.split()
        result = getattr(self, f"_{verb}")(*rest, after=after if self.bought_at else 1)
        self.bought_at = self.bought_at or self.twin.model.now
        assert self.twin.error is None
        assert self.twin.model.now == self.bought_at + at
        return result

    def _buy(self, **at: int) -> None:
        self.licence_id = self.twin.buy(self.plan_id, by=self.cast.buyer, **at)

    def _look(self, *, after: int) -> None:
        self.twin.wait(after)
        self.twin.compare()

    def _collect(self, **at: int) -> None:
        self.twin.collect([self.licence_id], by=self.cast.outsider, **at)

    def _renew(self, **at: int) -> None:
        self.twin.renew(self.licence_id, by=self.cast.buyer, **at)

    def _report(self, used: str, **at: int) -> None:
        assert self.twin.report([self.licence_id], [int(used)], by=self.cast.key, **at) == [(self.licence_id, None)]

    def _cancel(self, **at: int) -> int | None:
        return self.twin.cancel(self.licence_id, self.cast.buyer, by=self.cast.buyer, **at)

    def _settle(self, **at: int) -> int:
        return self.twin.settle(self.licence_id, self.cast.buyer, by=self.cast.buyer, **at)

    def _suspend(self, **at: int) -> None:
        self.twin.role("suspend", self.licence_id >> 64, "0x" + "01" * 32, by=self.cast.guardian, **at)

    def _resume(self, **at: int) -> None:
        self.twin.role("resume", self.licence_id >> 64, by=self.cast.guardian, **at)

    def _deliver(self, *, after: int) -> None:
        request = Request("0x" + "ab" * 32, self.twin.model.now + after)
        self.twin.deliver(self.licence_id, request, by=self.cast.publisher, signer=self.cast.buyer, after=after)

    def amounts(self, refund: int | None) -> tuple[int, int, int, int]:
        """Held, vested, back and income, as the contracts show them."""
        (state,) = self.twin.contract.licence_states([self.licence_id]).read()
        _, plan = self.twin.contract.plan(self.plan_id).read()
        back = refund if refund is not None else state.refund_units
        return state.amount_units, state.vested_units, back, plan.earned_units


LICENCES = [example for example in examples() if example.columns[0] == "time"]
SHARES = [example for example in examples() if example.columns[0] == "income"]


def test_page_has_examples_of_every_kind() -> None:
    happens = {row[1].split()[0] for example in LICENCES for row in example.rows}
    assert happens == {"buy", "look", "collect", "cancel", "report", "settle", "renew", "suspend", "resume", "deliver"}
    assert len(SHARES) >= 2


@pytest.mark.parametrize("example", LICENCES, ids=lambda example: example.title)
def test_example_of_a_licence_is_what_contracts_and_model_compute(example: Example, twin: Twin, cast: Cast) -> None:
    assert example.columns == ("time", "what happens", "held", "vested", "back", "income")
    story = Story(twin, cast, plan_of(example, twin, cast))
    for time, what, *amounts in example.rows:
        refund = story.act(what, seconds(time))
        assert story.amounts(refund) == tuple(map(units, amounts)), f"{time}: {what}"


@pytest.mark.parametrize("example", SHARES, ids=lambda example: example.title)
def test_example_of_shares_is_what_contracts_and_model_compute(example: Example, twin: Twin, cast: Cast) -> None:
    plan_id = plan_of(example, twin, cast)
    model_id = plan_id >> 32
    ancestors = [ancestor for ancestor, _ in twin.model.registry.models[model_id].ancestors]
    for income, *amounts in example.rows:
        while twin.model.plans[plan_id].earned < units(income):
            twin.buy(plan_id, by=cast.buyer)
        twin.split(plan_id, by=cast.outsider)
        credits = [
            twin.contract.account_credit(cast.treasury, twin.usd).read(),
            twin.contract.account_credit(cast.payee, twin.usd).read(),
            *(twin.contract.credit(ancestor, twin.usd).read() for ancestor in [*ancestors, model_id]),
        ]
        assert credits == [units(amount) for amount in amounts]
        rules = {"fee_bps": example.number("fee"), "service_bps": example.number("service")}
        shares = income_shares(units(income), **rules, ancestor_bps=example.ancestors)
        assert [shares.fee, shares.service, *shares.ancestors, shares.publisher] == credits


def test_example_of_lineage_is_what_contracts_and_model_compute(twin: Twin, cast: Cast) -> None:
    table = (PAGE.parent / "contracts-registry.md").read_text(encoding="utf-8").split("| declares | pays |")[1]
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    assert len(rows) == 5
    for model_id, declares, pays in rows:
        parents = [(int(parent), int(bps)) for bps, parent in re.findall(r"(\d+) to (\d+)", declares)]
        assert twin.publish(by=cast.publisher, parents=parents) == int(model_id)
        stored = twin.registry_contract.ancestors(int(model_id)).read()
        assert [(share.bps, share.model_id) for share in stored] == [
            (int(bps), int(ancestor)) for bps, ancestor in re.findall(r"(\d+) to (\d+)", pays)
        ]


def test_time_of_a_row_is_read_in_days_and_hours() -> None:
    assert [seconds(time) for time in ("day 0", "day 12", "day 15 + 6 hours", "day 30 + 1 hour")] == [
        *(0, 12 * DAY),
        *(15 * DAY + 6 * HOUR, 30 * DAY + HOUR),
    ]
