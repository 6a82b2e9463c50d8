"""publish_samples on a real chain, with a real worker and a real indexer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chain.development import DEVELOPMENT_ACCOUNTS
from chain.gateway import get_gateway
from marketplace.licences.selectors import plan_list_for_model
from models_registry import selectors
from models_registry.models import Release, Upload
from samples import catalogue
from samples.catalogue import Sample
from samples.publishing import PublishingError, SamplePublisher, chain_models, expected_release
from tests.fixtures.contracts import Market
from tests.fixtures.processes import Spawned

KEY, ADDRESS = DEVELOPMENT_ACCOUNTS[1].key, DEVELOPMENT_ACCOUNTS[1].address


@dataclass(frozen=True, slots=True)
class ChangedSample(Sample):
    """A sample with other files than the repository's, `replaced` by their path in the release."""

    replaced: Mapping[str, Path] = field(default_factory=dict)

    def file_paths(self) -> dict[str, Path]:
        return {**Sample.file_paths(self), **self.replaced}


def changed_sample(directory: str, **changes: Any) -> ChangedSample:
    return ChangedSample(
        **({f.name: getattr(catalogue.sample_get(directory), f.name) for f in fields(Sample)} | changes)
    )


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running_site(market: Market, celery_worker: Callable[..., Spawned], manage: Callable[..., Spawned]) -> Market:
    """A worker that checks releases, and an indexer."""
    celery_worker(queues="default,intake")
    manage("index_chain")
    return market


def publish(*names: str) -> list[str]:
    out = StringIO()
    call_command("publish_samples", *names, timeout=180, stdout=out)
    return out.getvalue().splitlines()


def nonce() -> str:
    return get_gateway().request("eth_getTransactionCount", [ADDRESS, "latest"])


def test_publish_samples_fresh_site_lists_every_sample_with_its_plans_once(running_site: Market):
    publish()
    listed = selectors.model_list().models
    assert {model.name for model in listed} == {sample.name for sample in catalogue.CATALOGUE}
    for sample in catalogue.CATALOGUE:
        (model,) = [model for model in listed if model.name == sample.name]
        assert model.digest == expected_release(sample, ADDRESS).digest
        assert model.owner == model.publisher == ADDRESS
        views = plan_list_for_model(model.model_id)
        assert [(v.plan.price, v.plan.period, v.plan.vesting, v.plan.calls) for v in views] == [
            (p.price, p.period_s, p.vesting_s, p.calls) for p in sample.plans
        ]
        operator = running_site.operator_id
        assert [v.plan.operator_id for v in views] == [operator if p.needs_operator else 0 for p in sample.plans]
        assert model.card == (sample.path / "README.md").read_text()
    assert not Upload.objects.exists()

    before = nonce()
    # Plans that differ in the protocol's fee alone are the same plans.
    running_site.send("LicenceMarket", "setFeeBps", [300], by=running_site.admin)
    lines = publish()
    assert nonce() == before
    assert [line.split(": ")[1].split(" as ")[0] for line in lines] == ["listed"] * 3


def test_publish_samples_database_then_chain_was_reset_does_only_what_is_missing(running_site: Market):
    clean = running_site.anvil.rpc("evm_snapshot")
    publish("market-days")
    before = nonce()
    Release.objects.all().delete()
    call_command("reindex", stdout=StringIO())

    publish("market-days")
    assert nonce() == before
    assert [model.name for model in selectors.model_list().models] == ["Market days"]

    checked_at = Release.objects.get().checked_at
    assert running_site.anvil.rpc("evm_revert", clean)
    assert chain_models(ADDRESS) == []
    publish("market-days")
    (model,) = chain_models(ADDRESS)
    assert len(model.plans) == 2
    assert Release.objects.get().checked_at == checked_at


def test_publish_samples_killed_after_sending_publishes_one_model_with_all_plans(
    running_site: Market, manage: Callable[..., Spawned], tmp_path: Path
):
    killed = manage("publish_samples", "market-days")
    killed.wait_for_output("publishing as a new model", timeout_s=180)
    killed.kill()

    publish("market-days")
    (model,) = chain_models(ADDRESS)
    assert len(model.releases) == 1
    assert len(model.plans) == 2

    # A sample that changed since then becomes a release of the same model.
    card = tmp_path / "README.md"
    card.write_text("# Market days\n\nA new card.\n")
    changed = changed_sample("market-days", replaced={"README.md": card})
    SamplePublisher(KEY, say=str, timeout_s=180).publish([changed])
    (model,) = chain_models(ADDRESS)
    assert len(model.releases) == 2
    assert len(model.plans) == 2
    assert selectors.model_get(model.model_id).card == card.read_text()


def test_publish_samples_without_a_worker_says_what_is_missing(market: Market, clean_broker: object):
    with pytest.raises(CommandError, match=r"market-days is not checked yet.* Is a worker running"):
        call_command("publish_samples", "market-days", timeout=1, stdout=StringIO())
    assert chain_models(ADDRESS) == []


def test_publish_samples_sample_that_is_refused_publishes_nothing(running_site: Market):
    changed = changed_sample("market-days", files=("README.md", "model.safetensors", "tokenizer.json"))
    with pytest.raises(PublishingError, match=r"config\.json: no config\.json"):
        SamplePublisher(KEY, say=str, timeout_s=180).publish([changed])
    assert chain_models(ADDRESS) == []


def test_publish_samples_on_another_chain_is_refused(settings: Any):
    settings.CHAIN_ID = 1
    with pytest.raises(CommandError, match="development chains only"):
        call_command("publish_samples", stdout=StringIO())


def test_publish_samples_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(CommandError, match="no sample 'nothing'; there are minilm"):
        call_command("publish_samples", "nothing", stdout=StringIO())
