"""Large inputs that are sent ahead: encrypted on disk, one account's alone, gone with the job's payload."""

import hashlib
import os
import shutil
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from io import BytesIO

import pytest
from cryptography.fernet import Fernet
from django.db import connection
from django.utils import timezone

from marketplace.accounts.services import api_key_create
from marketplace.inference import selectors, services, uploads
from marketplace.inference.errors import (
    InputUploadInUseError,
    InputUploadKindError,
    InputUploadNotFoundError,
    InputUploadQuotaError,
)
from marketplace.inference.models import InputUpload, Job, JobPayload
from marketplace.inference.payloads import payload_decrypt
from marketplace.inference.receipts import selectors as receipts
from marketplace.inference.services.inputs import inputs_accept, inputs_accept_each
from marketplace.inference.services.keeping import uploads_drop
from marketplace.inference.upload_files import SEGMENT_BYTES, UploadWriter, upload_file_read, upload_path
from models_registry.errors import UploadLimitError, UploadStorageFullError, UploadTruncatedError
from models_registry.intake.receive import FREE_FLOOR_BYTES
from models_registry.runtime.errors import InputError
from models_registry.runtime.specs import RunResult
from models_registry.runtime.tasks import TASKS

# Files go when the transaction is certain, so these are real ones.
pytestmark = pytest.mark.django_db(transaction=True)
CHECKED = type("Checked", (), {"block_number": 1, "block_hash": "0x"})
TEXT = b"the planted house of the weigh master"


@pytest.fixture(autouse=True)
def _own_directory(settings, tmp_path):
    settings.INPUT_UPLOAD_DIR = tmp_path / "inputs"


@pytest.fixture
def receive(buyer):
    def send(data: bytes = TEXT, media_type: str = "text/plain", **extra) -> InputUpload:
        values = {"account": buyer, "media_type": media_type, "size": len(data), "stream": BytesIO(data), **extra}
        return services.input_upload_receive(**values)

    return send


@pytest.fixture
def create(sell, buyer, clean_broker):
    sold = sell(calls=20)

    def make(inputs, **extra) -> Job:
        return services.job_create(**{"account": buyer, "model_id": sold.model_id, "inputs": inputs, **extra})[0]

    return make


def named(upload: InputUpload) -> dict[str, str]:
    return {"upload": str(upload.pk), "sha256": payload_decrypt(upload.pk, upload.digest)}


def finish(job: Job) -> None:
    result = RunResult(outputs=[[0.5]] * job.input_count, fingerprint={}, timings={}, usage={})
    assert services.job_succeed(job=services.job_claim(job_id=job.pk), result=result, licence=CHECKED)


def files() -> list[str]:
    directory = upload_path(uuid.uuid4()).parent
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


@pytest.mark.parametrize("size", [1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES])
def test_upload_is_encrypted_on_disk_and_comes_back_as_it_was(receive, size):
    data = (TEXT * (size // len(TEXT) + 1))[:size]
    upload = receive(data, "audio/wav")
    stored = upload_path(upload.pk).read_bytes()
    assert TEXT[:20] not in stored
    assert upload_file_read(upload.pk) == data


def test_upload_whose_file_was_changed_cut_or_moved_does_not_open(receive):
    data = b"x" * (2 * SEGMENT_BYTES + 5)
    upload, other = receive(data, "audio/wav"), receive(data, "audio/wav")
    path = upload_path(upload.pk)
    whole = path.read_bytes()
    segment = SEGMENT_BYTES + 16
    for changed in (
        whole[:-1],
        whole[: 36 + 2 * segment],
        whole[: 36 + segment],
        whole[:36],
        whole[:36] + whole[36 + segment : 36 + 2 * segment] + whole[36 : 36 + segment] + whole[36 + 2 * segment :],
        whole[:100] + bytes([whole[100] ^ 1]) + whole[101:],
        upload_path(other.pk).read_bytes(),
        b"",
    ):
        path.write_bytes(changed)
        with pytest.raises(InputUploadNotFoundError):
            upload_file_read(upload.pk)
    path.write_bytes(whole)
    assert upload_file_read(upload.pk) == data


def test_upload_that_never_finished_does_not_open():
    number = uuid.uuid4()
    upload_path(number).parent.mkdir(parents=True)
    with upload_path(number).open("wb") as stream:
        UploadWriter(number, stream).write(b"x" * (SEGMENT_BYTES + 1))
    with pytest.raises(InputUploadNotFoundError):
        upload_file_read(number)


def test_upload_outlives_a_change_of_key_that_keeps_the_old_one(receive, settings):
    upload = receive()
    settings.PAYLOAD_KEY = f"{Fernet.generate_key().decode()},{settings.PAYLOAD_KEY}"
    assert upload_file_read(upload.pk) == TEXT
    settings.PAYLOAD_KEY = Fernet.generate_key().decode()
    with pytest.raises(InputUploadNotFoundError):
        upload_file_read(upload.pk)


def test_upload_that_ends_before_its_length_leaves_nothing(receive):
    with pytest.raises(UploadTruncatedError):
        receive(size=len(TEXT) + 1)
    assert (InputUpload.objects.count(), files()) == (0, [])


@pytest.mark.parametrize(
    ("size", "media_type"),
    [(0, "text/plain"), (128 * 1024 + 1, "text/plain"), (4 * 1024**2 + 1, "image/png"), (6_000_001, "audio/wav")],
)
def test_upload_of_a_size_that_no_task_takes_is_refused_before_a_byte_is_read(receive, size, media_type):
    stream = BytesIO(TEXT)
    with pytest.raises(UploadLimitError):
        receive(size=size, stream=stream, media_type=media_type)
    assert stream.tell() == 0


@pytest.mark.parametrize("media_type", ["", "application/json", "text/html", "video/mp4", "image"])
def test_upload_of_another_media_type_is_refused(receive, media_type):
    with pytest.raises(InputUploadKindError):
        receive(media_type=media_type)


def test_upload_beyond_the_quota_is_refused_until_one_is_deleted(receive, buyer, settings):
    settings.INPUT_UPLOAD_QUOTA_BYTES = 2 * len(TEXT)
    first, _ = receive(), receive()
    with pytest.raises(InputUploadQuotaError):
        receive()
    assert len(files()) == 2
    services.input_upload_delete(account=buyer, upload_id=first.pk)
    assert len(files()) == 1
    receive()


def test_upload_by_a_key_of_one_licence_is_held_to_a_tenth_of_the_quota_and_hears_of_its_own_alone(
    receive, buyer, settings
):
    settings.INPUT_UPLOAD_QUOTA_BYTES = 20 * len(TEXT)
    receive()
    keys = [api_key_create(account=buyer, name="k", scopes=["run"], licence_id=1)[0] for _ in range(2)]
    for key in keys:
        buyer.acting_key = key
        receive()
        receive()
        with pytest.raises(InputUploadQuotaError) as caught:
            receive()
        assert (caught.value.data["limit"], caught.value.data["kept"]) == (2 * len(TEXT), 2 * len(TEXT))
    buyer.acting_key = None
    for _ in range(15):
        receive()
    buyer.acting_key = api_key_create(account=buyer, name="k", scopes=["run"], licence_id=1)[0]
    with pytest.raises(InputUploadQuotaError) as caught:
        receive()
    assert caught.value.data["kept"] == 0, "and of what others keep it hears nothing"


def test_upload_that_would_leave_the_disk_too_full_is_refused_before_a_byte_is_read(receive, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=FREE_FLOOR_BYTES + len(TEXT) - 1)
    monkeypatch.setattr("models_registry.intake.receive.shutil.disk_usage", lambda _path: usage)
    stream = BytesIO(TEXT)
    with pytest.raises(UploadStorageFullError):
        receive(stream=stream)
    assert (stream.tell(), files(), InputUpload.objects.count()) == (0, [], 0)


def test_job_takes_uploads_beside_texts_in_order_and_the_worker_reads_them(create, receive):
    job = create(["before", named(receive()), "after"])
    request = selectors.job_request(job)
    assert [type(value) for value in request["inputs"]] == [str, dict, str]
    assert uploads.inputs_resolve(job, request["inputs"]) == ["before", TEXT.decode(), "after"]


def test_job_takes_no_upload_of_another_account(create, receive, outsider):
    upload = receive(account=outsider)
    with pytest.raises(InputUploadNotFoundError):
        create([named(upload)])
    assert Job.objects.count() == 0


def test_worker_opens_no_upload_of_another_account_even_if_the_payload_names_it(create, receive, outsider):
    job = create(["a text"])
    with pytest.raises(InputUploadNotFoundError):
        uploads.inputs_resolve(job, [named(receive(account=outsider))])


def test_image_is_resolved_as_bytes_in_base64(create, receive):
    job = create(["a text"])
    upload = receive(b"\x89PNG", "image/png")
    assert uploads.inputs_resolve(job, [named(upload)]) == [{"data": "iVBORw=="}]


def test_text_that_is_not_utf8_is_refused_with_its_number(create, receive):
    with pytest.raises(InputError) as caught:
        uploads.inputs_resolve(create(["a"]), ["a", named(receive(b"\xff\xfe"))])
    assert caught.value.data["position"] == 1


@pytest.mark.parametrize("value", [{"upload": "x"}, {"upload": None}, {"upload": str(uuid.uuid4()), "more": 1}])
def test_input_that_only_looks_like_an_upload_is_refused_as_no_text(create, value):
    with pytest.raises(InputError):
        create([value])


def test_job_keeps_the_sha256_of_an_upload_and_its_receipt_commits_to_it(create, receive):
    upload, sha256 = receive(), hashlib.sha256(TEXT).hexdigest()
    job = create([{"upload": str(upload.pk)}])
    assert selectors.job_request(job)["inputs"] == [{"upload": str(upload.pk), "sha256": sha256}]
    value = receipts.receipt_opening(job)["input"]["value"]
    assert value["inputs"] == [{"upload": str(upload.pk), "sha256": sha256}]
    assert sha256 not in str(InputUpload.objects.values()), "of a short text it could be searched"


def test_upload_of_another_content_than_the_caller_says_is_refused(create, receive):
    with pytest.raises(InputError) as caught:
        create(["a", {"upload": str(receive().pk), "sha256": "0" * 64}])
    assert caught.value.data["position"] == 1


def test_text_upload_longer_than_the_task_reads_is_refused_at_once(create, receive):
    with pytest.raises(InputError):
        create([named(receive(b"x" * 70_000))])


@pytest.mark.parametrize(
    ("task", "size", "media_type"),
    [
        ("feature-extraction", 5, "image/png"),
        ("image-classification", 5, "text/plain"),
        ("image-classification", 5, "audio/wav"),
        ("question-answering", 5, "text/plain"),
    ],
)
def test_upload_that_cannot_be_an_input_of_the_task_is_refused_at_once(receive, buyer, task, size, media_type):
    upload = receive(b"x" * size, media_type)
    with pytest.raises(InputError):
        inputs_accept(account=buyer, spec=TASKS[task], inputs=[named(upload)])


def test_upload_of_the_kind_that_a_task_reads_is_accepted_alone_or_in_a_list(receive, buyer):
    image, sound = receive(b"x", "image/png"), receive(b"x", "audio/wav")
    for task, upload in [("image-classification", image), ("automatic-speech-recognition", sound)]:
        for inputs in (named(upload), [named(upload)]):
            assert inputs_accept(account=buyer, spec=TASKS[task], inputs=inputs) == [named(upload)]


def test_messages_among_inputs_that_are_each_one_are_no_chat(receive, buyer):
    spec, message = TASKS["text-generation"], {"role": "user", "content": "hello"}
    assert len(inputs_accept(account=buyer, spec=spec, inputs=[message, message])) == 1
    for inputs in ([message, message], [named(receive()), message]):
        with pytest.raises(InputError):
            inputs_accept_each(account=buyer, spec=spec, inputs=inputs)
    chats = [[message], {"messages": [message]}, "a text"]
    assert len(inputs_accept_each(account=buyer, spec=spec, inputs=chats)) == 3


def test_upload_goes_with_the_last_payload_that_names_it(create, receive, buyer):
    upload = receive()
    jobs = [create([named(upload)]), create([named(upload)])]
    for job in jobs:
        finish(job)
    services.job_payload_delete(account=buyer, job_id=jobs[0].pk)
    assert files() == [str(upload.pk)]
    services.job_payload_delete(account=buyer, job_id=jobs[1].pk)
    assert (files(), InputUpload.objects.count()) == ([], 0)


def test_upload_of_a_job_that_stores_nothing_goes_when_the_job_ends(create, receive):
    job = create([named(receive())], store=False)
    finish(job)
    assert (files(), InputUpload.objects.count()) == ([], 0)
    assert services.job_hand_out(Job.objects.get(pk=job.pk)).outputs == [[0.5]]


def test_upload_that_no_job_took_is_deleted_when_its_time_is_over_and_one_that_a_job_took_stays(create, receive):
    kept, lost = receive(), receive()
    create([named(kept)])
    InputUpload.objects.update(delete_at=timezone.now())
    services.payloads_purge()
    assert files() == [str(kept.pk)]
    assert list(InputUpload.objects.all()) == [kept]
    assert lost.pk != kept.pk


def test_upload_that_a_job_comes_to_name_while_its_lock_is_waited_for_stays(create, receive):
    upload, job = receive(), create(["a text"])
    named_by: list[Job] = []

    def name_it(execute, sql, *rest):
        answer = execute(sql, *rest)
        if "inference_inputupload" in sql and not named_by:
            named_by.append(job)
            job.payload.uploads.add(upload)
        return answer

    with connection.execute_wrapper(name_it):
        assert uploads_drop([upload.pk]) == 0
    assert (named_by, files()) == ([job], [str(upload.pk)])


def test_upload_that_a_job_being_stored_names_is_deleted_by_nobody_meanwhile(create, receive):
    upload = receive()
    InputUpload.objects.update(delete_at=timezone.now())
    insert, purges = f'INSERT INTO "{JobPayload.uploads.through._meta.db_table}"', []

    def purge():
        try:
            services.payloads_purge()
        finally:
            connection.close()

    def purge_before(execute, sql, *rest):
        if sql.startswith(insert):
            purges.append(threads.submit(purge))
            wait(purges, timeout=0.5)
        return execute(sql, *rest)

    with ThreadPoolExecutor(1) as threads, connection.execute_wrapper(purge_before):
        job = create([named(upload)])
    assert [purged.result() for purged in purges] == [None]
    assert uploads.inputs_resolve(job, selectors.job_request(job)["inputs"]) == [TEXT.decode()]


def test_upload_that_an_open_job_needs_is_not_deleted(create, receive, buyer):
    upload = receive()
    job = create([named(upload)])
    with pytest.raises(InputUploadInUseError):
        services.input_upload_delete(account=buyer, upload_id=upload.pk)
    services.job_cancel(account=buyer, job_id=job.pk)
    services.input_upload_delete(account=buyer, upload_id=upload.pk)
    assert files() == []
    assert JobPayload.objects.count() == 1


def test_job_again_takes_its_uploads_along(create, receive, buyer):
    upload = receive()
    job = create([named(upload)])
    finish(job)
    again, _ = services.job_again(account=buyer, client="", job_id=job.pk)
    services.job_payload_delete(account=buyer, job_id=job.pk)
    assert uploads.inputs_resolve(again, selectors.job_request(again)["inputs"]) == [TEXT.decode()]


def test_file_without_a_row_is_deleted_once_it_is_old(receive):
    kept, orphan = receive(), uuid.uuid4()
    upload_path(orphan).write_bytes(b"x")
    assert services.upload_files_tidy() == 0
    for number in (kept.pk, orphan):
        old = (timezone.now() - timedelta(hours=3)).timestamp()
        os.utime(upload_path(number), (old, old))
    assert services.upload_files_tidy() == 1
    assert files() == [str(kept.pk)]


def test_api_input_is_received_named_and_deleted(with_key, buyer, outsider):
    client = with_key(buyer, "run")
    made = client.generic("POST", "/api/v1/inputs", TEXT, content_type="text/plain; charset=utf-8")
    assert made.status_code == 201, made.content
    assert (made.json()["kind"], made.json()["size"]) == ("text", len(TEXT))
    url = made.headers["Location"]
    assert TEXT not in client.get(url).content
    assert with_key(outsider).get(url).json()["code"] == "input_upload.not_found"
    assert with_key(outsider).delete(url).status_code == 404
    assert with_key(outsider).get("/api/v1/inputs").json()["results"] == []
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404


@pytest.mark.parametrize(
    ("media_type", "body", "length", "status", "code"),
    [
        ("application/json", TEXT, None, 415, "input_upload.kind_unknown"),
        ("text/plain", b"x" * (1024**2 + 1), None, 413, "upload.too_large"),
        ("text/plain", TEXT, "", 411, "upload.length_required"),
        ("text/plain", TEXT, "0", 413, "upload.too_large"),
        ("text/plain", TEXT, "-1", 411, "upload.length_required"),
    ],
    ids=["kind", "too large", "no length", "empty", "negative"],
)
def test_api_input_that_is_none_is_refused_in_words(with_key, buyer, media_type, body, length, status, code):
    extra = {} if length is None else {"CONTENT_LENGTH": length}
    response = with_key(buyer).generic("POST", "/api/v1/inputs", body, content_type=media_type, **extra)
    assert (response.status_code, response.json()["code"]) == (status, code), response.content
    assert InputUpload.objects.count() == 0


def test_process_killed_behind_an_upload_leaves_a_file_that_nobody_can_name(buyer, spawn, tmp_path, settings):
    script = (
        "import django, io; django.setup()\n"
        "from marketplace.accounts.models import Account\n"
        "from marketplace.inference import services\n"
        f"account = Account.objects.get(pk={buyer.pk})\n"
        "services.input_upload_receive(account=account, media_type='text/plain', size=1, stream=io.BytesIO(b'x'))\n"
    )
    point = "input_upload.received"
    env = {"WEIGHHOUSE_FAULTS": point, "WEIGHHOUSE_FAULTS_DIR": str(tmp_path)}
    env["WEIGHHOUSE_INPUT_UPLOAD_DIR"] = str(settings.INPUT_UPLOAD_DIR)
    process = spawn("upload", [sys.executable, "-c", script], env=env)
    process.wait_until((tmp_path / point).exists, what=f"at {point}", timeout_s=60)
    process.kill()
    assert (InputUpload.objects.count(), len(files())) == (0, 1)
