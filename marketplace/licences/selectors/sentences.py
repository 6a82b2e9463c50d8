"""Indexed events as sentences for people, in parts, so that a page can link what a sentence names.

One table says what each event reads like. `{name:kind}` takes the event's argument `name` and shows it as an account,
an amount and so on; `{model}`, `{plan}` and `{licence}` are what the event is about. Names of models are the words of
their publishers: cut short, and without characters that hide or reorder text.
"""

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from chain.models import ChainEvent
from chain.subjects import Subjects, subjects_of
from marketplace.licences.models import Plan
from marketplace.licences.selectors.plans import bps_text
from marketplace.licences.tokens import amount_text, token_get

NAME_MAX = 60
_SERIAL = 0xFFFFFFFF

_SENTENCES: dict[tuple[str, str], str] = {
    ("ModelRegistry", "ModelPublished"): "{publisher:account} published {model}",
    ("ModelRegistry", "ReleasePublished"): "release {number:plain} of {model} was published",
    ("ModelRegistry", "Transfer"): "{from:account} passed {model} on to {to:account}",
    ("ModelRegistry", "DerivativeBpsSet"): "{model} asks {bps:bps} of the income of models made from it",
    ("LicenceMarket", "PlanAdded"): "{model} is on sale under {plan} for {price:amount}",
    ("LicenceMarket", "PlanRetired"): "{plan} of {model} was retired",
    ("LicenceMarket", "LicenceBought"): "{payer:account} bought a {licence} of {model} under {plan} for {price:amount}",
    ("LicenceMarket", "LicenceRenewed"): "{payer:account} renewed a {licence} of {model} for {price:amount}",
    ("LicenceMarket", "LicenceCancelled"): "{holder:account} cancelled a {licence} of {model}",
    (
        "LicenceMarket",
        "LicenceSettled",
    ): "a {licence} of {model} was settled: {refund:amount} went back to {to:account}",
    ("LicenceMarket", "Transfer"): "{from:account} passed a {licence} of {model} on to {to:account}",
    ("LicenceMarket", "KeyDelivered"): "{holder:account} asked for the key of {model} under a {licence}",
    ("LicenceMarket", "UsageReported"): "{used:plain} calls of a {licence} of {model} were reported in all",
    ("LicenceMarket", "UsageSkipped"): "a report of {used:plain} calls of a {licence} of {model} did not count",
    ("LicenceMarket", "IncomeVested"): "{amount:amount} of a {licence} of {model} became income",
    ("LicenceMarket", "IncomeSplit"): "{amount:amount} of income of {plan} of {model} was shared out",
    ("LicenceMarket", "AncestorCredited"): "{modelId:model} was credited {amount:amount} of the income of {model}",
    ("LicenceMarket", "IncomeWithdrawn"): "{amount:amount} of income of {model} was withdrawn to {to:account}",
    ("LicenceMarket", "AccountWithdrawn"): "{account:account} withdrew {amount:amount} of shares to {to:account}",
    ("LicenceMarket", "OperatorRegistered"): "{owner:account} registered {operatorId:operator}",
    (
        "LicenceMarket",
        "OperatorChanged",
    ): "{operatorId:operator} now signs as {key:account} and is paid at {payee:account}",
    ("LicenceMarket", "OperatorDisabled"): "{operatorId:operator} was disabled by the guardian",
    ("LicenceMarket", "ModelSuspended"): "{model} was suspended by the guardian",
    ("LicenceMarket", "SuspensionConfirmed"): "the suspension of {model} was confirmed",
    ("LicenceMarket", "ModelResumed"): "the suspension of {model} ended",
    ("LicenceMarket", "FeeSet"): "the market's fee for new plans became {feeBps:bps}",
    ("LicenceMarket", "TreasurySet"): "the market's treasury became {treasury:account}",
    ("LicenceMarket", "GuardianSet"): "the market's guardian became {guardian:account}",
    ("LicenceMarket", "PauserSet"): "the market's pauser became {pauser:account}",
    ("LicenceMarket", "PausedSet"): "sales {paused:paused}",
    ("LicenceMarket", "TokenAllowed"): "{token:token} {allowed:allowed} as payment for new plans",
}
_GIFT = ", for {holder:account}"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a sentence: plain text, or something that a page may link, by its `kind`.

    Kinds are `account`, `model`, `plan`, `licence` and `operator`; `value` is the address, or the id in decimal.
    """

    text: str
    kind: str = "text"
    value: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What sentences need beside their events: names of models and the plans, loaded for a whole page at once."""

    names: Mapping[int, str]
    plans: Mapping[int, Plan]


def sentence_of(event: ChainEvent, told: Told) -> list[Part]:
    """The parts of the event's sentence; an event without one of its own gets its name."""
    form = _SENTENCES.get((event.contract, event.name), f"{event.contract}.{event.name}")
    if event.name == "LicenceBought" and event.args["holder"] != event.args["payer"]:
        form += _GIFT
    parts = list(_Reading(event, told).parts(form))
    first = parts[0]
    if first.kind not in ("account", "model"):
        parts[0] = Part(first.text[:1].upper() + first.text[1:], first.kind, first.value)
    return parts


def name_clean(name: str) -> str:
    """A stranger's name on one line: without control and format characters, cut short."""
    visible = "".join(
        character if unicodedata.category(character)[0] not in "CZ" else " "
        for character in name
        if unicodedata.category(character) != "Cf"
    )
    line = " ".join(visible.split())
    return line if len(line) <= NAME_MAX else line[: NAME_MAX - 1] + "…"


class _Reading:
    """One event being put into words."""

    def __init__(self, event: ChainEvent, told: Told) -> None:
        self._told = told
        self._about: Subjects = subjects_of(event.contract, event.name, event.args)
        terms = event.args.get("terms", {})
        self._args: dict[str, Any] = {**terms, **event.args}
        self._kinds: dict[str, Callable[[Any], Part]] = {
            "account": lambda value: Part(f"{value[:6]}…{value[-4:]}", "account", value),
            "model": lambda value: self._model(int(value)),
            "operator": lambda value: Part(f"operator {value}", "operator", value),
            "amount": lambda value: Part(
                amount_text(int(value), token) if (token := self._token()) else f"{value} units"
            ),
            "bps": lambda value: Part(bps_text(int(value))),
            "token": lambda value: Part(known.symbol if (known := token_get(value)) else f"token {value}"),
            "paused": lambda value: Part("were paused" if value else "go on"),
            "allowed": lambda value: Part("is accepted" if value else "is no longer accepted"),
        }

    def parts(self, form: str) -> Iterator[Part]:
        for literal, name, kind, _ in Formatter().parse(form):
            if literal:
                yield Part(literal)
            if name is None:
                continue
            if kind:
                yield self._kinds.get(kind, lambda value: Part(str(value)))(self._args[name])
            else:
                yield self._subject(name)

    def _subject(self, name: str) -> Part:
        about = self._about
        if name == "licence":
            return Part("licence", "licence", str(about.licence_id))
        if name == "plan":
            return Part(f"plan {(about.plan_id or 0) & _SERIAL}", "plan", str(about.plan_id))
        return self._model(about.model_id or 0)

    def _model(self, model_id: int) -> Part:
        name = name_clean(self._told.names.get(model_id, "")) or f"model {model_id}"
        return Part(name, "model", str(model_id))

    def _token(self) -> str:
        """The token that an event's amounts are in: its own argument, or its plan's. Empty where neither is known."""
        plan = self._told.plans.get(self._about.plan_id or 0)
        return str(self._args.get("token") or (plan.token if plan else ""))
