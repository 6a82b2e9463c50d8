"""Calls that were used are reported on chain by the outbox, exactly once, and only by the plan's operator."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from chain.models import OutboxTransaction
from chain.outbox.calls import usage_report_enqueue
from marketplace.inference import reporting, services
from marketplace.inference.errors import BatchTooValuableError
from marketplace.inference.models import Job, LicenceUse
from marketplace.licences.errors import LicenceForeignOperatorError, LicenceUsageUnreportedError
from marketplace.licences.models import Licence, SkipReason, UsageSkip
from models_registry.runtime.specs import RunResult
from tests.chain.outbox.conftest import BASE_FEE_WEI, Outbox
from tests.inference.receipt_steps import message_of

pytestmark = pytest.mark.django_db
RESULT = RunResult(outputs=[[0.5]], fingerprint={}, timings={}, usage={})
CHECKED = type("Checked", (), {"block_number": 1, "block_hash": "0x"})
WEI = Decimal(10) ** -18


@pytest.fixture(autouse=True)
def threshold(settings) -> None:
    """A report is worth it from 300 wei on, and nothing more is served from 600: three and six calls of `sold`."""
    settings.USAGE_REPORT_VALUE_COIN, settings.USAGE_UNREPORTED_MOST = 300 * WEI, 2


@pytest.fixture
def outbox(market) -> Iterator[Outbox]:
    market.mine(12)
    market.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(BASE_FEE_WEI))
    market.mine()
    yield Outbox(market)
    market.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(BASE_FEE_WEI))


@pytest.fixture
def sold(sell, market):
    """Ten calls for 1,000 wei, of which time vests nothing for a year. The purchase is final."""
    sold = sell(calls=10, period=365 * 24 * 3600, vesting=365 * 24 * 3600)
    final(market)
    return sold


@pytest.fixture
def run(sold, buyer):
    """`run(3)`: a job of three calls that succeeds."""

    def make(calls: int, *, licence_id: int | None = None) -> Job:
        job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"] * calls, licence_id=licence_id)
        assert services.job_succeed(job=services.job_claim(job_id=job.pk), result=RESULT, licence=CHECKED)
        return job

    return make


def final(market) -> None:
    market.mine(70)
    market.index()


def rest(outbox, seconds: int = 600) -> None:
    """What was sent is final, and the index is there, so many seconds later."""
    outbox.finalise()
    outbox.work()
    outbox.market.warp(seconds)
    outbox.market.index()


def key_change(market, key: str) -> None:
    market.send(
        "LicenceMarket", "setOperator", [market.operator_id, key, market.operator_payee], by=market.operator_owner
    )


@pytest.fixture
def skipped(sold, run, outbox):
    """Six calls, the most that may be unreported, were reported by a key that was not the operator's any more."""
    run(6)
    key_change(sold.market, sold.market.outsider)
    assert reporting.usage_report() == 1
    outbox.work()
    sold.market.index()
    assert UsageSkip.objects.get().reason == SkipReason.FOREIGN
    return sold


def used_on_chain(sold) -> int:
    return sold.market.read("LicenceMarket", "licenceStates", [[sold.licence_id]])[0]["used"]


def reports() -> int:
    return OutboxTransaction.objects.filter(purpose="usage.report").count()


def test_use_is_reported_once_its_value_is_reached_as_a_count_over_the_licences_life(sold, run, outbox):
    run(2)
    assert (reporting.usage_report(), reports()) == (0, 0)
    run(1)
    assert (reporting.usage_report(), reporting.usage_report(), reports()) == (1, 0, 1)
    outbox.work()
    assert used_on_chain(sold) == 3
    sold.market.index()
    run(2)
    assert reporting.usage_report() == 0
    run(1)
    assert reporting.usage_report() == 1
    outbox.work()
    assert (used_on_chain(sold), reports()) == (6, 2)


def test_use_on_chain_is_what_the_receipts_of_the_licence_add_up_to(sold, run, buyer, worker_key, outbox):
    jobs = [run(2), run(1)]
    cancelled, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"])
    services.job_cancel(account=buyer, job_id=cancelled.pk)
    assert reporting.usage_report() == 1
    outbox.work()
    assert used_on_chain(sold) == sum(int(message_of(job)["calls"]) for job in (*jobs, cancelled)) == 3


def test_use_that_is_reserved_or_released_is_not_reported(sold, run, buyer, outbox):
    run(3)
    open_job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"] * 2)
    reporting.usage_report()
    outbox.work()
    assert used_on_chain(sold) == 3
    services.job_cancel(account=buyer, job_id=open_job.pk)
    assert reporting.usage_report() == 0


def test_use_of_a_licence_that_is_cancelled_is_reported_whatever_it_is_worth_also_what_ends_later(
    sold, run, buyer, outbox
):
    run(1)
    late, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"])
    held = services.job_claim(job_id=late.pk)
    assert reporting.usage_report() == 0
    sold.market.cancel(sold.licence_id)
    sold.market.index()
    assert reporting.usage_report() == 1
    assert services.job_succeed(job=held, result=RESULT, licence=CHECKED)
    assert reporting.usage_report() == 1
    outbox.work()
    assert used_on_chain(sold) == 2
    sold.market.warp(6 * 3600)
    assert sold.market.settle(sold.licence_id) == 800
    sold.market.index()
    assert reporting.usage_report() == 0


def test_use_is_reported_before_income_is_collected(sold, run, outbox):
    run(2)
    rows = reporting.income_collect(licence_ids=[sold.licence_id])
    assert len(rows) == 1
    outbox.work()
    purposes = OutboxTransaction.objects.order_by("nonce").values_list("purpose", flat=True)
    assert list(purposes) == ["usage.report", "income.collect"]
    assert sold.market.read("LicenceMarket", "plan", [sold.plan_id])[1]["earned"] == 200


def test_use_is_not_reported_before_its_purchase_is_final(sell, market, buyer):
    young = sell(calls=10)
    job, _ = services.job_create(account=buyer, model_id=young.model_id, inputs=["a"] * 5)
    services.job_succeed(job=services.job_claim(job_id=job.pk), result=RESULT, licence=CHECKED)
    assert reporting.usage_report() == 0
    final(market)
    assert reporting.usage_report() == 1


def test_use_of_a_purchase_that_a_reorg_removed_is_never_reported_for_the_one_that_got_its_id(
    sell, market, buyer, outsider
):
    first = sell(calls=10)
    job, _ = services.job_create(account=buyer, model_id=first.model_id, inputs=["a"] * 5)
    services.job_succeed(job=services.job_claim(job_id=job.pk), result=RESULT, licence=CHECKED)
    market.anvil.rpc("anvil_rollback", 1)
    assert market.buy(first.plan_id, by=outsider.address) == first.licence_id
    final(market)
    assert (reporting.usage_report(), reporting.usage_report(licence_ids=[first.licence_id]), reports()) == (0, 0, 0)


def test_use_whose_report_a_reorg_removed_is_reported_again_by_the_outbox_alone(sold, run, outbox):
    run(3)
    reporting.usage_report()
    outbox.work()
    sold.market.anvil.rpc("anvil_rollback", 1)
    sold.market.mine(2)
    assert used_on_chain(sold) == 0
    sold.market.index()
    assert reporting.usage_report() == 0
    outbox.work()
    outbox.work()
    assert (used_on_chain(sold), reports()) == (3, 1)


def test_use_that_a_renewal_added_calls_to_is_counted_on(sell, market, buyer, outbox):
    sold = sell(calls=4, flags=1 | 8)
    market.renew(sold.licence_id)
    final(market)
    job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"] * 6)
    services.job_succeed(job=services.job_claim(job_id=job.pk), result=RESULT, licence=CHECKED)
    assert reporting.usage_report() == 1
    outbox.work()
    assert used_on_chain(sold) == 6


def test_use_that_was_skipped_is_reported_again_once_and_served_on(skipped, run, outbox):
    key_change(skipped.market, skipped.market.operator_key)
    assert reporting.usage_report() == 0
    rest(outbox)
    with pytest.raises(LicenceUsageUnreportedError):
        run(1)
    assert (reporting.usage_report(), reporting.usage_report(), reports()) == (1, 0, 2)
    outbox.work()
    assert used_on_chain(skipped) == 6
    rest(outbox)
    assert (reporting.usage_report(), reports()) == (0, 2)
    run(1)


def test_use_that_is_skipped_again_and_again_is_reported_every_ten_minutes_at_most(skipped, outbox):
    for sent in (2, 3):
        rest(outbox, 300)
        assert (reporting.usage_report(), reports()) == (0, sent - 1)
        rest(outbox, 300)
        assert (reporting.usage_report(), reporting.usage_report(), reports()) == (1, 0, sent)
        rest(outbox, 0)
        assert UsageSkip.objects.count() == sent


def test_use_that_was_skipped_waits_for_its_report_to_be_final(skipped, outbox):
    skipped.market.warp(600)
    skipped.market.index()
    assert reporting.usage_report() == 0
    outbox.finalise()
    outbox.work()
    assert reporting.usage_report() == 1


def test_use_that_was_skipped_for_good_is_not_reported_again(sold, run, outbox, settings):
    settings.SITE_OPERATOR_ID = sold.market.operator_id
    run(3)
    sold.market.send("LicenceMarket", "disableOperator", [sold.market.operator_id], by=sold.market.guardian)
    reporting.usage_report()
    outbox.work()
    rest(outbox)
    assert UsageSkip.objects.get().reason == SkipReason.DISABLED
    assert (reporting.usage_report(), reports()) == (0, 1)


def test_use_that_a_stranger_had_skipped_is_not_reported_again(sold, run, outbox):
    run(3)
    reporting.usage_report()
    OutboxTransaction.objects.update(state="cancelled")
    sold.market.report_usage({sold.licence_id: 3}, by=sold.market.outsider)
    rest(outbox)
    assert UsageSkip.objects.get().reason == SkipReason.FOREIGN
    assert (reporting.usage_report(), reports()) == (0, 1)


def test_use_that_was_skipped_is_reported_again_whatever_a_stranger_has_skipped_since(skipped, outbox):
    key_change(skipped.market, skipped.market.operator_key)
    rest(outbox)
    skipped.market.report_usage({skipped.licence_id: 6}, by=skipped.market.outsider)
    skipped.market.report_usage({skipped.licence_id: 5}, by=skipped.market.outsider)
    skipped.market.index()
    assert (reporting.usage_report(), reports()) == (1, 2)


def test_use_that_is_skipped_without_the_renewal_that_it_counts_is_reported_again_with_it(sell, market, buyer, outbox):
    sold = sell(calls=4, flags=1 | 8)
    final(market)
    row = LicenceUse.objects.create(
        licence_id=sold.licence_id,
        purchase=Licence.objects.get().event.tx_hash,
        used=6,
        enqueued=6,
        is_metered=True,
    )
    usage_report_enqueue([sold.licence_id], [6])
    outbox.work()
    market.renew(sold.licence_id)
    rest(outbox)
    assert UsageSkip.objects.get().reason == SkipReason.ABOVE_TOTAL
    assert reporting.usage_report() == 1
    row.refresh_from_db()
    assert (row.enqueued, reports()) == (6, 2)
    outbox.work()
    assert used_on_chain(sold) == 6


def test_calls_of_a_renewal_that_is_not_final_are_not_reported_yet(sell, market, buyer, outbox):
    sold = sell(calls=4, flags=1 | 8)
    final(market)
    market.renew(sold.licence_id)
    market.index()
    job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"] * 5)
    services.job_succeed(job=services.job_claim(job_id=job.pk), result=RESULT, licence=CHECKED)
    assert reporting.usage_report() == 1
    assert LicenceUse.objects.get().enqueued == 4
    final(market)
    assert (reporting.usage_report(), LicenceUse.objects.get().enqueued) == (1, 5)
    outbox.work()
    assert used_on_chain(sold) == 5


@pytest.mark.django_db(transaction=True)
def test_use_that_was_skipped_is_reported_again_once_by_many_rounds_at_once(skipped, outbox, clean_broker):
    rest(outbox)

    def report(_: int) -> int:
        try:
            return reporting.usage_report()
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(report, range(6))) == 1
    assert (reports(), LicenceUse.objects.get().enqueued) == (2, 6)


def test_use_of_others_is_reported_while_a_report_that_was_sent_again_is_under_way(skipped, run, outbox):
    other = skipped.market.buy(skipped.plan_id)
    rest(outbox)
    assert reporting.usage_report() == 1
    run(3, licence_id=other)
    assert (reporting.usage_report(), reporting.usage_report(), reports()) == (1, 0, 3)


def test_use_that_another_process_has_just_reported_again_is_left_to_it(skipped, outbox, monkeypatch):
    rest(outbox)

    def overtaken(metered, real=reporting._skips):
        found = real(metered)
        monkeypatch.setattr(reporting, "_skips", real)
        assert reporting.usage_report() == 1
        return found

    monkeypatch.setattr(reporting, "_skips", overtaken)
    assert (reporting.usage_report(), reports(), LicenceUse.objects.get().enqueued) == (0, 2, 6)


def test_calls_are_refused_while_too_much_is_unreported_and_served_again_after_the_report(sold, run, buyer, outbox):
    run(5)
    run(1)
    with pytest.raises(LicenceUsageUnreportedError) as refused:
        run(1)
    assert refused.value.retryable and refused.value.data["unreported"] == 6
    assert LicenceUse.objects.values_list("used", "reserved", "open_jobs").get() == (6, 0, 0)
    reporting.usage_report()
    outbox.work()
    run(1)


def test_batch_that_would_pass_what_may_be_unreported_is_refused_whole(sell, market, buyer):
    """Of a plan of a thousand calls for 100,000 wei six may be unreported: a batch cannot take 65 at once."""
    sold = sell(calls=1000, price=100_000, period=365 * 24 * 3600, vesting=365 * 24 * 3600)
    with pytest.raises(BatchTooValuableError, match="Send at most 6 at once") as refused:
        services.batch_create(account=buyer, model_id=sold.model_id, inputs=["a"] * 65)
    assert (refused.value.data["most"], refused.value.retryable) == (6, False)
    quote = services.batch_quote(account=buyer, model_id=sold.model_id, inputs=["a"] * 65)
    assert (quote.error["code"], quote.error["retryable"]) == ("batch.too_valuable", False)
    assert not LicenceUse.objects.filter(reserved__gt=0).exists()


def test_calls_of_another_operators_plan_are_refused_with_a_sentence_and_not_reported(sell, market, buyer):
    theirs = market.register_operator()
    # The demo's own operator is the newest that its owner registered.
    sold = sell(calls=10, operatorId=theirs)
    with pytest.raises(LicenceForeignOperatorError) as refused:
        services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"])
    assert f"operator {theirs}" in refused.value.message and not refused.value.retryable
    assert not LicenceUse.objects.exists()


def test_calls_of_an_unmetered_plan_are_served_whoever_its_operator_is(sell, market, buyer):
    sold = sell(operatorId=market.register_operator())
    assert services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"])[0].state == "queued"


def test_calls_are_served_under_a_licence_of_this_sites_operator_where_another_is_foreign(sell, market, buyer):
    sold = sell(calls=10, operatorId=market.register_operator())
    own = market.buy(market.add_plan(sold.model_id, calls=10))
    market.index()
    assert services.job_create(account=buyer, model_id=sold.model_id, inputs=["a"])[0].licence_id == own


@pytest.mark.django_db(transaction=True)
def test_reports_of_many_rounds_at_once_are_one(sold, run, clean_broker):
    run(4)

    def report(_: int) -> int:
        try:
            return reporting.usage_report()
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(report, range(6))) == 1
    assert (reports(), LicenceUse.objects.get().enqueued) == (1, 4)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", ["usage.in_enqueue", "usage.enqueued"])
def test_report_of_a_process_that_was_killed_goes_out_exactly_once(
    sold, run, outbox, manage, tmp_path, clean_broker, point
):
    run(4)
    values = {"WEIGHHOUSE_FAULTS": point, "WEIGHHOUSE_FAULTS_DIR": str(tmp_path)}
    victim = manage("report_usage", str(sold.licence_id), env=values)
    victim.wait_until((tmp_path / point).exists, what="at the fault point", timeout_s=90)
    victim.kill()
    reporting.usage_report()
    reporting.usage_report()
    outbox.work()
    assert (used_on_chain(sold), reports()) == (4, 1)


def test_command_collects_after_the_reports_and_says_what_it_did(sold, run, capsys):
    run(1)
    call_command("report_usage")
    call_command("report_usage", str(sold.licence_id), "--collect")
    said = capsys.readouterr().out
    assert "The calls of 0 licences" in said and "1 transactions collect" in said
    assert [row.purpose for row in OutboxTransaction.objects.order_by("pk")] == ["usage.report", "income.collect"]
    with pytest.raises(CommandError, match="Name the licences"):
        call_command("report_usage", "--collect")
