"""The bindings leave nothing of the contracts' interfaces out and put nothing in another place."""

import inspect
import re
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import pytest

from chain import abi
from chain.bindings import events, structs
from chain.bindings.anchor import ReceiptAnchor
from chain.bindings.base import Contract
from chain.bindings.market import LicenceMarket
from chain.bindings.money import Token, TransferAuthorization
from chain.bindings.registry import ModelRegistry
from chain.gateway.errors import ContractRefusal
from chain.gateway.revert_read import refusal_classes

BINDINGS: dict[str, type[Contract]] = {
    "ModelRegistry": ModelRegistry,
    "LicenceMarket": LicenceMarket,
    "ReceiptAnchor": ReceiptAnchor,
    "TestUSD": Token,
}
# TestUSD's events that are called as those of ERC-721 are.
TOKEN_EVENTS = {"Transfer": events.TokenTransfer, "Approval": events.TokenApproval}

# What a name of the ABI is called here: the word, and its unit where it is a quantity.
RENAMED = {
    "id": {"token_id"},
    "from": {"sender"},
    "agreed_hash": {"plan_hash"},
    "price": {"price_units"},
    "sale_price": {"sale_price_units"},
    "amount": {"amount_units"},
    "entry": {"entry_units"},
    "refund": {"refund_units"},
    "fee": {"fee_units"},
    "service": {"service_units"},
    "publisher": {"publisher", "publisher_units"},
    "earned": {"earned_units"},
    "split": {"split_units"},
    "taken": {"taken_units"},
    "vested": {"vested_units"},
    "value": {"value_units", "value"},
    "received": {"received_units"},
    "balance": {"balance_units"},
    "needed": {"needed_units"},
    "allowance": {"allowance_units"},
    "required": {"required_wei"},
    "sent": {"sent_wei"},
    "period": {"period_s"},
    "vesting": {"vesting_s"},
    "longest": {"longest_s"},
    "suspended_seconds": {"suspended_s"},
    # Of an event on the model's clock, of a state in block time.
    "expiry": {"expires_at", "expires_on_clock"},
    "start": {"starts_at"},
    "until": {"lapses_at"},
    "time": {"clock_at", "anchored_at"},
    "valid": {"is_valid"},
    "suspended": {"is_suspended"},
    "retired": {"is_retired"},
    "disabled": {"is_disabled"},
    "allowed": {"allowed", "is_allowed"},
    "paused": {"paused", "is_paused"},
    "stopped": {"paused"},
    "asked": {"asked_bps"},
    "given": {"given_bps", "given_hash"},
    "actual": {"actual_bps", "actual_hash"},
    "most": {"most", "most_bps"},
    "sum": {"sum_bps"},
    "reason": {"reason", "skip_reason"},
    "str": {"text"},
    "account": {"account", "approved", "guardian", "pauser", "treasury"},
    "approved": {"is_approved"},
    "bps": {"fee_bps"},
    "model_id": {"token_id"},
    "licence_id": {"token_id"},
}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_")


def assert_named(ours: list[str], items: list[dict[str, Any]], what: str) -> None:
    """Each of our names stands for the name of the ABI in its place."""
    assert len(ours) == len(items), f"{what}: {ours} for {[item['name'] for item in items]}"
    for name, item in zip(ours, items, strict=True):
        known = snake(item["name"])
        assert name == known or name in RENAMED.get(known, ()), f"{what}: {name} for {item['name']}"


@dataclass(frozen=True)
class Recorded:
    function: str
    args: tuple[Any, ...]
    make: Any = None
    value_wei: Any = 0


class Recorder:
    """Stands in the place of a contract's address: its calls are written down instead of encoded."""

    def __init__(self, kind: type[Contract]) -> None:
        self._kind = kind
        self.artefact: ClassVar[str] = kind.artefact

    def _send(self, function: str, *args: Any, value_wei: Any = 0) -> Recorded:
        return Recorded(function, args, value_wei=value_wei)

    def _view(self, function: str, *args: Any, make: Any) -> Recorded:
        return Recorded(function, args, make)


@dataclass
class Bound:
    """What one method of a binding asks the contract for."""

    method: str
    recorded: Recorded
    parameters: dict[str, Any] = field(default_factory=dict)

    def names(self) -> list[str]:
        """The method's own names of the values, in the order in which the contract gets them."""
        by_value = {id(value): name for name, value in self.parameters.items()}
        return [by_value[id(value)] for value in self.recorded.args]


def bound_methods(kind: type[Contract]) -> list[Bound]:
    found = []
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if name.startswith("_"):
            continue
        parameters = {part: object() for part in list(inspect.signature(method).parameters)[1:]}
        if "authorization" in parameters and kind is Token:
            signed = {part.name: object() for part in fields(TransferAuthorization)}
            parameters = {"authorization": TransferAuthorization(**signed), **parameters} | {
                "authorization": TransferAuthorization(**signed)
            }
            recorded = method(Recorder(kind), **parameters)
            found.append(Bound(name, recorded, parameters | signed))
        else:
            found.append(Bound(name, method(Recorder(kind), **parameters), parameters))
    return found


def function_of(contract: str, function: str) -> dict[str, Any]:
    return abi._function(contract, function)


CONTRACTS = pytest.mark.parametrize("contract", sorted(BINDINGS))


@CONTRACTS
def test_every_function_of_a_contract_has_one_method(contract):
    declared = sorted(abi.selector(item) for item in abi.artefact(contract).abi if item["type"] == "function")
    bound = bound_methods(BINDINGS[contract])
    assert sorted(abi.selector(function_of(contract, each.recorded.function)) for each in bound) == declared


@CONTRACTS
def test_arguments_of_every_method_reach_the_contract_in_its_order(contract):
    for each in bound_methods(BINDINGS[contract]):
        item = function_of(contract, each.recorded.function)
        assert_named(each.names(), item["inputs"], f"{contract}.{each.method}")


@CONTRACTS
def test_every_method_is_named_as_its_function(contract):
    for each in bound_methods(BINDINGS[contract]):
        function = each.recorded.function.partition("(")[0]
        base = function.lower() if function.isupper() else snake(function.replace("URI", "Uri"))
        forms = {base, f"{base}_with_data", base.replace("_authorization", "_wallet_authorization")}
        assert each.method in forms, (each.method, function)


@CONTRACTS
def test_methods_that_change_something_are_requests_and_the_others_views(contract):
    for each in bound_methods(BINDINGS[contract]):
        mutability = function_of(contract, each.recorded.function)["stateMutability"]
        assert (each.recorded.make is not None) == (mutability in {"view", "pure"}), each.method
        # Transfers and approvals are payable in Solady's token and refuse coins.
        takes_coins = mutability == "payable" and each.recorded.function in {"buy", "renew"}
        assert ("value_wei" in each.parameters) == takes_coins, each.method


@CONTRACTS
def test_every_view_makes_an_object_of_what_its_function_returns(contract):
    for each in bound_methods(BINDINGS[contract]):
        if each.recorded.make is None:
            continue
        item = function_of(contract, each.recorded.function)
        values = abi.values_decode(item["outputs"], b"\x00" * 2048 if _is_static(item) else _zero(item))
        made = each.recorded.make(*values)
        assert made is not None, each.method


def _is_static(item: dict[str, Any]) -> bool:
    return not any(abi._is_dynamic(part) and part["type"] != "tuple" for part in item["outputs"])


def _zero(item: dict[str, Any]) -> bytes:
    """The encoding of the empty value of every output."""
    return abi.arguments_encode(item["outputs"], [_empty(part) for part in item["outputs"]])


def _empty(part: dict[str, Any]) -> Any:
    kind = part["type"]
    if kind.endswith("]"):
        return [_empty({**part, "type": kind.removesuffix("[]")})]
    if kind == "tuple":
        return [_empty(inner) for inner in part["components"]]
    if kind.startswith("bytes"):
        return bytes(int(kind.removeprefix("bytes") or 0))
    return {"string": "", "address": "0x" + "00" * 20, "bool": False}.get(kind, 0)


@CONTRACTS
def test_every_struct_of_a_contract_has_a_class_with_its_fields_in_order(contract):
    found = {}
    for item in abi.artefact(contract).abi:
        for part in [*item.get("inputs", ()), *item.get("outputs", ())]:
            if part["type"].startswith("tuple"):
                found[part["internalType"].removeprefix("struct ").removesuffix("[]")] = part["components"]
    for name, components in found.items():
        kind = getattr(structs, name)
        assert_named([part.name for part in fields(kind)], components, name)


@CONTRACTS
def test_every_event_of_a_contract_has_a_class_with_its_arguments_in_order(contract):
    for event in abi.artefact(contract).events.values():
        kind = getattr(events, event.name)
        if contract == "TestUSD":
            kind = TOKEN_EVENTS.get(event.name, kind)
        declared = [next(i for i in (*event.indexed, *event.plain) if i["name"] == name) for name in event.order]
        assert issubclass(kind, events.Event)
        assert_named([part.name for part in fields(kind)], declared, event.name)


def test_every_event_class_is_an_event_of_a_contract():
    declared = {event.name for name in BINDINGS for event in abi.artefact(name).events.values()}
    ours = {kind.__name__ for kind in events.Event.__subclasses__()}
    assert ours - declared == {"TokenTransfer", "TokenApproval"}


@CONTRACTS
def test_every_error_of_a_contract_has_a_class_with_its_arguments_in_order(contract):
    for item in abi.artefact(contract).errors.values():
        kind = refusal_classes()[item["name"]]
        assert_named(list(kind.fields), item["inputs"], item["name"])


def test_every_error_class_is_an_error_of_a_contract():
    declared = {item["name"] for name in BINDINGS for item in abi.artefact(name).errors.values()}
    assert set(refusal_classes()) == declared


@pytest.mark.parametrize("kind", refusal_classes().values(), ids=lambda kind: kind.__name__)
def test_error_class_says_what_happened_in_a_sentence_with_its_arguments(kind: type[ContractRefusal]):
    item = next(
        item for name in BINDINGS for item in abi.artefact(name).errors.values() if item["name"] == kind.__name__
    )
    args = {part["name"]: 70_000 + place for place, part in enumerate(item["inputs"])}
    error = kind(args)
    assert [getattr(error, name) for name in kind.fields] == list(args.values())
    assert (error.error, error.error_args) == (kind.__name__, args)
    assert error.data == {"error": kind.__name__, "args": {name: str(value) for name, value in args.items()}}
    assert error.message[-1] in ".:" or error.message.endswith(str(70_000))
    assert "{" not in error.message
    assert "!" not in error.message
    assert re.fullmatch(r"chain\.reverted\.[a-z0-9_]+", error.code)


def test_rights_and_skip_reasons_are_those_of_the_contract():
    source = (abi.ARTEFACTS_DIR.parent / "src" / "interfaces" / "ILicenceMarket.sol").read_text()
    listed = re.search(r"enum SkipReason \{(.*?)\}", source, re.DOTALL)[1]
    names = re.findall(r"^\s*([A-Z]\w+)", listed, re.MULTILINE)
    assert [snake(name).upper() for name in names] == [reason.name for reason in structs.SkipReason]
    market = (abi.ARTEFACTS_DIR.parent / "src" / "market" / "Plans.sol").read_text()
    for right in structs.Right:
        assert re.search(rf"uint8 (private|internal) constant {right.name} = {right.value};", market), right
