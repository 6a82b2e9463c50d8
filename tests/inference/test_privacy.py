"""A prompt is planted, and looked for in everything that is no payload: the broker's dump, logs, every table.

It goes in by each way: the OpenAI-compatible API, a batch, an upload, and inputs that no model can take.
"""

import uuid
from base64 import b64encode
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from django.db import connection

from marketplace.accounts.services import api_key_create
from marketplace.inference import events, selectors
from marketplace.inference.models import Batch, Job, JobState
from marketplace.inference.upload_files import upload_path
from tests.fixtures.web import Web

pytestmark = pytest.mark.django_db(transaction=True)
PLANTED = "Planted7Prompt4Nobody"
# Everything that the processes would ever say.
LOUD = {"WEIGHHOUSE_LOG_LEVEL": "DEBUG"}


def broker_dump(broker) -> bytes:
    """The broker's whole memory as it writes it to disk, uncompressed."""
    with broker.client() as client:
        client.config_set("rdbcompression", "no")
        client.save()
        place = client.config_get("dir")["dir"], client.config_get("dbfilename")["dbfilename"]
    return Path(*place).read_bytes()


def tables_text() -> str:
    with connection.cursor() as cursor:
        found = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            # Some databases give binary columns as views of memory.
            rows = [[bytes(cell) if isinstance(cell, memoryview) else cell for cell in row] for row in cursor]
            found.append(f"{table}: {rows!r}")
    return "\n".join(found)


def files_text() -> str:
    """What was sent ahead, as it lies on the disk."""
    return "".join(path.read_bytes().decode("latin-1") for path in upload_path(uuid.uuid4()).parent.iterdir())


def spellings(text: str) -> list[str]:
    """The text, and what base64 makes of it wherever it begins: bodies of messages are written in that."""
    data = text.encode()
    return [text, *(b64encode(data[skip:][: (len(data) - skip) // 3 * 3]).decode() for skip in range(3))]


class Program:
    """A program of the buyer's that plants the prompt by the site's own API."""

    def __init__(self, web: Web, key: str, model_id: int) -> None:
        self._api, self._model = f"{web.url}/api/v1", str(model_id)
        self._headers = {"Authorization": f"Bearer {key}"}

    def upload(self, data: bytes) -> dict[str, str]:
        """The name of an input that was sent ahead."""
        headers = {**self._headers, "Content-Type": "text/plain"}
        answer = requests.post(f"{self._api}/inputs", data, headers=headers, timeout=30)
        assert answer.status_code == 201, answer.text
        return {"upload": answer.json()["id"]}

    def ask(self, path: str, *inputs: Any) -> str:
        """The id of the job or batch that was accepted."""
        body = {"model": self._model, "inputs": inputs, "parameters": {"max_new_tokens": 40, "temperature": 0}}
        answer = requests.post(f"{self._api}/{path}", json=body, headers=self._headers, timeout=30)
        assert answer.status_code in (200, 202), answer.text
        return str(answer.json().get("id"))

    def outputs(self, batch_id: str) -> list[str]:
        answer = requests.get(f"{self._api}/batches/{batch_id}/results", headers=self._headers, timeout=30)
        return [entry["output"]["text"] for entry in answer.json()["results"]]


def test_planted_prompt_and_its_output_are_in_no_table_no_log_and_not_in_the_broker(
    clean_broker, market, list_model, tiny_generator, buyer, start_web, celery_worker
):
    model_id, _ = list_model(tiny_generator, "text-generation")
    market.buy(market.add_plan(model_id, calls=20))
    market.index()
    web = start_web(env=LOUD)
    _, key = api_key_create(account=buyer, name="a program", scopes=["run"])
    asked = {"model": f"wh-{model_id}", "prompt": f"{PLANTED} once", "max_tokens": 40, "temperature": 0}
    program = Program(web, key, model_id)
    batch_id = program.ask("batches", f"{PLANTED} in a batch", program.upload(f"{PLANTED} sent ahead".encode()))
    failing = program.ask("jobs", program.upload(f"{PLANTED} in no UTF-8 ".encode() + b"\xff"))
    program.ask("batches/quote", f"{PLANTED} in a quote")
    uploaded = files_text()
    with openai.OpenAI(base_url=f"{web.url}/v1", api_key=key, max_retries=0) as client:
        with pytest.raises(openai.APITimeoutError):
            # Nobody works yet: the message of the queue is there to be seen.
            client.completions.create(**asked, extra_headers={"Idempotency-Key": "one"}, timeout=2)
        web.spawned.wait_until(lambda: b"job-events" in broker_dump(clean_broker), what="done with the request")
        queued = broker_dump(clean_broker)
        worker = celery_worker(queues="inference", env=LOUD)
        output = client.completions.create(**asked, extra_headers={"Idempotency-Key": "one"}).choices[0].text
        streamed = list(client.completions.create(**asked, stream=True))
        with pytest.raises(openai.BadRequestError):
            client.completions.create(**asked | {"prompt": PLANTED * 20})
    assert len(output) > 10 and "".join(chunk.choices[0].text for chunk in streamed) == output
    worker.wait_until(lambda: Batch.objects.get().ended_at is not None, what="done with the batch")
    worker.wait_until(lambda: not Job.objects.get(pk=failing).is_open, what="done with what it cannot read")
    failed = Job.objects.filter(state=JobState.FAILED)
    assert {job.error["code"] for job in failed} == {"input.invalid"} and failed.filter(pk=failing).exists()
    planted = [output, *program.outputs(batch_id)]
    assert len(planted) == 3 and all(len(text) > 10 for text in planted)
    job = Job.objects.filter(state="succeeded", batch=None).first()
    # It is there for its owner, and streams were written: the search below would find what it looks for.
    assert selectors.job_request(job)["inputs"] == [asked["prompt"]]
    assert any(event.kind == events.TEXT for event in events.job_events_read(job.pk))
    ended = broker_dump(clean_broker)
    assert b"job-events:" in ended
    assert str(Job.objects.earliest("created_at").pk).encode() in queued
    places = {
        "the broker before": queued.decode("latin-1"),
        "the broker after": ended.decode("latin-1"),
        "the web process's log": web.spawned.output(),
        "the worker's log": worker.output(),
        "the tables": tables_text(),
        "the files": uploaded,
    }
    assert all(len(text) > 100 for text in places.values())
    sought = [spelling for text in (PLANTED, *planted) for spelling in spellings(text)]
    assert [(name, text) for name, place in places.items() for text in sought if text in place] == []
