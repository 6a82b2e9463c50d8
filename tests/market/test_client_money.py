"""A script leaves, renews and collects through the Python client, against a real site and chain."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from weighhouse.client import ApiError, Client

from chain.transactions import TransactionRequest, receipt_wait, send
from marketplace.accounts.services import api_key_create
from marketplace.licences.models import LicenceSettlement
from marketplace.licences.selectors import licence_get
from tests.fixtures.contracts import NATIVE, RENEWABLE, RUN
from tests.fixtures.people import BUYER, OUTSIDER, PUBLISHER

pytestmark = pytest.mark.django_db(transaction=True)
DAY = 24 * 3600
SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "leave_licence.py"
MONTH = {"period": 30 * DAY, "vesting": 30 * DAY, "flags": RUN | RENEWABLE, "price": 10**16}


@pytest.fixture
def site(live_server, buyer):
    _, key = api_key_create(account=buyer, name="a script", scopes=["run"])
    with Client(live_server.url, key) as client:
        yield client


def signed(market, calls: list[dict[str, str]], *, by: str) -> None:
    for call in calls:
        request = TransactionRequest(int(call["chain_id"]), call["to"], call["data"], int(call["value"]))
        receipt_wait(send(market.keys[by], request))
    market.index()


def run_script(market, live_server, licence_id: int, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the example while the index keeps up, as an indexer would make it."""
    argv = [
        sys.executable,
        str(SCRIPT),
        str(licence_id),
        "--site",
        live_server.url,
        "--rpc",
        market.anvil.url,
        *options,
    ]
    env = {"WEIGHHOUSE_PRIVATE_KEY": market.keys[BUYER], "PATH": ""}
    process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while process.poll() is None:
            market.index()
            time.sleep(0.2)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def test_client_renews_reads_and_collects_what_the_chain_then_says(site, market):
    model_id, plan_id, licence_id = market.sold_licence(**MONTH)
    market.index()
    (plan,) = site.plan_list(model_id)
    assert (plan["plan"], plan["vesting_s"]) == (str(plan_id), 30 * DAY)
    signed(market, site.purchase_transactions(plan_id, recipient=BUYER, sender=OUTSIDER), by=OUTSIDER)
    assert len(site.licence_list(model=model_id)) == 2
    signed(market, site.renewal_transactions(licence_id, sender=BUYER), by=BUYER)
    market.warp(3 * DAY)
    market.index()
    licence = site.licence_get(licence_id, at=market.now + DAY)
    assert int(licence["refund"]) > int(licence["refund_later"]["refund"]) > 0
    signed(market, site.collection_transactions(plan_id, sender=OUTSIDER), by=OUTSIDER)
    (income,) = site.income_get(model_id)
    assert int(income["available"]) >= 10**16 * 3 // 30
    payout = site.withdrawal_transactions(model_id, token=NATIVE, to=PUBLISHER, sender=PUBLISHER)
    signed(market, payout, by=PUBLISHER)
    assert site.income_get(model_id)[0]["withdrawn"] == income["available"]


def test_client_raises_the_contracts_reason_before_anything_is_signed(site, market):
    model_id, _, licence_id = market.sold_licence(**MONTH)
    market.index()
    with pytest.raises(ApiError) as refused:
        site.cancellation_transactions(licence_id, to=OUTSIDER, sender=OUTSIDER)
    assert refused.value.code == "chain.reverted.not_holder"
    with pytest.raises(ApiError) as refused:
        site.plan_transactions(model_id, {"price": "1", "supply": 0, "flags": 1}, sender=PUBLISHER)
    assert refused.value.code == "chain.reverted.supply_zero"
    assert site.plan_transactions(model_id, {"price": "1", "supply": 1, "flags": 1})[0]["purpose"] == "add_plan"
    with pytest.raises(ApiError) as refused:
        site.account_withdrawal_transactions(OUTSIDER, token=NATIVE, to=OUTSIDER)
    assert refused.value.code == "chain.reverted.nothing_to_withdraw"


def test_script_cancels_and_says_what_came_back(market, live_server, buyer):
    _, _, licence_id = market.sold_licence(**MONTH)
    market.warp(3 * DAY)
    market.index()
    looked = run_script(market, live_server, licence_id)
    assert looked.returncode == 0, looked.stderr
    assert "ETH would come back" in looked.stdout
    assert not LicenceSettlement.objects.exists()
    left = run_script(market, live_server, licence_id, "--cancel")
    assert left.returncode == 0, left.stdout + left.stderr
    refund = LicenceSettlement.objects.get().refund
    assert f"{refund} came back" in left.stdout
    assert 10**16 * 26 // 30 < refund <= 10**16 * 27 // 30


def test_script_settles_a_metered_licence_when_the_time_for_reports_is_over(market, live_server, buyer):
    _, _, licence_id = market.sold_licence(**MONTH, calls=10)
    market.index()
    cancelled = run_script(market, live_server, licence_id, "--cancel")
    assert cancelled.returncode == 0, cancelled.stdout + cancelled.stderr
    early = run_script(market, live_server, licence_id, "--cancel")
    assert (early.returncode, "settled from" in early.stderr) == (1, True)
    market.report_usage({licence_id: 5})
    market.warp(6 * 3600)
    settled = run_script(market, live_server, licence_id, "--cancel")
    assert settled.returncode == 0, settled.stdout + settled.stderr
    assert licence_get(licence_id).settlement.refund == 10**16 // 2
    assert f"{10**16 // 2} came back" in settled.stdout
