"""What tests of orders do on the chain and with the follower."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.utils import timezone

from chain import abi
from marketplace.accounts.models import Account
from marketplace.orders import services
from marketplace.orders.models import Order, OrderState
from tests.fixtures.contracts import Market
from tests.fixtures.people import BUYER

GWEI = 10**9


def buy_transaction(market: Market, plan_id: int, *, by: str = BUYER, value: int = 1000, **more: Any) -> dict[str, str]:
    """A purchase as `eth_sendTransaction` takes it; numbers in `more` are written as hex."""
    plan_hash = market.read("LicenceMarket", "planHash", [plan_id])
    data = abi.call_encode("LicenceMarket", "buy", [plan_id, plan_hash, by])
    to = market.book.contract("LicenceMarket").address
    # With fees of its own the same transaction has the same hash whenever it is sent.
    fees = {"maxFeePerGas": 20 * GWEI, "maxPriorityFeePerGas": 2 * GWEI}
    numbers = {"value": value, "gas": 500_000, **fees, **more}
    return {"from": by, "to": to, "data": data, **{name: hex(number) for name, number in numbers.items()}}


def send(market: Market, transaction: dict[str, str]) -> str:
    """Its hash, once it is in a block; at once where none is mined."""
    tx_hash = market.anvil.rpc("eth_sendTransaction", transaction)
    if market.anvil.rpc("anvil_getAutomine"):
        market.anvil.mined(tx_hash)
    return str(tx_hash)


def send_buy(market: Market, plan_id: int, **more: Any) -> str:
    return send(market, buy_transaction(market, plan_id, **more))


def send_cancel(market: Market, nonce: int, *, by: str = BUYER) -> str:
    """What a wallet sends to cancel the transaction with this nonce."""
    fees = {"maxFeePerGas": hex(90 * GWEI), "maxPriorityFeePerGas": hex(9 * GWEI)}
    cancel = {"from": by, "to": by, "value": "0x0", "nonce": hex(nonce), "gas": hex(21_000), **fees}
    return send(market, cancel)


def nonce_of(market: Market, address: str = BUYER) -> int:
    """The nonce that a wallet would use next."""
    return int(market.anvil.rpc("eth_getTransactionCount", address, "pending"), 16)


@contextmanager
def waiting_mempool(market: Market) -> Iterator[None]:
    """No block is mined unless the test says so."""
    market.anvil.rpc("evm_setAutomine", False)
    try:
        yield
    finally:
        market.anvil.rpc("anvil_dropAllTransactions")
        market.anvil.rpc("evm_setAutomine", True)


def newest_transaction(market: Market) -> str:
    return market.anvil.rpc("eth_getBlockByNumber", "latest", False)["transactions"][0]


def record(account: Account, tx_hash: str, plan_id: int | None) -> Order:
    order, _ = services.order_record(account=account, tx_hash=tx_hash, kind="buy", plan_id=plan_id)
    return order


def intend(account: Account, plan_id: int) -> Order:
    return services.order_intend(account=account, kind="buy", plan_id=plan_id)


def state_of(order: Order) -> OrderState:
    return Order.objects.get(pk=order.pk).state


def again(order: Order) -> Order:
    return Order.objects.select_related("account", "event").get(pk=order.pk)


def follow() -> None:
    """A round of the follower in which every order is due."""
    Order.objects.update(checked_at=None)
    services.orders_follow()


def make_old(order: Order, **age: float) -> None:
    """As if it was recorded, and heard of last, this long ago."""
    then = timezone.now() - timedelta(**(age or {"minutes": 3}))
    Order.objects.filter(pk=order.pk).update(created_at=then, checked_at=None)
    Order.objects.filter(pk=order.pk, known_at__isnull=False).update(known_at=then)
