"""Who may run a model when the index is wrong: the chain decides, through the job API and the worker's step.

The processes share a head for the site's own quarter of a second. "The next call" is the first one after it.
"""

import time

import pytest

from chain import selectors as chain
from chain.indexer.rebuild import index_rebuild
from chain.indexer.run import Indexer, index_to_head
from marketplace.inference import execution, services
from marketplace.inference.errors import JobPayloadDeletedError
from marketplace.inference.models import CallEntry, Job, JobPayload, LicenceUse
from marketplace.licences.models import Licence
from marketplace.licences.services import licences_usable
from tests.fixtures.contracts import RUN, TRANSFERABLE
from tests.fixtures.people import BUYER, OUTSIDER

pytestmark = pytest.mark.django_db
AGE_S = 0.25


class Blind:
    """The market's gateway, but the logs that `hides` are not in its answers."""

    def __init__(self, gateway, hides) -> None:
        self._gateway, self._hides = gateway, hides

    def __getattr__(self, name: str):
        return getattr(self._gateway, name)

    def logs_in_range(self, addresses, **range_):
        return [log for log in self._gateway.logs_in_range(addresses, **range_) if not self._hides(log)]

    def logs_by_hash(self, addresses, *, block_hashes):
        found = self._gateway.logs_by_hash(addresses, block_hashes=block_hashes)
        return [[log for log in logs if not self._hides(log)] for logs in found]


@pytest.fixture
def listed(clean_broker, sell, settings, market, buyer):
    """A model with a transferable licence that the buyer holds and that the index knows."""
    settings.HEAD_MAX_AGE_S = AGE_S
    return sell(flags=RUN | TRANSFERABLE)


@pytest.fixture
def post(listed, with_key):
    clients = {}

    def send(account, **changes):
        """The next call: whatever the site remembered of the head has passed."""
        client = clients.setdefault(account.pk, with_key(account, "run"))
        time.sleep(AGE_S)
        body = {"model": str(listed.model_id), "inputs": ["the house"], **changes}
        return client.post("/api/v1/jobs", body, format="json")

    return send


def index_without(market, first_hidden: int) -> None:
    """Bring the index to the head without the logs from block `first_hidden` on."""
    blind = Blind(market.gateway, lambda log: log.block_number >= first_hidden)
    indexer = Indexer(gateway=blind, book=market.book, development=True)
    index_to_head(indexer)
    indexer.close()
    assert chain.index_block() == market.gateway.header_at(None).number


def next_block(market) -> int:
    return market.gateway.header_at(None).number + 1


def transfer(market, licence_id: int) -> None:
    market.send("LicenceMarket", "transferFrom", [BUYER, OUTSIDER, licence_id], by=BUYER)


def code_of(response) -> tuple[int, str]:
    return response.status_code, response.json().get("code", "")


def test_purchase_that_the_index_missed_lets_its_holder_run(post, listed, outsider):
    assert code_of(post(outsider)) == (403, "licence.none")
    hidden = next_block(listed.market)
    licence_id = listed.market.buy(listed.plan_id, by=OUTSIDER)
    index_without(listed.market, hidden)
    assert not Licence.objects.filter(licence_id=licence_id).exists()
    for named in ({}, {"licence": str(licence_id)}):
        response = post(outsider, **named)
        assert (response.status_code, response.json()["licence"]) == (202, str(licence_id))


def test_purchase_in_a_block_that_is_not_indexed_yet_lets_its_holder_run(post, listed, outsider):
    licence_id = listed.market.buy(listed.plan_id, by=OUTSIDER)
    assert post(outsider).json()["licence"] == str(licence_id)


def test_purchase_that_was_missed_long_ago_runs_by_its_id(post, listed, outsider):
    hidden = next_block(listed.market)
    licence_id = listed.market.buy(listed.plan_id, by=OUTSIDER)
    listed.market.mine(200)
    index_without(listed.market, hidden)
    assert code_of(post(outsider)) == (403, "licence.none"), "as documented"
    assert post(outsider, licence=str(licence_id)).status_code == 202


def test_transfer_that_the_index_missed_moves_the_right_to_run(post, listed, buyer, outsider):
    assert post(buyer).status_code == 202
    hidden = next_block(listed.market)
    transfer(listed.market, listed.licence_id)
    index_without(listed.market, hidden)
    named = {"licence": str(listed.licence_id)}
    assert [code_of(post(buyer, **extra)) for extra in ({}, named)] == [(403, "licence.foreign")] * 2
    assert [post(outsider, **extra).json()["licence"] for extra in ({}, named)] == [named["licence"]] * 2


def test_licence_that_was_given_away_counts_for_nothing_where_it_once_was(post, listed, buyer):
    transfer(listed.market, listed.licence_id)
    listed.market.index()
    assert code_of(post(buyer)) == (403, "licence.none")


def test_licence_that_came_back_unseen_long_ago_is_found_without_its_id(post, listed, buyer):
    transfer(listed.market, listed.licence_id)
    listed.market.index()
    hidden = next_block(listed.market)
    listed.market.send("LicenceMarket", "transferFrom", [OUTSIDER, BUYER, listed.licence_id], by=OUTSIDER)
    listed.market.mine(200)
    index_without(listed.market, hidden)
    assert post(buyer).json()["licence"] == str(listed.licence_id)


@pytest.mark.parametrize("named", [False, True])
def test_cancelling_that_the_index_missed_ends_the_right_to_run(post, listed, buyer, named):
    extra = {"licence": str(listed.licence_id)} if named else {}
    assert post(buyer, **extra).status_code == 202
    hidden = next_block(listed.market)
    listed.market.cancel(listed.licence_id)
    index_without(listed.market, hidden)
    assert Licence.objects.filter(licence_id=listed.licence_id).exists()
    assert code_of(post(buyer, **extra)) == (403, "licence.none")


def test_suspension_that_the_index_missed_ends_the_right_to_run(post, listed, buyer):
    assert post(buyer).status_code == 202
    hidden = next_block(listed.market)
    listed.market.suspend(listed.model_id)
    index_without(listed.market, hidden)
    assert code_of(post(buyer)) == (403, "licence.suspended")


def test_purchase_that_a_reorg_took_grants_nothing_though_the_index_shows_it(post, listed, buyer):
    assert post(buyer).status_code == 202
    listed.market.anvil.rpc("anvil_reorg", 1, [])
    assert Licence.objects.filter(licence_id=listed.licence_id).exists()
    for extra in ({}, {"licence": str(listed.licence_id)}):
        assert code_of(post(buyer, **extra)) == (403, "licence.none")


def test_calls_of_a_licence_that_the_index_missed_are_counted_under_its_purchase(post, listed, outsider):
    plan_id = listed.market.add_plan(listed.model_id, calls=2)
    hidden = next_block(listed.market)
    licence_id = listed.market.buy(plan_id, by=OUTSIDER)
    tx_hash = listed.market.gateway.logs_in_range(
        [listed.market.book.contract("LicenceMarket").address], first=hidden, last=hidden
    )[0].tx_hash
    index_without(listed.market, hidden)
    assert post(outsider).status_code == 202
    index_rebuild(listed.market.indexer)
    assert Licence.objects.filter(licence_id=licence_id).exists(), "the index has it now"
    assert post(outsider).status_code == 202
    assert code_of(post(outsider))[1] == "licence.calls_exhausted"
    use = LicenceUse.objects.get(licence_id=licence_id)
    assert (use.purchase, use.reserved) == (tx_hash, 2)


def test_calls_that_a_remembered_state_had_left_are_still_counted_one_by_one(post, listed, buyer, settings):
    settings.HEAD_MAX_AGE_S = 60
    licence_id = listed.market.buy(listed.market.add_plan(listed.model_id, calls=1))
    listed.market.index()
    assert post(buyer, licence=str(licence_id)).status_code == 202
    assert code_of(post(buyer, licence=str(licence_id)))[1] == "licence.calls_exhausted"


def test_junk_that_strangers_send_hides_no_licence_that_the_index_missed(post, listed, outsider, monkeypatch):
    monkeypatch.setattr("marketplace.licences.services.CANDIDATE_LIMIT", 2)
    other = listed.market.add_plan(listed.market.publish(b"\x07" * 32))
    hidden = next_block(listed.market)
    licence_id = listed.market.buy(listed.plan_id, by=OUTSIDER)
    for _ in range(3):
        listed.market.buy(other, by=BUYER, recipient=OUTSIDER)
    index_without(listed.market, hidden)
    assert post(outsider).json()["licence"] == str(licence_id)


def test_dead_node_refuses_nobody_and_admits_nobody(post, listed, buyer, outsider, settings):
    assert post(buyer).status_code == 202
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    for account in (buyer, outsider):
        assert code_of(post(account)) == (503, "chain.node_unavailable")


def test_node_that_fails_while_logs_are_asked_refuses_nobody(post, listed, counted_node, outsider):
    counted_node.refuse("eth_getLogs", "upstream timed out")
    assert code_of(post(outsider)) == (503, "chain.node_unavailable")


def test_dead_broker_changes_no_decision(post, listed, buyer, outsider, settings):
    settings.BROKER_URL = "redis://127.0.0.1:9/0"
    assert post(buyer).status_code == 202
    assert code_of(post(outsider)) == (403, "licence.none")
    listed.market.cancel(listed.licence_id)
    assert code_of(post(buyer)) == (403, "licence.none")


def test_jobs_of_one_block_ask_the_node_once_for_all_of_them(listed, counted_node, buyer, outsider, settings):
    settings.HEAD_MAX_AGE_S = 60
    listed.market.buy(listed.plan_id, by=OUTSIDER)
    listed.market.index()
    for _ in range(3):
        services.job_create(account=buyer, model_id=listed.model_id, inputs="the house")
    once = dict(counted_node.counts)
    services.job_create(account=buyer, model_id=listed.model_id, inputs="the house")
    assert dict(counted_node.counts) == once
    # Beside the endpoint's own question for the chain id: the head, the block of the purchase, the states.
    assert once == {"eth_chainId": 1, "eth_getBlockByNumber": 2, "eth_call": 1}
    services.job_create(account=outsider, model_id=listed.model_id, inputs="the house")
    assert counted_node.counts["eth_call"] == 2


def test_refusals_without_end_make_the_node_search_once_per_block(listed, counted_node, outsider, settings):
    settings.HEAD_MAX_AGE_S = 60
    for _ in range(5):
        with pytest.raises(Exception, match="holds no licence"):
            licences_usable(holder=OUTSIDER, model_id=listed.model_id)
    assert counted_node.counts["eth_getLogs"] == 1


def worker_step(job: Job) -> None:
    """What a worker does up to the inputs, which are deleted: the licence is judged before that."""
    JobPayload.objects.filter(job=job).delete()
    execution.job_run(job_id=job.pk)
    job.refresh_from_db()


def test_worker_relies_on_the_acceptance_while_its_block_is_the_newest(listed, counted_node, buyer, clean_broker):
    job, _ = services.job_create(account=buyer, model_id=listed.model_id, inputs="the house")
    accepted = (job.checked_block_number, job.checked_block_hash)
    with clean_broker.client() as client:
        client.flushall()
    counted_node.refuse("eth_call", "upstream timed out")
    time.sleep(AGE_S)
    worker_step(job)
    assert job.error["code"] == JobPayloadDeletedError.code
    assert (job.checked_block_number, job.checked_block_hash) == accepted


def test_worker_asks_again_from_the_next_block_on(listed, counted_node, buyer):
    job, _ = services.job_create(account=buyer, model_id=listed.model_id, inputs="the house")
    listed.market.mine()
    counted_node.forget()
    time.sleep(AGE_S)
    worker_step(job)
    assert (job.error["code"], counted_node.counts["eth_call"]) == (JobPayloadDeletedError.code, 1)


@pytest.mark.parametrize("how", ["transferred", "cancelled", "re-orged"])
def test_worker_refuses_what_ended_after_the_acceptance(listed, buyer, how):
    job, _ = services.job_create(account=buyer, model_id=listed.model_id, inputs="the house")
    if how == "transferred":
        transfer(listed.market, listed.licence_id)
    elif how == "cancelled":
        listed.market.cancel(listed.licence_id)
    else:
        listed.market.anvil.rpc("anvil_reorg", 1, [])
    time.sleep(AGE_S)
    worker_step(job)
    expected = "licence.foreign" if how == "transferred" else "licence.none"
    assert (job.state, job.error["code"]) == ("failed", expected)
    assert LicenceUse.objects.get().reserved == 0


@pytest.mark.parametrize("indexed", [False, True])
def test_worker_refuses_a_licence_whose_id_a_reorg_gave_to_another_purchase_of_its_holder(listed, buyer, indexed):
    job, _ = services.job_create(account=buyer, model_id=listed.model_id, inputs="the house")
    listed.market.anvil.rpc("anvil_rollback", 1)
    # Somebody else pays, so that it is another transaction.
    assert listed.market.buy(listed.plan_id, by=OUTSIDER, recipient=BUYER) == listed.licence_id
    if indexed:
        listed.market.index()
    time.sleep(AGE_S)
    worker_step(job)
    assert (job.state, job.error["code"]) == ("failed", "licence.reorged")
    assert LicenceUse.objects.get().reserved == 0


def test_worker_serves_a_licence_whose_purchase_a_reorg_put_into_another_block(listed, buyer):
    job, _ = services.job_create(account=buyer, model_id=listed.model_id, inputs="the house")
    sent = listed.market.gateway.request("eth_getTransactionByHash", [CallEntry.objects.get().purchase])
    listed.market.anvil.rpc("anvil_rollback", 1)
    listed.market.mine()
    wanted = {name: sent[name] for name in ("from", "to", "input", "value", "nonce", "gas")}
    fees = {name: sent[name] for name in ("maxFeePerGas", "maxPriorityFeePerGas")}
    again = listed.market.gateway.request("eth_sendTransaction", [wanted | fees])
    assert again == sent["hash"]
    time.sleep(AGE_S)
    worker_step(job)
    assert job.error["code"] == JobPayloadDeletedError.code


def test_worker_with_a_dead_node_puts_the_job_back(listed, buyer, settings):
    job, _ = services.job_create(account=buyer, model_id=listed.model_id, inputs="the house")
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    time.sleep(AGE_S)
    worker_step(job)
    assert (job.state, job.error["code"], job.attempts) == ("queued", "chain.node_unavailable", 0)
