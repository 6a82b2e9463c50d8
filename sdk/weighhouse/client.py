"""A small client of a Weighhouse site: upload a model, wait for its check, run a model.

    client = Client("http://127.0.0.1:8000", api_key="wh_...")
    release = client.release_wait(client.publish_directory(Path("model"), metadata)["id"])

It imports nothing of the server. Keys and wallets stay with the caller: the client never signs.
"""

import hashlib
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Self

import requests

from weighhouse.core import canonical, unixfs
from weighhouse.core.cid import Cid
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.manifest import Manifest, ManifestFile, manifest_from_json
from weighhouse.core.paths import MANIFEST, path_check

_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 4
_POLL_INTERVAL_S = 1.0
_JOB_ENDS = {"succeeded", "failed", "cancelled", "expired"}

Progress = Callable[[str, int, int], None]


class ApiError(WeighhouseError):
    """The site answered with a problem. `code`, `message`, `status` and the whole `problem` are the site's."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or f"The site answered with status {status}."))
        self.status = status
        self.problem = dict(problem)
        # The instance's own, since the site decides.
        self.code = str(problem.get("code", "http.error"))  # type: ignore[misc]
        self.retryable = bool(problem.get("retryable", status in (429, 502, 503, 504)))  # type: ignore[misc]


class SiteUnreachableError(WeighhouseError):
    """The site did not answer, several times in a row."""

    code = "client.unreachable"
    retryable = True


class WaitTimeoutError(WeighhouseError):
    """What was waited for did not happen in time. It may still."""

    code = "client.timeout"
    retryable = True


class Client:
    """Talks to one site with one API key. Not thread-safe; close it, or use it in a `with` block."""

    def __init__(self, base_url: str, api_key: str = "", *, timeout_s: float = 30.0) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "weighhouse"
        if api_key:
            self._session.headers["Authorization"] = f"Bearer {api_key}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    # Publishing

    def upload_create(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Open an upload. `metadata` has name, task and licence; see `POST /api/v1/uploads`."""
        return self._call("POST", "/api/v1/uploads", json=dict(metadata))

    def upload_get(self, upload_id: str) -> dict[str, Any]:
        """The upload and the files that arrived whole."""
        return self._call("GET", f"/api/v1/uploads/{upload_id}")

    def upload_directory(self, upload_id: str, directory: Path, *, progress: Progress | None = None) -> dict[str, str]:
        """Send every file of a directory; skip those that the site has already. Returns path -> sha256.

        Hidden files and `manifest.json` are left out, as in a release. Raises PathError before anything is sent,
        ApiError with `problem["refusals"]` for a file that the site refuses.
        """
        files = dict(_release_files(directory))
        held = {file["path"]: file["sha256"] for file in self.upload_get(upload_id)["files"]}
        for path in set(held) - set(files):
            self._call("DELETE", _file_url(upload_id, path))
        hashes = {}
        for number, (path, file) in enumerate(files.items(), start=1):
            if progress:
                progress(path, number, len(files))
            hashes[path] = _sha256(file)
            if held.get(path) != hashes[path]:
                self._file_send(upload_id, path, file, hashes[path])
        return hashes

    def release_create(self, upload_id: str, *, expected_cid: str | None = None) -> dict[str, Any]:
        """Submit an upload as a release and return it, being checked."""
        return self._call("POST", "/api/v1/releases", json={"upload": upload_id, "expected_cid": expected_cid})

    def publish_directory(
        self, directory: Path, metadata: Mapping[str, Any], *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Upload a directory and submit it, with the root CID computed here. Returns the release, being checked."""
        upload = self.upload_create(metadata)
        hashes = self.upload_directory(upload["id"], directory, progress=progress)
        expected = release_cid(directory, manifest_of(upload, directory, hashes))
        return self.release_create(upload["id"], expected_cid=str(expected))

    def release_get(self, reference: str | int, *, model: int | None = None) -> dict[str, Any]:
        """A release by id or digest. With `model`, its transaction makes it a new release of that model."""
        params = {} if model is None else {"model": str(model)}
        return self._call("GET", f"/api/v1/releases/{reference}", params=params)

    def release_wait(self, reference: str | int, *, timeout_s: float = 600.0) -> dict[str, Any]:
        """Wait until the check has ended, one way or the other. Raises WaitTimeoutError."""
        release: dict[str, Any] = {}
        for _ in _polls(timeout_s):
            release = self.release_get(reference)
            if release["state"] != "checking":
                return release
        raise WaitTimeoutError(
            f"The check has not ended after {timeout_s:.0f} s: {release.get('notice')}", notice=release.get("notice")
        )

    def model_get(self, model_id: int) -> dict[str, Any]:
        """A model with its card and releases."""
        return self._call("GET", f"/api/v1/models/{model_id}")

    # Running

    def job_create(self, model_id: int, inputs: Any, *, idempotency_key: str = "", **options: Any) -> dict[str, Any]:
        """Queue a job. `options`: parameters, licence, release. An idempotency key makes the call safe to repeat."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        body = {"model": str(model_id), "inputs": inputs, **options}
        return self._call("POST", "/api/v1/jobs", json=body, headers=headers)

    def job_get(self, job_id: str) -> dict[str, Any]:
        """A job with its outputs, once it succeeded."""
        return self._call("GET", f"/api/v1/jobs/{job_id}")

    def job_wait(self, job_id: str, *, timeout_s: float = 120.0) -> dict[str, Any]:
        """Wait until a job has ended, one way or the other. Raises WaitTimeoutError."""
        for _ in _polls(timeout_s, first_s=0.1):
            job = self.job_get(job_id)
            if job["state"] in _JOB_ENDS:
                return job
        raise WaitTimeoutError(f"The job has not ended after {timeout_s:.0f} s.", job=job_id)

    def job_run(self, model_id: int, inputs: Any, *, timeout_s: float = 120.0, **options: Any) -> dict[str, Any]:
        """`job_create` and `job_wait` in one. One that has ended is not asked for again: outputs may come only once."""
        job = self.job_create(model_id, inputs, **options)
        return job if job["state"] in _JOB_ENDS else self.job_wait(job["id"], timeout_s=timeout_s)

    def job_receipt(self, job_id: str) -> bytes:
        """The signed receipt of an ended job, as `weighhouse.verify` takes it; with its proof once it is anchored."""
        return canonical.dumps(self._call("GET", f"/api/v1/jobs/{job_id}/receipt"))

    def job_acceptance(self, job_id: str) -> bytes:
        """What the site signed when it took the job on, for `weighhouse.verify`."""
        return canonical.dumps(self._call("GET", f"/api/v1/jobs/{job_id}/acceptance"))

    def job_opening(self, job_id: str) -> dict[str, Any]:
        """The salts behind the hashes of both, with input and output while they are kept. For nobody else's eyes."""
        return self._call("GET", f"/api/v1/jobs/{job_id}/receipt/opening")

    def worker_keys(self) -> dict[str, Any]:
        """Who may sign for the site's operator, and which keys it took back."""
        return self._call("GET", "/api/v1/worker-keys")

    # Licences and money. Each `*_transactions` gives what a wallet signs, in order; with `sender` the site tries it
    # first and a refusal is raised here. The client never signs.

    def licence_list(self, *, model: int | None = None) -> list[dict[str, Any]]:
        """The licences that the key's account holds."""
        return self._list("GET", "/api/v1/licences", params=_given(model=model))

    def licence_get(self, licence_id: int, *, at: int | None = None) -> dict[str, Any]:
        """A licence by the chain: state, vested, refund. With `at`, at least what comes back until then."""
        return self._call("GET", f"/api/v1/licences/{licence_id}", params=_given(at=at))

    def plan_list(self, model_id: int) -> list[dict[str, Any]]:
        """A model's price list, retired plans marked."""
        return self._list("GET", f"/api/v1/models/{model_id}/plans")

    def income_get(self, model_id: int) -> list[dict[str, Any]]:
        """A model's money per token: held, vested, unsplit, available, withdrawn."""
        return self._list("GET", f"/api/v1/models/{model_id}/income")

    def purchase_transactions(self, plan_id: int, *, recipient: str, sender: str = "") -> list[dict[str, str]]:
        """Buy a licence for `recipient`; where a token pays, the approval of the price comes first."""
        return self._transactions(f"plans/{plan_id}/purchase", recipient=recipient, sender=sender)

    def renewal_transactions(self, licence_id: int, *, sender: str = "") -> list[dict[str, str]]:
        """Begin a new term; the sender pays."""
        return self._transactions(f"licences/{licence_id}/renewal", sender=sender)

    def cancellation_transactions(self, licence_id: int, *, to: str, sender: str = "") -> list[dict[str, str]]:
        """End a licence; what has not vested is paid to `to`. Its holder signs."""
        return self._transactions(f"licences/{licence_id}/cancellation", to=to, sender=sender)

    def settlement_transactions(self, licence_id: int, *, to: str, sender: str = "") -> list[dict[str, str]]:
        """Pay the refund of a cancelled metered licence, from `settle_at` on."""
        return self._transactions(f"licences/{licence_id}/settlement", to=to, sender=sender)

    def plan_transactions(self, model_id: int, terms: Mapping[str, Any], *, sender: str = "") -> list[dict[str, str]]:
        """Add a plan; see `POST /api/v1/models/{model_id}/plans` for the terms. The model's owner signs."""
        body = {**terms, **_given(sender=sender or None)}
        return list(self._call("POST", f"/api/v1/models/{model_id}/plans", json=body)["transactions"])

    def collection_transactions(self, plan_id: int, *, sender: str = "") -> list[dict[str, str]]:
        """Collect what has vested of a plan's licences and share its income out. Anyone signs."""
        return self._transactions(f"plans/{plan_id}/collection", sender=sender)

    def withdrawal_transactions(self, model_id: int, *, token: str, to: str, sender: str = "") -> list[dict[str, str]]:
        """Pay the model's credit in a token to `to`. The model's owner signs."""
        return self._transactions(f"models/{model_id}/withdrawal", token=token, to=to, sender=sender)

    def account_withdrawal_transactions(self, account: str, *, token: str, to: str) -> list[dict[str, str]]:
        """Pay the service shares and fees of an account in a token to `to`. That account signs."""
        return self._transactions(f"accounts/{account}/withdrawal", token=token, to=to)

    # Beneath

    def _transactions(self, path: str, **query: str) -> list[dict[str, str]]:
        given = {name: value for name, value in query.items() if value}
        return list(self._call("GET", f"/api/v1/{path}", params=given)["transactions"])

    def _file_send(self, upload_id: str, path: str, file: Path, sha256: str) -> None:
        headers = {"X-Content-SHA256": sha256, "Content-Type": "application/octet-stream"}
        for attempt in range(_ATTEMPTS):
            with file.open("rb") as body:
                try:
                    self._call("PUT", _file_url(upload_id, path), data=_Body(body), headers=headers)
                    return
                except (ApiError, SiteUnreachableError) as error:
                    if not error.retryable or attempt == _ATTEMPTS - 1:
                        raise
            time.sleep(2**attempt)

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """A call that answers an object. What the site sends is a stranger's: anything else is a wrong answer."""
        status, body = self._answer(method, path, **options)
        if not isinstance(body, dict):
            raise ApiError(status, {})
        return body

    def _list(self, method: str, path: str, **options: Any) -> list[Any]:
        """A call that answers a list."""
        status, body = self._answer(method, path, **options)
        if not isinstance(body, list):
            raise ApiError(status, {})
        return body

    def _answer(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        try:
            response = self._session.request(
                method, self._base_url + path, timeout=self._timeout_s, allow_redirects=False, **options
            )
        except requests.RequestException as error:
            raise SiteUnreachableError(f"{self._base_url} does not answer: {type(error).__name__}.") from error
        if response.status_code == 204:
            return response.status_code, {}
        try:
            body: Any = response.json()
        except ValueError:
            body = None
        if not response.ok:
            raise ApiError(response.status_code, body if isinstance(body, dict) else {})
        return response.status_code, body


def _given(**values: Any) -> dict[str, str]:
    """Parameters that were given, as text."""
    return {name: str(value) for name, value in values.items() if value is not None}


def manifest_of(upload: Mapping[str, Any], directory: Path, hashes: Mapping[str, str]) -> Manifest:
    """The manifest that the site writes for an upload of this directory."""
    value = {
        **{name: upload[name] for name in ("name", "summary", "task", "licence", "base_models")},
        "version": 1,
        "publisher": upload["publisher"],
        "runtime": {"library": upload["library"], "dtype": upload["dtype"]},
        "input_schema": {},
        "encryption": None,
        "files": [{"path": "model.safetensors", "size": 0, "sha256": "0" * 64}],
    }
    files = tuple(ManifestFile(path, (directory / path).stat().st_size, hashes[path]) for path in sorted(hashes))
    return replace(manifest_from_json(value), files=files)


def release_cid(directory: Path, manifest: Manifest) -> Cid:
    """The root CID of a release with this manifest and the files of this directory that it lists."""
    dag = unixfs.Dag()
    tree: dict[str, Any] = {}
    for file in manifest.files:
        *parents, name = file.path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = unixfs.file_add(dag, directory / file.path)
    tree[MANIFEST] = unixfs.bytes_add(dag, manifest.to_bytes())
    return _tree_add(dag, tree).cid


def _tree_add(dag: unixfs.Dag, tree: Mapping[str, Any]) -> unixfs.Link:
    links = []
    for name, child in tree.items():
        link = _tree_add(dag, child) if isinstance(child, dict) else child
        links.append(replace(link, name=name))
    return unixfs.directory_node_add(dag, links)


class _Body:
    """A file as a request body of known length, read in pieces."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = file.seek(0, 2)
        file.seek(0)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        return self._file.read(_CHUNK_BYTES if size < 0 else size)

    def __iter__(self) -> Iterator[bytes]:
        while data := self._file.read(_CHUNK_BYTES):
            yield data


def _release_files(directory: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(directory.rglob("*")):
        path = file.relative_to(directory).as_posix()
        if file.is_file() and path != MANIFEST and not any(part.startswith(".") for part in path.split("/")):
            yield path_check(path), file


def _file_url(upload_id: str, path: str) -> str:
    return f"/api/v1/uploads/{upload_id}/files/{urllib.parse.quote(path)}"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _polls(timeout_s: float, first_s: float = _POLL_INTERVAL_S) -> Iterator[None]:
    """Yield at once, then ever less often, until the time is up."""
    deadline = time.monotonic() + timeout_s
    wait_s = first_s
    yield
    while time.monotonic() < deadline:
        time.sleep(wait_s)
        wait_s = min(wait_s * 1.5, 5.0)
        yield
