"""A developer with a key from the page: the unmodified openai client, and receipts checked without the site."""

import json
import subprocess
import sys
from pathlib import Path

import openai
import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import HOLDER, PUBLISHER, model_path

# Each buys first, which waits for blocks, and some load a model that nobody has run.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NATIVE = "0x" + "00" * 20


@pytest.fixture
def licensed(visit, chain_side):
    """`licensed(name)`: the holder in front of the page of a model that the account has just bought. With its id."""
    holder = visit()
    holder.sign_in(HOLDER)

    def buy(name: str):
        path = model_path(holder, name)
        model_id = int(path.split("/")[2])
        number = chain_side.add_plan(model_id, by=PUBLISHER, token=NATIVE, price=10**15) & 0xFFFFFFFF
        for _ in range(60):
            holder.open(path)
            if holder.page.locator(f"#plan-{number} [data-buy] button").count():
                break
            holder.page.wait_for_timeout(500)
        holder.buy(number, approvals=("Pays 0.001 ETH.",))
        return holder, model_id

    return buy


def key_of(person) -> str:
    person.open("/keys/")
    person.page.get_by_label("Name").fill("openai client")
    person.page.get_by_label("Run models under the account's licences").check()
    person.page.get_by_role("button", name="Create the key").click()
    return str(person.page.locator("#created-key").inner_text())


def verify(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`weighhouse verify` with the files of `directory`, in a process that knows nothing of the site."""
    argv = [sys.executable, "-m", "weighhouse", "verify", str(directory / "receipt.json")]
    argv += ["--opening", str(directory / "opening.json"), "--keys", str(directory / "keys.json"), *arguments]
    return subprocess.run(argv, cwd=directory, capture_output=True, text=True, timeout=120, check=False)


def openai_client(person) -> openai.OpenAI:
    """The unmodified client, with a key that the person made on the page."""
    url = f"{person.stack.site_url}/v1"
    return openai.OpenAI(base_url=url, api_key=key_of(person), max_retries=0, timeout=120)


def test_openai_client_with_a_key_from_the_page_embeds(licensed):
    person, model_id = licensed("MiniLM")
    with openai_client(person) as client:
        assert f"wh-{model_id}" in {model.id for model in client.models.list()}
        vectors = client.embeddings.create(model=f"wh-{model_id}", input=["a weigh house", "an exact scale"])
    assert [len(entry.embedding) for entry in vectors.data] == [384, 384]


def test_openai_client_with_a_key_from_the_page_chats_at_once_and_streamed(licensed):
    person, model_id = licensed("Market days")
    asked = [{"role": "user", "content": "In the morning Anna"}]
    chat = {"model": f"wh-{model_id}", "messages": asked, "max_tokens": 40, "temperature": 0}
    with openai_client(person) as client:
        answer = client.chat.completions.create(**chat)
        streamed = client.chat.completions.create(**chat, stream=True)
        choices = [chunk.choices[0] for chunk in streamed if chunk.choices]
    assert len(answer.choices[0].message.content.split()) > 5
    # How many pieces there are is the machine's affair: what has come meanwhile is told together.
    assert "".join(choice.delta.content or "" for choice in choices) == answer.choices[0].message.content
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == [answer.choices[0].finish_reason]


def test_receipt_from_the_page_verifies_offline_and_on_chain_and_with_a_changed_byte_not(
    licensed, stack, chain_side, tmp_path
):
    person, model_id = licensed("Review sentiment")
    person.page.get_by_role("link", name="Run the model").click()
    person.run("The soup was hot and the waiter was kind.")
    person.job("succeeded")
    person.page.get_by_role("link", name="This job's own page").click()
    for link, name in (("Receipt", "receipt.json"), ("Salts and values", "opening.json")):
        with person.page.expect_download() as download:
            person.page.get_by_role("link", name=link, exact=True).click()
        download.value.save_as(tmp_path / name)
    keys = person.page.request.get(f"{stack.site_url}/api/v1/worker-keys")
    (tmp_path / "keys.json").write_bytes(keys.body())

    offline = verify(tmp_path, "--model", str(model_id))
    assert offline.returncode == 0, offline.stdout + offline.stderr
    addresses = ["--market", chain_side.book["LicenceMarket"], "--anchor", chain_side.book["ReceiptAnchor"]]
    on_chain = verify(tmp_path, "--rpc", stack.rpc_url, *addresses)
    assert on_chain.returncode == 0, on_chain.stdout + on_chain.stderr

    receipt = (tmp_path / "receipt.json").read_bytes()
    place = receipt.index(b'"inputHash":"0x') + len(b'"inputHash":"0x')
    other = b"1" if receipt[place : place + 1] == b"0" else b"0"
    changed = receipt[:place] + other + receipt[place + 1 :]
    (tmp_path / "receipt.json").write_bytes(changed)
    refused = verify(tmp_path)
    assert refused.returncode == 1 and "signature" in refused.stdout

    opening = json.loads((tmp_path / "opening.json").read_bytes())
    (tmp_path / "receipt.json").write_bytes(receipt)
    text = json.dumps(opening).replace("kind", "sour")
    (tmp_path / "opening.json").write_text(text)
    assert verify(tmp_path).returncode == 1


def test_explained_run_shows_the_words_that_the_label_is_due_to(licensed):
    person, _ = licensed("Review sentiment")
    person.page.get_by_role("link", name="Run the model").click()
    person.page.get_by_text("Parameters", exact=True).click()
    person.page.get_by_label("Explain", exact=False).first.check()
    person.run("The film was dull.")
    person.job("succeeded")
    result = person.page.locator("[data-result=explained]")
    expect(result).to_contain_text("Why negative?")
    strongest = result.locator("mark[data-strength='5']")
    expect(strongest.first).to_be_visible()
    assert strongest.all_inner_texts() == ["dull"]
    result.get_by_text("The scores, and how far to trust them").click()
    expect(result).to_contain_text("Without the")
