"""A script with an API key and a wallet key publishes a model, against the real site, worker, indexer and chain."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from marketplace.accounts.services import api_key_create
from models_registry import selectors
from models_registry.models import PublishedRelease, Release
from tests.fixtures.people import PUBLISHER

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "publish_model.py"


@pytest.fixture(autouse=True)
def site_directories():
    """Other processes take part: all use the directories of the test site, not this test's own."""
    return django_settings.UPLOAD_DIR


@pytest.fixture
def run_script(serve, publisher, market):
    _, key = api_key_create(account=publisher, name="a script", scopes=["publish"])

    def run(directory: Path, *options: str, signer: str = PUBLISHER) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, str(SCRIPT), str(directory), "--site", serve.url, "--rpc", market.anvil.url]
        argv += ["--name", "Published by a script", "--task", "feature-extraction", "--licence", "MIT", *options]
        env = {"WEIGHHOUSE_API_KEY": key, "WEIGHHOUSE_PRIVATE_KEY": market.keys[signer], "PATH": ""}
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=200, check=False)

    return run


@pytest.fixture
def site(serve, celery_worker, market, spawn):
    """Everything that a publisher meets."""
    serve()
    celery_worker(queues="default,intake")
    return spawn("indexer", [sys.executable, "manage.py", "index_chain"])


def test_script_publishes_a_directory_adds_a_plan_and_can_be_repeated(site, run_script, market, tiny_embedder):
    plan = ["--market", market.book.contract("LicenceMarket").address, "--price-wei", "77"]
    first = run_script(tiny_embedder, *plan)
    assert first.returncode == 0, first.stderr + site.output()
    (model,) = selectors.model_list().models
    assert (model.name, model.owner, model.number) == ("Published by a script", PUBLISHER, 1)
    terms, _ = market.read("LicenceMarket", "plan", [(model.model_id << 32) + 1])
    assert (terms["price"], terms["flags"]) == (77, 1)

    again = run_script(tiny_embedder)
    assert again.returncode == 0, again.stderr
    assert "Already on chain" in again.stdout
    assert (Release.objects.count(), PublishedRelease.objects.count()) == (1, 1)


def test_script_with_a_refused_directory_says_what_to_mend_and_publishes_nothing(
    site, run_script, tiny_embedder, tmp_path
):
    for path in tiny_embedder.iterdir():
        if path.name != "config.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    failed = run_script(tmp_path)
    assert failed.returncode == 1
    assert "config.json: no config.json [config.missing]" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert PublishedRelease.objects.count() == 0


def test_script_with_a_pickle_in_the_directory_says_which_file(serve, run_script, tiny_embedder, tmp_path):
    serve()
    for path in tiny_embedder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    failed = run_script(tmp_path)
    assert failed.returncode == 1
    assert "pytorch_model.bin" in failed.stderr
    assert "[file.pickle]" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert Release.objects.count() == 0
