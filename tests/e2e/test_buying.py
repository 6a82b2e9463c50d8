"""A newcomer with a plain browser: signs in, buys, runs, sees the result. Others are refused."""

import json
import os

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import BUYER, SECOND_BUYER, model_path

pytestmark = pytest.mark.e2e

MINILM = "MiniLM sentence embeddings"
SENTENCE = "The clerk weighed the cheese twice, for the scales were new."
# A job that no form and no API would accept, put where the worker finds it.
FORGED_JOB = """
import uuid
from django.utils import timezone
from marketplace.accounts.models import Account
from marketplace.inference import ledger, services
from marketplace.inference.models import Job, JobPayload
from marketplace.inference.payloads import payload_encrypt
forged = Job.objects.filter(model_id={model}, account__address="{buyer}").latest("created_at")
later = forged.start_before + timezone.timedelta(hours=1)
forged.pk, forged.account, forged.state = uuid.uuid4(), Account.objects.get(address="{outsider}"), "queued"
forged.idempotency_key, forged.attempts, forged.start_before = None, 0, later
forged.finished_at = forged.fingerprint = None
# No block may have come since the real one was checked; a worker believes a check that is still of the newest block.
forged.checked_block_hash = "0x" + "00" * 32
forged.save(force_insert=True)
ledger.call_room(licence_id=forged.licence_id, purchase="", calls=ledger.Calls(bought=0, used=0))
ledger.call_enter(job=forged, purchase="", limit=0)
request = {{"inputs": ["let me in"], "parameters": {{}}}}
JobPayload.objects.create(job=forged, request=payload_encrypt(forged.pk, request), delete_at=later)
services.job_enqueue(job_id=forged.pk)
print(forged.pk)
"""


def embedded_in_process(directory, text: str) -> list[float]:
    """The same weights through transformers alone: mean over the tokens, scaled to length 1."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch  # noqa: PLC0415 - takes seconds
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    network = AutoModel.from_pretrained(directory, local_files_only=True, use_safetensors=True).eval()
    encoded = tokenizer([text], return_tensors="pt")
    with torch.no_grad():
        states = network(**encoded).last_hidden_state
    mask = encoded["attention_mask"].unsqueeze(-1)
    mean = (states * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(mean, dim=1)[0].tolist()


def test_newcomer_buys_embeds_and_sees_the_vector_while_another_account_is_refused(visit, stack, node, minilm_path):
    newcomer = visit()
    path = model_path(newcomer, MINILM)
    newcomer.page.get_by_role("link", name="Sign in to buy").first.click()
    newcomer.page.locator("[data-wallet]").click()
    newcomer.choose_account(BUYER)
    newcomer.approve("Sign this message?")
    newcomer.page.wait_for_url(f"{stack.site_url}{path}#plans")
    expect(newcomer.page.locator("[data-no-licence]")).to_be_visible()

    newcomer.buy(1, approvals=("take 5 TestUSD", "Buy a licence under plan"))
    newcomer.page.get_by_role("link", name="Run the model").click()
    newcomer.run(SENTENCE)
    newcomer.job("succeeded")
    expect(newcomer.page.locator("[data-result=vector]")).to_contain_text("A vector of 384 numbers, length 1.0000")
    newcomer.page.locator("[data-result=vector] summary").click()
    shown = json.loads(newcomer.page.locator("[data-result=vector] pre").inner_text())
    expected = embedded_in_process(minilm_path, SENTENCE)
    assert max(abs(left - right) for left, right in zip(shown, expected, strict=True)) <= 1e-5

    newcomer.open("/licences/")
    row = newcomer.page.get_by_role("row").filter(has_text=MINILM)
    expect(row).to_contain_text("valid")
    licence = row.locator("td").nth(5).inner_text()
    _refuse_the_second_account(visit, stack, node, path=path, licence=licence)


def _refuse_the_second_account(visit, stack, node, *, path: str, licence: str) -> None:
    """By the page, by the API with and without the first account's licence, and by the worker."""
    second = visit()
    second.sign_in(SECOND_BUYER, following=path)
    expect(second.page.locator("[data-trial]")).to_contain_text("trial calls of this model today, without a licence")
    expect(second.page.get_by_role("button", name="Run", exact=True)).to_have_count(0)
    token = second.page.locator('meta[name="csrf-token"]').get_attribute("content")
    form = {"csrfmiddlewaretoken": token, "inputs": "let me in", "truncate": "on", "pooling": "mean"}
    url = f"{stack.site_url}{path}run/"
    answer = second.page.request.post(url, form=form, headers={"Referer": stack.site_url + path})
    assert answer.status == 403
    assert "licence.none" in answer.text()

    model = path.split("/")[2]
    job = {"model": model, "inputs": "let me in", "trial": False}
    status, problem = second.api("POST", "/api/v1/jobs", job)
    assert (status, problem["code"]) == (403, "licence.none")
    status, problem = second.api("POST", "/api/v1/jobs", {**job, "licence": licence})
    assert (status, problem["code"]) == (403, "licence.foreign")

    people = {"buyer": node.accounts[BUYER], "outsider": node.accounts[SECOND_BUYER]}
    checksummed = {name: _checksummed(second, address) for name, address in people.items()}
    forged = stack.manage("shell", "--no-imports", "-c", FORGED_JOB.format(model=model, **checksummed)).split()[-1]
    second.open(f"/jobs/{forged}/")
    expect(second.job("failed")).to_contain_text("belongs to another address")
    expect(second.page.locator("[data-result]")).to_have_count(0)


def _checksummed(visitor, address: str) -> str:
    """As the site writes addresses: the demo wallet's list has that form."""
    return next(known for known in _wallet_accounts(visitor) if known.lower() == address.lower())


def _wallet_accounts(visitor) -> list[str]:
    _, answer = visitor.api("POST", "/demo/wallet", {"method": "eth_accounts", "params": []})
    return answer["result"]


def test_native_coin_buys_and_the_generator_writes(visit):
    buyer = visit()
    path = model_path(buyer, "Market days")
    buyer.sign_in(BUYER, following=path)
    buyer.buy(1, approvals=("Pays 0.001 ETH.",))
    buyer.page.get_by_role("link", name="Run the model").click()
    buyer.run("In the morning Anna")
    buyer.job("succeeded")
    generated = buyer.page.locator("[data-result=text] .generated").inner_text()
    assert generated.startswith("In the morning Anna")
    assert len(generated) > len("In the morning Anna")


def test_metered_licence_counts_each_call_once(visit):
    buyer = visit()
    path = model_path(buyer, "Market days")
    buyer.sign_in(SECOND_BUYER, following=path)
    buyer.buy(2, approvals=("take 1 TestUSD", "Buy a licence under plan"))
    buyer.page.get_by_role("link", name="Run the model").click()
    for _ in range(2):
        buyer.run("In the evening")
        expect(buyer.job("succeeded")).to_contain_text("One call was counted.")
        # The next run must begin from an empty box to be told from this one.
        buyer.page.reload()
    buyer.open("/licences/")
    expect(buyer.page.get_by_role("row").filter(has_text="Market days")).to_contain_text("48 of 50")


def test_classifier_shows_every_label_with_its_score(visit):
    buyer = visit()
    path = model_path(buyer, "Review sentiment")
    buyer.sign_in(BUYER, following=path)
    buyer.buy(2, approvals=("Pays 0.003 ETH.",))
    buyer.page.get_by_role("link", name="Run the model").click()
    buyer.run("The soup was cold and the waiter was rude.")
    buyer.job("succeeded")
    expect(buyer.page.locator("[data-result=scores] meter")).to_have_count(3)
    expect(buyer.page.locator("[data-result=scores] dt").first).to_have_text("negative", ignore_case=True)


def test_rejected_sign_in_leaves_everything_as_it_was(visit):
    shy = visit()
    shy.open("/sign-in/")
    shy.page.locator("[data-wallet]").click()
    shy.choose_account(BUYER)
    shy.reject("Sign this message?")
    expect(shy.status("rejected")).to_contain_text("You are not signed in")
    shy.open("/licences/")
    assert "/sign-in/" in shy.page.url


def test_rejected_transaction_says_that_nothing_was_paid(visit):
    shy = visit()
    path = model_path(shy, MINILM)
    shy.sign_in(SECOND_BUYER, following=path)
    shy.page.locator("#plan-2 [data-buy] button").click()
    shy.reject("Pays 0.01 ETH.")
    expect(shy.status("rejected")).to_contain_text("Nothing was sent and nothing was paid.")
    shy.page.locator("#plan-2 [data-buy] button").click()
    shy.reject("Pays 0.01 ETH.")
    shy.open("/licences/")
    expect(shy.page.get_by_role("row").filter(has_text=MINILM)).to_have_count(0)


def test_wallet_of_another_account_is_told_which_one_is_signed_in(visit):
    buyer = visit()
    path = model_path(buyer, MINILM)
    buyer.sign_in(BUYER, following=path)
    buyer.page.evaluate("localStorage.removeItem('weighhouse.demo-wallet.account')")
    buyer.page.locator("#plan-2 [data-buy] button").click()
    buyer.choose_account(SECOND_BUYER)
    expect(buyer.status("wrong-account")).to_contain_text("but your wallet offers")


def test_changed_terms_are_refused_before_anything_is_sent(visit):
    buyer = visit()
    path = model_path(buyer, MINILM)
    buyer.sign_in(BUYER, following=path)
    # What a page of another fork, or of a lying site, would say.
    box = buyer.page.locator("#plan-2 [data-buy]")
    box.evaluate("box => { box.dataset.planHash = '0x' + '00'.repeat(32); }")
    box.locator("button").click()
    expect(buyer.status("reverted")).to_contain_text("PlanHashDiffers")


def test_job_runs_without_scripts(visit):
    buyer = visit()
    path = model_path(buyer, "Market days")
    buyer.sign_in(BUYER, following=path)
    buyer.buy(1, approvals=("Pays 0.001 ETH.",))
    plain = visit(java_script_enabled=False, storage_state=buyer.context.storage_state())
    plain.open(path)
    plain.page.get_by_label("Text", exact=True).fill("In the morning Anna")
    plain.page.get_by_role("button", name="Run", exact=True).click()
    plain.page.wait_for_url("**/jobs/*/")
    # The page refreshes itself while the job is open.
    expect(plain.page.locator("[data-result=text]")).to_contain_text("In the morning Anna")
