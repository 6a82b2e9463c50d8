"""Publishing: by the page, by a script with a key made on the page, and what is refused. Then the income."""

import os
import pickle
import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from chain.development import DEVELOPMENT_ACCOUNTS
from tests.e2e.conftest import BUYER, SCRIPTER, UPLOADER, model_path
from tests.fixtures.processes import ROOT

pytestmark = pytest.mark.e2e


def upload(visitor, directory, *, name: str, task: str) -> None:
    """Fill the upload page and send the directory."""
    visitor.page.get_by_label("Name").fill(name)
    visitor.page.get_by_label("Task").select_option(task)
    visitor.page.get_by_label("The model's directory").set_input_files(directory)
    visitor.page.get_by_role("button", name="Upload and check").click()


def test_upload_page_publishes_sells_and_pays_out(visit, node, tiny_classifier, directory_of):
    publisher = visit()
    publisher.sign_in(UPLOADER, following="/publish/")
    upload(publisher, directory_of(tiny_classifier), name="Tiny from the page", task="text-classification")
    publisher.page.wait_for_url(re.compile("/publish/0x[0-9a-f]{64}/"))
    expect(publisher.page.locator("[data-release-state=ready]")).to_be_visible()
    publisher.page.get_by_role("button", name="Sign and publish").click()
    publisher.approve("Publish a new model with the release 0x")
    publisher.order("seen")
    publisher.page.get_by_role("link", name="Go on").click()
    expect(publisher.page.locator("[data-release-state=listed]")).to_be_visible()

    publisher.open("/my/models/")
    box = publisher.page.locator("section.panel").filter(has_text="Tiny from the page")
    box.locator("summary", has_text="Add a plan").click()
    box.get_by_label("Price").first.fill("0.25")
    box.get_by_label("Token").select_option(label="ETH")
    box.get_by_label("The price vests").select_option("at-once")
    box.locator("select[name=operator]").select_option("0")
    box.get_by_role("button", name="Add the plan").click()
    publisher.approve(
        "Add a plan to model", "price 250000000000000000", "The whole price vests at once.", "no operator"
    )
    expect(publisher.order("seen")).to_contain_text("The plan is on sale.")

    buyer = visit()
    path = model_path(buyer, "Tiny from the page")
    buyer.sign_in(BUYER, following=path)
    expect(buyer.page.locator("#plan-1")).to_contain_text("at once: nothing comes back")
    buyer.buy(1, approvals=("Pays 0.25 ETH.",))

    publisher.page.reload()
    box.get_by_role("button", name="Split 0.25 ETH of plan 1").click()
    publisher.approve("Share out the income of plan")
    publisher.order("seen")
    before = int(node.rpc("eth_getBalance", node.accounts[UPLOADER], "latest"), 16)
    publisher.page.reload()
    expect(box.locator("[data-figure=available]").first).to_have_text("0.245 ETH")
    box.get_by_role("button", name="Withdraw").click()
    publisher.approve("Withdraw the income of model")
    expect(publisher.order("seen")).to_contain_text("Withdrawn.")
    gained = int(node.rpc("eth_getBalance", node.accounts[UPLOADER], "latest"), 16) - before
    assert 0.244 * 10**18 < gained < 0.245 * 10**18  # less the fee
    publisher.page.reload()
    expect(box.get_by_role("button", name="Withdraw")).to_have_count(0)

    box.get_by_role("button", name="Retire").click()
    publisher.approve("nobody can buy or renew it any more")
    expect(publisher.order("seen")).to_contain_text("The plan is retired.")
    buyer.page.reload()
    expect(buyer.page.locator("#plans")).to_contain_text("sells no licence")


def test_script_with_a_key_from_the_page_publishes(visit, stack, tiny_generator, directory_of):
    person = visit()
    person.sign_in(SCRIPTER, following="/keys/")
    person.page.get_by_label("Name").fill("publishing script")
    person.page.get_by_label("Upload and publish models").check()
    person.page.get_by_role("button", name="Create the key").click()
    key = person.page.locator("#created-key").inner_text()
    person.page.reload()

    argv = [sys.executable, "examples/publish_model.py", str(directory_of(tiny_generator))]
    argv += ["--site", stack.site_url, "--rpc", stack.rpc_url, "--name", "Tiny from a script"]
    argv += ["--task", "text-generation", "--licence", "MIT", "--price-wei", "1000"]
    argv += ["--market", person.page.locator("html").get_attribute("data-market")]
    secrets = {"WEIGHHOUSE_API_KEY": key, "WEIGHHOUSE_PRIVATE_KEY": DEVELOPMENT_ACCOUNTS[SCRIPTER].key}
    environment = {**os.environ, **secrets}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert key not in done.stdout + done.stderr

    path = model_path(person, "Tiny from a script")
    assert f"{stack.site_url}{path}" in done.stdout
    expect(person.page.locator("#plans")).to_contain_text("0.000000000000001 ETH")


def test_key_revoked_on_the_page_is_refused_at_once(visit, stack):
    person = visit()
    person.sign_in(SCRIPTER, following="/keys/")
    person.page.get_by_label("Name").fill("short-lived")
    person.page.get_by_label("Run models under the account's licences").check()
    person.page.get_by_role("button", name="Create the key").click()
    headers = {"Authorization": f"Bearer {person.page.locator('#created-key').inner_text()}"}
    stranger = visit()
    assert stranger.page.request.get(f"{stack.site_url}/api/v1/jobs", headers=headers).status == 200
    row = person.page.get_by_role("row").filter(has_text="short-lived")
    row.get_by_role("button", name="Revoke").click()
    expect(person.page.get_by_role("row").filter(has_text="short-lived")).to_contain_text("revoked")
    answer = stranger.page.request.get(f"{stack.site_url}/api/v1/jobs", headers=headers)
    assert (answer.status, answer.json()["code"]) == (401, "key.revoked")


def test_directory_with_a_pickle_is_refused_with_its_reason(visit, tiny_embedder, directory_of):
    directory = directory_of(tiny_embedder)
    (directory / "pytorch_model.bin").write_bytes(pickle.dumps({"weights": [0.5]}))
    person = visit()
    person.sign_in(UPLOADER, following="/publish/")
    upload(person, directory, name="With a pickle", task="feature-extraction")
    expect(person.status("failed")).to_contain_text("1 of")
    refused = person.page.locator("[data-files] li[data-state=refused]")
    expect(refused).to_contain_text("pytorch_model.bin")
    expect(refused).to_contain_text("can carry a pickle, which runs code when it is loaded")
    expect(refused).to_contain_text("Convert the weights")
    assert "/publish/0x" not in person.page.url


def test_directory_without_a_config_is_refused_by_the_check(visit, tiny_embedder, directory_of):
    directory = directory_of(tiny_embedder)
    (directory / "config.json").unlink()
    person = visit()
    person.sign_in(UPLOADER, following="/publish/")
    upload(person, directory, name="Without a config", task="feature-extraction")
    person.page.wait_for_url(re.compile("/publish/0x[0-9a-f]{64}/"))
    refused = person.page.locator("[data-release-state=refused]")
    expect(refused).to_contain_text("config.json")
    expect(refused).to_contain_text("What to do:")
    expect(person.page.get_by_role("button", name="Sign and publish")).to_have_count(0)


def test_refused_file_can_be_left_out(visit, tiny_embedder, directory_of):
    directory = directory_of(tiny_embedder)
    (directory / "train.py").write_text("print('hello')\n")
    person = visit()
    person.sign_in(UPLOADER, following="/publish/")
    upload(person, directory, name="With a script", task="feature-extraction")
    person.page.get_by_role("button", name="Go on without the refused files").click()
    person.page.wait_for_url(re.compile("/publish/0x[0-9a-f]{64}/"))
    expect(person.page.locator("[data-release-state=ready]")).to_be_visible()
