"""A prompt is planted, and looked for in everything that is no payload: the broker's dump, logs, every table."""

from pathlib import Path

import openai
import pytest
from django.db import connection

from marketplace.accounts.services import api_key_create
from marketplace.inference import events, selectors
from marketplace.inference.models import Job

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


def test_planted_prompt_and_its_output_are_in_no_table_no_log_and_not_in_the_broker(
    clean_broker, market, list_model, tiny_generator, buyer, start_web, celery_worker
):
    model_id, _ = list_model(tiny_generator, "text-generation")
    market.buy(market.add_plan(model_id, calls=5))
    market.index()
    web = start_web(env=LOUD)
    _, key = api_key_create(account=buyer, name="a program", scopes=["run"])
    asked = {"model": f"wh-{model_id}", "prompt": f"{PLANTED} once", "max_tokens": 40, "temperature": 0}
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
    job = Job.objects.filter(state="succeeded").first()
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
    }
    assert all(len(text) > 100 for text in places.values())
    assert [name for name, text in places.items() if PLANTED in text or output in text] == []
