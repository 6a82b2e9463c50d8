"""The ledger of calls is exact, also when many callers want the last call."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from chain.gateway.errors import RangeTooLarge
from marketplace.inference import execution, ledger, services
from marketplace.inference.models import CallEntry, Job, LicenceUse
from marketplace.inference.selectors import calls_used
from marketplace.licences.errors import CallsExhaustedError, LicencePurchaseUnknownError, LicenceSuspendedError
from marketplace.licences.models import Licence
from marketplace.licences.selectors import licence_list_for_holder
from tests.fixtures.contracts import RENEWABLE, RUN


def sums() -> dict[str, int]:
    states = list(CallEntry.objects.values_list("state", flat=True))
    return {"used": states.count("settled"), "reserved": states.count("reserved")}


def counters() -> dict[str, int]:
    return LicenceUse.objects.values("used", "reserved").get()


@pytest.mark.django_db(transaction=True)
def test_calls_of_a_metered_licence_are_reserved_exactly_under_concurrency():
    def reserve(_: int) -> bool:
        try:
            with transaction.atomic():
                return ledger.call_room(licence_id=7, purchase="0x01", calls=ledger.Calls(5))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(reserve, range(24)))
    assert results.count(True) == 5
    assert counters() == {"used": 0, "reserved": 5}


@pytest.mark.django_db
def test_call_of_an_unmetered_licence_always_has_room():
    assert all(ledger.call_room(licence_id=7, purchase="0x01", calls=ledger.Calls(0)) for _ in range(20))


def calls_all_used(sold, buyer) -> None:
    job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    ledger.call_settle(job=job)
    with pytest.raises(CallsExhaustedError):
        services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")


@pytest.mark.django_db
def test_call_of_a_licence_is_there_though_another_purchase_had_its_id(sell, buyer, outsider):
    sold = sell(calls=1)
    calls_all_used(sold, buyer)
    sold.market.anvil.rpc("anvil_rollback", 1)
    assert sold.market.buy(sold.plan_id, by=outsider.address) == sold.licence_id
    request = {"account": outsider, "model_id": sold.model_id, "inputs": "the house", "licence_id": sold.licence_id}
    job, _ = services.job_create(**request)  # the index still knows the earlier purchase
    sold.market.index()
    with pytest.raises(CallsExhaustedError):
        services.job_create(**request)
    assert (LicenceUse.objects.count(), ledger.call_settle(job=job)) == (2, None)
    (view,) = licence_list_for_holder(outsider.address)
    assert calls_used({sold.licence_id: view.licence.event.tx_hash})[sold.licence_id].used == 1


@pytest.mark.django_db
def test_call_stays_used_where_the_same_purchase_is_mined_again(sell, buyer):
    sold = sell(calls=1)
    calls_all_used(sold, buyer)
    purchase = Licence.objects.get().event.tx_hash
    raw = sold.market.anvil.rpc("eth_getRawTransactionByHash", purchase)
    sold.market.anvil.rpc("anvil_reorg", 1, [[raw, 0]])
    assert sold.market.gateway.receipt(purchase) is not None
    with pytest.raises(CallsExhaustedError):
        services.job_create(account=buyer, model_id=sold.model_id, inputs="the house", licence_id=sold.licence_id)


@pytest.mark.django_db
def test_call_is_not_reserved_while_nobody_knows_the_purchase(sell, buyer, monkeypatch):
    sold = sell(calls=1)
    second = sold.market.buy(sold.plan_id)

    def refuse(*_args, **_more):
        raise RangeTooLarge("This node does not search.")

    with monkeypatch.context() as patch:
        patch.setitem(vars(sold.market.gateway), "logs_in_range", refuse)
        with pytest.raises(LicencePurchaseUnknownError):
            services.job_create(account=buyer, model_id=sold.model_id, inputs="the house", licence_id=second)
    assert not LicenceUse.objects.exists()
    sold.market.index()
    services.job_create(account=buyer, model_id=sold.model_id, inputs="the house", licence_id=second)


def room(used_here: int, *, bought: int, on_chain: int) -> int:
    """How many calls can be reserved of a licence of which `used_here` were served here and `on_chain` reported."""
    LicenceUse.objects.create(licence_id=7, purchase="0x01", used=used_here)
    calls = ledger.Calls(bought, on_chain)
    reserved = 0
    while ledger.call_is_left(licence_id=7, purchase="0x01", calls=calls):
        assert ledger.call_room(licence_id=7, purchase="0x01", calls=calls)
        reserved += 1
    assert not ledger.call_room(licence_id=7, purchase="0x01", calls=calls)
    return reserved


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("used_here", "on_chain", "expected"), [(0, 0, 5), (2, 0, 3), (2, 1, 3), (1, 3, 2), (0, 5, 0), (5, 0, 0), (6, 9, 0)]
)
def test_calls_that_can_be_served_are_those_that_neither_chain_nor_ledger_has_seen(used_here, on_chain, expected):
    assert room(used_here, bought=5, on_chain=on_chain) == expected


@pytest.mark.django_db
def test_call_is_left_of_a_licence_never_run_here_unless_the_chain_has_seen_all_of_them():
    assert ledger.call_is_left(licence_id=7, purchase="0x01", calls=ledger.Calls(3, 2))
    assert not ledger.call_is_left(licence_id=7, purchase="0x01", calls=ledger.Calls(3, 3))


@pytest.mark.django_db
def test_calls_of_a_renewal_are_added_to_those_of_the_purchase(sell, buyer):
    sold = sell(calls=1, flags=RUN | RENEWABLE)
    calls_all_used(sold, buyer)
    sold.market.renew(sold.licence_id)
    job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    assert job.call.limit == 2
    with pytest.raises(CallsExhaustedError):
        services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")


@pytest.mark.django_db
def test_call_that_another_site_served_and_reported_is_not_served_again(sell, buyer):
    sold = sell(calls=3)
    sold.market.report_usage({sold.licence_id: 2})
    services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    with pytest.raises(CallsExhaustedError):
        services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")


@pytest.mark.django_db
def test_call_of_a_licence_cancelled_or_suspended_meanwhile_is_given_back(sell, buyer):
    sold = sell(calls=3)
    first, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    sold.market.suspend(sold.model_id)
    with pytest.raises(LicenceSuspendedError):
        services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    execution.job_run(job_id=first.pk)
    first.refresh_from_db()
    assert (first.state, first.error["code"], counters()) == ("failed", "licence.suspended", {"used": 0, "reserved": 0})
    sold.market.resume(sold.model_id)
    second, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    sold.market.cancel(sold.licence_id)
    execution.job_run(job_id=second.pk)
    second.refresh_from_db()
    assert (second.error["code"], counters()) == ("licence.cancelled", {"used": 0, "reserved": 0})


@pytest.mark.django_db
def test_call_released_can_be_reserved_again(sell, buyer):
    sold = sell(calls=1)
    first, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    with pytest.raises(CallsExhaustedError):
        services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    services.job_cancel(account=buyer, job_id=first.pk)
    services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    assert counters() == sums() == {"used": 0, "reserved": 1}


@pytest.mark.django_db
def test_call_is_closed_once_however_often(sell, buyer):
    sold = sell(calls=3)
    job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
    ledger.call_release(job=job)
    ledger.call_release(job=job)
    assert counters() == sums() == {"used": 0, "reserved": 0}


@pytest.mark.django_db
def test_calls_exhausted_on_one_licence_are_taken_from_the_next(sell, buyer):
    sold = sell(calls=1)
    second = sold.market.buy(sold.plan_id)
    sold.market.index()
    jobs = [services.job_create(account=buyer, model_id=sold.model_id, inputs="a")[0] for _ in range(2)]
    assert {job.licence_id for job in jobs} == {sold.licence_id, second}
    with pytest.raises(CallsExhaustedError) as refused:
        services.job_create(account=buyer, model_id=sold.model_id, inputs="a")
    assert set(refused.value.data["licences"]) == {str(sold.licence_id), str(second)}
    assert Job.objects.count() == 2


@pytest.mark.django_db
def test_calls_that_a_lost_ledger_forgot_are_not_had_twice(sell, buyer):
    """The chain knows of 3 of 5 calls, the ledger of none: two are left, and stay counted beside the three."""
    sold = sell(calls=5)
    calls = ledger.Calls(5, used=3)
    for _ in range(2):
        job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")
        ledger.call_release(job=job)
        entry = CallEntry.objects.get(job=job)
        row = {"licence_id": sold.licence_id, "purchase": entry.purchase}
        assert ledger.call_room(**row, calls=calls)
        CallEntry.objects.filter(pk=entry.pk).update(state="reserved")
        ledger.call_settle(job=job)
    assert not ledger.call_room(**row, calls=calls)
    assert LicenceUse.objects.get(**row).used == 5
