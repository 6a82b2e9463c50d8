"""What the registry's tests share: directories of their own, and short ways to upload."""

import hashlib
import http.client
import io
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from weighhouse.core.manifest import Manifest, ManifestFile

from models_registry import services
from models_registry.models import Release, Upload
from models_registry.runners import runner_pool_close
from tests.fixtures.people import PUBLISHER
from tools.demo.ports import free_port

METADATA = {"name": "A tiny embedder", "task": "feature-extraction", "licence": "Apache-2.0", "summary": "For tests."}


@pytest.fixture(autouse=True)
def site_directories(settings, tmp_path) -> Path:
    """Uploads, store and cache of this test alone."""
    settings.UPLOAD_DIR = tmp_path / "uploads"
    settings.STORE_DIR = tmp_path / "store"
    settings.ARTIFACT_CACHE_DIR = tmp_path / "cache"
    return tmp_path


def put(upload: Upload, path: str, data: bytes, **options: str):
    return services.upload_file_put(upload=upload, path=path, stream=io.BytesIO(data), size=len(data), **options)


@pytest.fixture
def uploaded(db) -> Callable[..., Upload]:
    """`uploaded(directory, **metadata)`: an upload of every file of a directory, by the publisher."""

    def make(directory: Path, *, publisher: str = PUBLISHER, **metadata: object) -> Upload:
        upload = services.upload_create(publisher=publisher, metadata={**METADATA, **metadata})
        for file in sorted(path for path in directory.rglob("*") if path.is_file()):
            put(upload, str(file.relative_to(directory)), file.read_bytes())
        return upload

    return make


@pytest.fixture
def checked(uploaded, django_capture_on_commit_callbacks) -> Callable[..., Release]:
    """`checked(directory, **metadata)`: the release after its check, which this process makes itself."""

    def make(directory: Path, **metadata: object) -> Release:
        with django_capture_on_commit_callbacks(execute=False):
            release = services.release_submit(upload=uploaded(directory, **metadata))
        services.release_check(release_id=release.pk)
        release.refresh_from_db()
        return release

    return make


def release_directory(source: Path, target: Path, *, publisher: str = PUBLISHER, **changes: object) -> Path:
    """A release directory as somebody without this site would make it: the files and their manifest."""
    shutil.copytree(source, target)
    files = []
    for path in sorted(target.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            files.append(ManifestFile(str(path.relative_to(target)), len(data), hashlib.sha256(data).hexdigest()))
    manifest = Manifest(
        publisher=publisher,
        name=METADATA["name"],
        task=METADATA["task"],
        licence="Apache-2.0",
        files=tuple(sorted(files, key=lambda file: file.path)),
    )
    value = {**manifest.to_json(), **changes}
    from weighhouse.core import canonical  # noqa: PLC0415

    (target / "manifest.json").write_bytes(canonical.dumps(value))
    return target


def safetensors_bytes(tensors: Mapping[str, tuple[str, list[int], bytes]], **header: object) -> bytes:
    """A safetensors file with any header a test wants."""
    entries: dict[str, object] = {}
    data = b""
    for name, (dtype, shape, content) in tensors.items():
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    raw = json.dumps({**entries, **header}).encode()
    return len(raw).to_bytes(8, "little") + raw + data


@pytest.fixture
def serve(spawn, clean_broker, tmp_path):
    """`serve(env)`: gunicorn on a port that stays the same over restarts."""
    port = free_port()

    def start(**env: str):
        argv = [sys.executable, "-m", "gunicorn", "marketplace.wsgi", "--bind", f"127.0.0.1:{port}"]
        argv += ["--worker-class", "gthread", "--threads", "4", "--workers", "1", "--no-control-socket"]
        web = spawn("web", argv, env=env)
        web.wait_until(lambda: _answers(port), what="answering", timeout_s=60)
        return web

    start.port = port
    start.url = f"http://127.0.0.1:{port}"
    return start


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/v1/models")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="session", autouse=True)
def _runners_end():
    yield
    runner_pool_close()
