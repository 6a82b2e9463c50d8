"""The web process is killed while a file arrives. After a restart nothing is lost and nothing doubled, by counts."""

import hashlib
import http.client
import threading

import pytest
from django.conf import settings as django_settings
from weighhouse.client import Client, SiteUnreachableError

from marketplace.accounts.services import api_key_create
from models_registry import services
from models_registry.models import Upload, UploadedFile
from tests.registry.conftest import safetensors_bytes

pytestmark = pytest.mark.django_db(transaction=True)
POINT = "upload.between_chunks"
METADATA = {"name": "A tiny embedder", "task": "feature-extraction", "licence": "Apache-2.0"}


@pytest.fixture(autouse=True)
def site_directories():
    """The web process is another one: both use the directories of the test site, not this test's own."""
    return django_settings.UPLOAD_DIR


@pytest.fixture
def files(tmp_path):
    directory = tmp_path / "model"
    directory.mkdir()
    numbers = bytes(3 << 20)
    (directory / "model.safetensors").write_bytes(safetensors_bytes({"w": ("F32", [len(numbers) // 4], numbers)}))
    (directory / "config.json").write_text("{}")
    return directory


def kill_worker(web, acknowledgement) -> None:
    """SIGKILL the very process that acknowledged the fault point, then its master."""
    pid = int(acknowledgement.read_text())
    assert pid != web.pid
    import os  # noqa: PLC0415
    import signal  # noqa: PLC0415

    web.kill()
    os.kill(pid, signal.SIGKILL)


def on_disk(upload_id) -> list[str]:
    return sorted(path.name for path in (django_settings.UPLOAD_DIR / upload_id).iterdir())


def test_kill_of_the_web_process_during_an_upload_loses_and_doubles_nothing(serve, publisher, files, tmp_path):
    _, key = api_key_create(account=publisher, name="a test", scopes=["publish"])
    faults = tmp_path / "faults"
    # The second pass: one chunk is on disk, two have not come.
    web = serve(WEIGHHOUSE_FAULTS=f"{POINT}:3", WEIGHHOUSE_FAULTS_DIR=str(faults))
    with Client(serve.url, key) as client:
        upload = client.upload_create(METADATA)
        sent: list[Exception] = []

        def send() -> None:
            try:
                client.upload_directory(upload["id"], files)
            except SiteUnreachableError as error:
                sent.append(error)

        sender = threading.Thread(target=send)
        sender.start()
        web.wait_until((faults / POINT).exists, what="at the fault point")
        kill_worker(web, faults / POINT)
        sender.join(60)
        assert len(sent) == 1

    assert list(UploadedFile.objects.values_list("path", flat=True)) == ["config.json"]
    assert sum(not name.startswith(".part-") for name in on_disk(upload["id"])) == 1

    serve()
    with Client(serve.url, key) as client:
        assert [file["path"] for file in client.upload_get(upload["id"])["files"]] == ["config.json"]
        passed: list[str] = []
        client.upload_directory(upload["id"], files, progress=lambda path, *_: passed.append(path))
        held = client.upload_get(upload["id"])["files"]
    assert [file["path"] for file in held] == ["config.json", "model.safetensors"]
    weights = (files / "model.safetensors").read_bytes()
    assert held[1]["sha256"] == hashlib.sha256(weights).hexdigest()
    assert (Upload.objects.count(), UploadedFile.objects.count()) == (1, 2)
    kept = django_settings.UPLOAD_DIR / upload["id"] / held[1]["sha256"]
    assert kept.read_bytes() == weights


def test_sweep_removes_what_the_killed_process_left(publisher, monkeypatch):
    upload = services.upload_create(publisher=publisher.address, metadata=METADATA)
    directory = django_settings.UPLOAD_DIR / str(upload.pk)
    directory.mkdir(parents=True)
    (directory / ".part-left").write_bytes(b"x")
    services.uploads_sweep()
    assert on_disk(str(upload.pk)) == [".part-left"]
    monkeypatch.setattr("models_registry.services.sweeping._STALE_S", -1)
    services.uploads_sweep()
    assert on_disk(str(upload.pk)) == []
    assert Upload.objects.count() == 1


def test_body_that_ends_early_on_the_wire_keeps_nothing(serve, publisher):
    _, key = api_key_create(account=publisher, name="a test", scopes=["publish"])
    serve()
    with Client(serve.url, key) as client:
        upload = client.upload_create(METADATA)
    connection = http.client.HTTPConnection("127.0.0.1", serve.port, timeout=20)
    connection.putrequest("PUT", f"/api/v1/uploads/{upload['id']}/files/README.md")
    connection.putheader("Authorization", f"Bearer {key}")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"half")
    connection.sock.shutdown(1)
    assert connection.getresponse().status == 400
    connection.close()
    assert UploadedFile.objects.count() == 0
    assert on_disk(upload["id"]) == []


def test_upload_of_a_large_file_takes_constant_memory(serve, publisher, tmp_path):
    _, key = api_key_create(account=publisher, name="a test", scopes=["publish"])
    web = serve()
    size = 256 << 20
    directory = tmp_path / "large"
    directory.mkdir()
    head = safetensors_bytes({"w": ("U8", [size], b"")}).replace(b"[0, 0]", b"[0, %d]" % size)
    head = (len(head) - 8).to_bytes(8, "little") + head[8:]
    with (directory / "model.safetensors").open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    with Client(serve.url, key) as client:
        upload = client.upload_create(METADATA)
        before = peak_memory(web.pid)
        client.upload_directory(upload["id"], directory)
        assert len(client.upload_get(upload["id"])["files"]) == 1
    assert peak_memory(web.pid) - before < 64 << 20


def peak_memory(master: int) -> int:
    """The highest resident set of any of gunicorn's workers, in bytes."""
    from pathlib import Path  # noqa: PLC0415

    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    peaks = []
    for child in children:
        for line in Path(f"/proc/{child}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                peaks.append(int(line.split()[1]) * 1024)
    return max(peaks)
