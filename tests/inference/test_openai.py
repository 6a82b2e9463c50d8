"""The unmodified `openai` client against a real web process, a real worker, a real chain and real tiny models."""

import base64
import contextlib
import html
import io
import re
import shutil
import struct

import openai
import pytest
import requests
from django.test import Client
from transformers import AutoTokenizer

from marketplace.accounts.services import api_key_create
from marketplace.inference import selectors
from marketplace.inference.models import CallEntry, Job, JobPayload
from marketplace.licences.selectors import licence_list_for_holder
from tests.fixtures.people import OUTSIDER
from tests.fixtures.weights import readable

pytestmark = pytest.mark.django_db(transaction=True)
TEMPLATE = "{% for message in messages %}{{ message.role }}, {{ message.content }}. {% endfor %}"
PROMPT, TEXTS = "a weigh house, once", ["the weigh house", "goods before trade"]
CHAT = [{"role": "system", "content": "be exact"}, {"role": "user", "content": "once upon a time"}]


@pytest.fixture
def licensed(market, list_model, clean_broker, buyer):
    """`licensed(directory, task, **terms)`: the name of a model of which the buyer holds a licence."""

    def make(directory, task: str, **terms: int) -> str:
        model_id, _ = list_model(directory, task)
        market.buy(market.add_plan(model_id, **terms))
        market.index()
        return f"wh-{model_id}"

    return make


@pytest.fixture
def writer(licensed, tiny_generator) -> str:
    return licensed(tiny_generator, "text-generation", calls=20)


@pytest.fixture
def embedder(licensed, tiny_embedder) -> str:
    return licensed(tiny_embedder, "feature-extraction", calls=20)


@pytest.fixture
def chatter(licensed, tiny_generator, tmp_path) -> str:
    """The writer with a chat template."""
    directory = tmp_path / "chatter"
    shutil.copytree(tiny_generator, directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(directory)
    return licensed(readable(directory), "text-generation", calls=20)


@pytest.fixture
def client_for(start_web):
    """`client_for(account, retries=0)`: a client with a key of the account, against one web process."""
    made: list[openai.OpenAI] = []
    web = start_web()

    def make(account, *, scope: str = "run") -> openai.OpenAI:
        _, key = api_key_create(account=account, name="a program", scopes=[scope])
        made.append(openai.OpenAI(base_url=f"{web.url}/v1", api_key=key, max_retries=0, timeout=120))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(client_for, buyer, celery_worker) -> openai.OpenAI:
    celery_worker(queues="inference")
    return client_for(buyer)


def test_client_embeds_as_floats_and_as_bytes(client, embedder, buyer):
    floats = client.embeddings.create(model=embedder, input=TEXTS, encoding_format="float")
    assert [len(entry.embedding) for entry in floats.data] == [32, 32]
    assert [entry.index for entry in floats.data] == [0, 1]
    assert floats.model == embedder and floats.usage.prompt_tokens == floats.usage.total_tokens > 0
    # The client asks for base64 by itself and unpacks it.
    packed = client.embeddings.create(model=embedder, input=TEXTS)
    assert [entry.embedding for entry in packed.data] == [entry.embedding for entry in floats.data]
    raw = client.embeddings.with_raw_response.create(
        model=embedder.removeprefix("wh-"), input=TEXTS[0], encoding_format="base64"
    )
    text = raw.http_response.json()["data"][0]["embedding"]
    assert list(struct.unpack("<32f", base64.b64decode(text))) == floats.data[0].embedding
    # A job like any other: its call is counted, and the native API knows it by the request's id.
    job = selectors.job_get(account=buyer, job_id=raw.request_id)
    assert (job.state, job.call.state) == ("succeeded", "settled")
    assert CallEntry.objects.filter(state="settled").count() == Job.objects.count() == 3


def test_client_completes_whole_and_streamed_to_the_same_text(client, writer):
    asked = {"model": writer, "prompt": [PROMPT, "goods"], "max_tokens": 12, "temperature": 0, "seed": 3}
    whole = client.completions.create(**asked)
    assert [choice.index for choice in whole.choices] == [0, 1]
    assert all(choice.text and choice.finish_reason in ("stop", "length") for choice in whole.choices)
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    texts = ["", ""]
    reasons = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    assert texts == [choice.text for choice in whole.choices]
    assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1
    stopped = client.completions.create(**asked | {"prompt": PROMPT, "stop": texts[0][3]})
    assert stopped.choices[0].finish_reason == "stop"
    assert stopped.choices[0].text == texts[0][: texts[0].index(texts[0][3])]
    with pytest.raises(openai.BadRequestError, match="The prompt and max_tokens are together more than") as refused:
        client.completions.create(**asked | {"max_tokens": 1024})
    assert (refused.value.param, refused.value.code) == ("max_tokens", "input.invalid")


def test_client_chats_whole_and_streamed_to_the_same_text(client, chatter, writer):
    asked = {"model": chatter, "messages": CHAT, "max_completion_tokens": 12, "temperature": 0.8, "top_p": 0.9}
    whole = client.chat.completions.create(**asked, seed=5)
    (choice,) = whole.choices
    assert choice.message.role == "assistant" and choice.message.content
    # The template was used: the same words as a plain prompt are continued otherwise counted.
    plain = "system, be exact. user, once upon a time. "
    same = client.completions.create(model=chatter, prompt=plain, max_tokens=12, temperature=0.8, top_p=0.9, seed=5)
    assert (same.choices[0].text, same.usage.prompt_tokens) == (choice.message.content, whole.usage.prompt_tokens)
    chunks = list(client.chat.completions.create(**asked, seed=5, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == choice.message.content
    assert chunks[-1].choices[0].finish_reason == choice.finish_reason
    assert all(chunk.usage is None for chunk in chunks)
    parts = [{"role": "user", "content": [{"type": "text", "text": "once"}, {"type": "text", "text": " upon"}]}]
    assert client.chat.completions.create(model=chatter, messages=parts, max_tokens=2).usage.completion_tokens <= 2
    # A model without a template does not chat, streamed or not.
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="no chat template") as refused:
            client.chat.completions.create(model=writer, messages=CHAT, stream=stream)
        assert refused.value.code == "input.invalid"
    assert CallEntry.objects.filter(state="released").count() == 2


def test_client_that_sends_the_same_idempotency_key_gets_the_same_answer_once_counted(client, writer):
    headers = {"Idempotency-Key": "one"}
    asked = {"model": writer, "prompt": PROMPT, "max_tokens": 8, "extra_headers": headers}
    first, again = client.completions.create(**asked), client.completions.create(**asked)
    assert first == again
    streamed = client.completions.create(**asked, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == first.choices[0].text
    with pytest.raises(openai.BadRequestError) as conflict:
        client.completions.create(**asked | {"prompt": "another"})
    assert conflict.value.code == "job.idempotency_conflict"
    assert Job.objects.count() == 1
    # Without a key each call is a new sample.
    texts = {client.completions.create(model=writer, prompt=PROMPT, temperature=2).choices[0].text for _ in range(3)}
    assert len(texts) > 1


def test_client_that_wants_nothing_stored_gets_the_only_answer(client, chatter, embedder, buyer, clean_broker):
    asked = {"model": chatter, "messages": CHAT, "max_tokens": 8, "temperature": 0, "store": False}
    once = {"Idempotency-Key": "one"}
    whole = client.chat.completions.create(**asked, extra_headers=once)
    streamed = list(client.chat.completions.create(**asked, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
    assert text == whole.choices[0].message.content != ""
    vectors = client.embeddings.create(model=embedder, input=TEXTS, extra_body={"store": False})
    assert len(vectors.data) == 2
    assert set(Job.objects.values_list("state", "store")) == {("succeeded", False)}
    assert (Job.objects.count(), JobPayload.objects.count()) == (3, 0)
    with clean_broker.client() as broker:
        assert broker.keys("*job-events*") == []
    with pytest.raises(openai.BadRequestError) as gone:
        client.chat.completions.create(**asked, extra_headers=once)
    assert gone.value.code == "job.payload_deleted"


def test_example_on_a_models_page_runs_as_it_stands(client, writer, embedder, buyer):
    site = f"http://{client.base_url.netloc.decode()}"
    for name in (embedder, writer):
        page = Client().get(f"/models/{name.removeprefix('wh-')}/").content.decode()
        (snippet,) = re.findall(r'<code id="snippet">(.*?)</code>', page, re.DOTALL)
        text = html.unescape(snippet)
        assert "http://testserver/v1" in text and '"wh_..."' in text
        program = text.replace("http://testserver", site).replace("wh_...", client.api_key)
        said, scope = io.StringIO(), {}
        with contextlib.redirect_stdout(said):
            exec(compile(program, "the page", "exec"), scope)
        scope["client"].close()
        assert said.getvalue().strip()
    assert Job.objects.filter(account=buyer, state="succeeded").count() == 2


def test_client_lists_the_models_that_its_account_may_run(client_for, buyer, outsider, writer, embedder, market):
    mine = client_for(buyer)
    assert [model.id for model in mine.models.list()] == sorted([writer, embedder])
    found = mine.models.retrieve(writer)
    assert (found.object, found.task) == ("model", "text-generation") and found.created > 0
    theirs = client_for(outsider)
    assert list(theirs.models.list()) == []
    with pytest.raises(openai.NotFoundError):
        theirs.models.retrieve(writer)
    market.buy(market.add_plan(int(writer.removeprefix("wh-")), period=3600), by=OUTSIDER)
    market.index()
    assert [model.id for model in theirs.models.list()] == [writer]
    market.warp(3600)
    market.index()
    assert list(theirs.models.list()) == []


def test_client_is_told_what_is_wrong_in_its_own_errors(client_for, buyer, outsider, writer, embedder):
    client = client_for(buyer)
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="wh_0_0").models.list()
    assert (refused.value.code, refused.value.type) == ("key.invalid", "authentication_error")
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client_for(buyer, scope="publish").models.list()
    assert refused.value.code == "key.scope_missing"
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client_for(outsider).embeddings.create(model=embedder, input="the house")
    assert (refused.value.code, refused.value.type) == ("licence.none", "permission_error")
    with pytest.raises(openai.NotFoundError) as refused:
        client.completions.create(model="gpt-4", prompt="x")
    assert (refused.value.code, refused.value.param) == ("model.not_found", "model")
    with pytest.raises(openai.BadRequestError, match="which this call does not serve"):
        client.completions.create(model=embedder, prompt="x")
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=embedder, input=[[1, 2, 3]])
    assert refused.value.param == "input" and "token numbers" in refused.value.message
    with pytest.raises(openai.NotFoundError):
        client.images.generate(prompt="a house", model=writer)
    assert Job.objects.count() == 0


def test_client_beyond_the_rate_of_its_licence_is_told_what_is_left_and_when_to_come_back(
    start_web, celery_worker, buyer, embedder
):
    web = start_web(env={"WEIGHHOUSE_LICENCE_RATE_CALLS": "3", "WEIGHHOUSE_LICENCE_RATE_WINDOW_S": "3600"})
    celery_worker(queues="inference")
    _, key = api_key_create(account=buyer, name="a program", scopes=["run"])
    with openai.OpenAI(base_url=f"{web.url}/v1", api_key=key, max_retries=0) as client:
        served = client.embeddings.with_raw_response.create(model=embedder, input=TEXTS)
        assert served.parse().usage.calls == 2, "one for each input"
        assert served.headers["x-ratelimit-limit-requests"] == "3"
        assert served.headers["x-ratelimit-remaining-requests"] == "1"
        with pytest.raises(openai.RateLimitError) as refused:
            client.embeddings.create(model=embedder, input=TEXTS)
    assert (refused.value.code, refused.value.type) == ("licence.rate_exceeded", "rate_limit_error")
    headers = refused.value.response.headers
    assert 0 < int(headers["Retry-After"]) <= 1200
    assert headers["RateLimit-Policy"] == '"licence";q=3;w=3600'
    assert (headers["x-ratelimit-remaining-requests"], Job.objects.count()) == ("1", 1)


def test_client_with_a_key_of_one_licence_lists_and_runs_its_model_alone(
    start_web, buyer, outsider, writer, embedder, market
):
    web = start_web(env={"WEIGHHOUSE_TRIAL_CALLS_PER_MODEL_PER_DAY": "20"})
    held = licence_list_for_holder(buyer.address, model_id=int(embedder.removeprefix("wh-")))[0].licence.licence_id
    _, key = api_key_create(account=buyer, name="a program", scopes=["run"], licence_id=held)
    with openai.OpenAI(base_url=f"{web.url}/v1", api_key=key, max_retries=0) as client:
        assert [model.id for model in client.models.list()] == [embedder]
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(writer)
        with pytest.raises(openai.PermissionDeniedError) as refused:
            client.completions.create(model=writer, prompt=PROMPT)
        assert refused.value.code == "licence.wrong_model"
        _, key = api_key_create(account=outsider, name="a stranger", scopes=["run"])
        with pytest.raises(openai.PermissionDeniedError) as refused:
            client.with_options(api_key=key).completions.create(model=writer, prompt=PROMPT)
        assert refused.value.code == "licence.none", "trials are not offered here"
    assert Job.objects.count() == 0


def test_client_beyond_the_places_of_its_account_is_told_when_to_come_back(start_web, buyer, embedder):
    web = start_web(env={"WEIGHHOUSE_JOB_STREAMS_PER_ACCOUNT": "0"})
    _, key = api_key_create(account=buyer, name="a program", scopes=["run"])
    with (
        openai.OpenAI(base_url=f"{web.url}/v1", api_key=key, max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as refused,
    ):
        client.embeddings.create(model=embedder, input="the house")
    assert (refused.value.code, refused.value.type) == ("job.too_many_streams", "rate_limit_error")
    assert int(refused.value.response.headers["Retry-After"]) > 0
    # Nothing was accepted that nobody would wait for.
    assert Job.objects.count() == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [("embeddings", {"input": "the house"}), ("completions", {"prompt": "the house", "stream": True})],
    ids=["embedding", "stream"],
)
def test_client_that_leaves_before_the_answer_has_its_job_cancelled_and_its_place_given_back(
    start_web, buyer, request, path, body
):
    model = request.getfixturevalue("embedder" if path == "embeddings" else "writer")
    web = start_web(env={"WEIGHHOUSE_JOB_STREAMS_PER_ACCOUNT": "1"})
    _, key = api_key_create(account=buyer, name="a program", scopes=["run"])
    send = {"json": {"model": model, **body}, "headers": {"Authorization": f"Bearer {key}"}}
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(f"{web.url}/v1/{path}", **send, timeout=1)
    web.spawned.wait_until(
        lambda: Job.objects.filter(state="cancelled").count() == 1, what="done with the job", timeout_s=60
    )
    assert CallEntry.objects.get().state == "released"
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(f"{web.url}/v1/{path}", **send, timeout=1)
    assert Job.objects.count() == 2
