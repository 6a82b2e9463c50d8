"""Publishing the samples: through the code that serves anybody's upload, and only what is not on chain yet.

What is there is read from the chain's own logs, not from the site's database: either may have been started afresh
without the other. Every step leaves what an earlier run finished, so that a run that was killed is simply repeated.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from weighhouse.core.cid import Cid, digest_hex
from weighhouse.core.manifest import Manifest, ManifestFile
from weighhouse.core.paths import MANIFEST
from weighhouse.core.unixfs import Dag, directory_node_add, file_add

from chain import abi
from chain.gateway import get_gateway
from chain.gateway.parse import number_parse
from chain.selectors import address_book, market_settings, site_operator_id
from chain.transactions import address_of, call_data, receipt_wait, send
from marketplace.licences.selectors import plan_list_for_model
from models_registry import selectors, services
from models_registry.errors import ModelNotFoundError, ReleaseNotFoundError
from models_registry.models import Release, ReleaseState, Upload
from models_registry.services.uploads import metadata_manifest
from samples.catalogue import NATIVE, Sample, SamplePlan, file_sha256

ZERO_ADDRESS = "0x" + "00" * 20
POLL_S = 0.2

Say = Callable[[str], None]


class PublishingError(Exception):
    """The samples could not be published. The message says which one, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A sample as a release of this publisher: its manifest, where its files lie, its root CID."""

    sample: Sample
    manifest: Manifest
    paths: dict[str, Path]
    root: Cid

    @property
    def digest(self) -> str:
        return digest_hex(self.root)

    @property
    def label(self) -> str:
        return self.sample.directory


@dataclass(slots=True)
class ChainModel:
    """One model of the publisher, as the chain's logs tell it. `releases` maps digest to the block that holds it."""

    model_id: int
    owner: str
    releases: dict[str, str]
    plans: list[dict[str, Any]]


class SamplePublisher:
    """Publishes samples with one key. `timeout_s` bounds the wait for workers and for the indexer, each."""

    def __init__(self, key: str, *, say: Say, timeout_s: float = 600.0) -> None:
        self._key = key
        self._address = address_of(key)
        self._say = say
        self._timeout_s = timeout_s

    def publish(self, samples: Sequence[Sample]) -> None:
        """Bring every sample to the list of models.

        1. Work out each release's root CID from the files, and have those checked that are not ready.
        2. Wait until no transaction of the publisher is on its way, then read the chain.
        3. Publish what the chain lacks, as a new release where an older one of the same name is there.
        4. Add the plans that a model lacks.
        5. Wait until the index has all of it.

        Raises PublishingError, SampleFilesError, and what the chain raises.
        """
        expected = [expected_release(sample, self._address) for sample in samples]
        for item in expected:
            self._submit(item)
        for item in expected:
            self._checked_wait(item)
        self._settled_wait()
        self._releases_send(expected)
        models = chain_models(self._address)
        self._plans_send(expected, models)
        self._listed_wait(expected)

    def _submit(self, item: Expected) -> None:
        """Upload the sample, unless its release is checked already. The upload ends with the release."""
        if _release_state(item) == ReleaseState.READY:
            return
        metadata = {name: getattr(item.manifest, name) for name in ("name", "summary", "task", "licence")}
        upload = self._upload_open(metadata)
        for path, file in item.paths.items():
            size = file.stat().st_size
            if size > 1 << 20:
                self._say(f"{item.label}: uploading {path}, {size / (1 << 20):.0f} MiB")
            with file.open("rb") as stream:
                services.upload_file_put(upload=upload, path=path, stream=stream, size=size)
        services.release_submit(upload=upload, expected_cid=str(item.root))
        self._say(f"{item.label}: uploaded, waits for the check in the sandbox")

    def _upload_open(self, metadata: dict[str, Any]) -> Upload:
        """The upload that an interrupted run left, emptied of nothing: its files are replaced. Or a new one."""
        for upload in selectors.upload_list(self._address):
            if all(getattr(upload, name) == value for name, value in metadata.items()):
                return upload
        return services.upload_create(publisher=self._address, metadata=metadata)

    def _checked_wait(self, item: Expected) -> None:
        notices: list[str] = []

        def checked() -> bool:
            release = selectors.release_get(item.digest)
            if release.state == ReleaseState.REFUSED:
                reasons = "; ".join(f"{r['path']}: {r['found']}. {r['remedy']}" for r in release.refusals)
                raise PublishingError(f"{item.label} was refused. {reasons}")
            if release.notice and release.notice not in notices:
                notices.append(release.notice)
                self._say(f"{item.label}: {release.notice}")
            return release.state == ReleaseState.READY

        remedy = "Is a worker running that serves the queue intake?"
        self._wait(checked, lambda: f"{item.label} is not checked yet. {notices[-1] if notices else ''} {remedy}")
        self._uploads_tidy(item)

    def _uploads_tidy(self, item: Expected) -> None:
        for upload in Upload.objects.filter(publisher=self._address, releases__digest=item.digest):
            services.upload_delete(upload=upload)

    def _settled_wait(self) -> None:
        """A killed run may have sent a transaction that is in no block yet; reading the chain now would miss it."""

        def settled() -> bool:
            counts = [
                number_parse(get_gateway().request("eth_getTransactionCount", [self._address, block]))
                for block in ("latest", "pending")
            ]
            return counts[0] == counts[1]

        self._wait(settled, lambda: "Transactions of the publisher are waiting in the node and are in no block yet.")

    def _releases_send(self, expected: Sequence[Expected]) -> None:
        models, sent = chain_models(self._address), []
        for item in expected:
            if _model_of(models, item):
                continue
            older = self._older_model(models, item)
            release = selectors.release_get(item.digest)
            model_id = older.model_id if older else None
            sent.append(send(self._key, services.release_transaction(release, model_id=model_id)))
            what = f"a new release of model {model_id}" if older else "a new model"
            self._say(f"{item.label}: publishing as {what}, digest {item.digest[:18]}...")
        _receipts_wait(sent)

    def _older_model(self, models: Sequence[ChainModel], item: Expected) -> ChainModel | None:
        """The publisher's model that shows an earlier release under this sample's name."""
        for model in models:
            known = Release.objects.filter(digest__in=list(model.releases), name=item.sample.name)
            if model.owner == self._address and known.exists():
                return model
        return None

    def _plans_send(self, expected: Sequence[Expected], models: Sequence[ChainModel]) -> None:
        sent = []
        for item in expected:
            model = _model_of(models, item)
            if model is None:
                raise PublishingError(f"{item.label} was published, and the chain does not show it. Run this again.")
            if model.owner != self._address:
                self._say(f"{item.label}: model {model.model_id} belongs to {model.owner} now; its plans are theirs")
                continue
            wanted = [plan_terms(plan, model.model_id) for plan in item.sample.plans]
            known = [_without_fee(terms) for terms in model.plans]
            missing = [terms for terms in wanted if _without_fee(terms) not in known]
            sent += [send(self._key, call_data("LicenceMarket", "addPlan", [terms])) for terms in missing]
            if missing:
                self._say(f"{item.label}: adding {len(missing)} plans to model {model.model_id}")
        _receipts_wait(sent)

    def _listed_wait(self, expected: Sequence[Expected]) -> None:
        models = chain_models(self._address)
        for item in expected:
            model = _model_of(models, item)
            if model is None:
                raise PublishingError(f"{item.label} is no longer on chain: a block was replaced. Run this again.")
            problem = f"{item.label} is on chain and not listed yet. Is the indexer running?"
            self._wait(partial(_is_listed, item, model), partial(str, problem))
            self._say(f"{item.label}: listed as model {model.model_id}, {len(model.plans)} plans")

    def _wait(self, condition: Callable[[], bool], problem: Callable[[], str]) -> None:
        deadline = time.monotonic() + self._timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise PublishingError(f"{problem()} Gave up after {self._timeout_s:.0f} s; run this again.")
            time.sleep(POLL_S)


def expected_release(sample: Sample, publisher: str) -> Expected:
    """What the site will make of a sample's files, worked out from the files alone. Raises SampleFilesError."""
    paths = sample.file_paths()
    metadata = {"name": sample.name, "summary": sample.summary, "task": sample.task, "licence": sample.licence}
    files = tuple(ManifestFile(path, file.stat().st_size, file_sha256(file)) for path, file in paths.items())
    manifest = replace(metadata_manifest(publisher, metadata), files=files)
    dag = Dag()
    with tempfile.NamedTemporaryFile() as written:
        written.write(manifest.to_bytes())
        written.flush()
        located = {**paths, MANIFEST: Path(written.name)}
        links = [replace(file_add(dag, file), name=name) for name, file in located.items()]
    return Expected(sample, manifest, paths, directory_node_add(dag, links).cid)


def chain_models(publisher: str) -> list[ChainModel]:
    """Every model that this address published, from the logs of the contracts up to the newest block."""
    book, gateway = address_book(), get_gateway()
    names = {book.contract(name).address.lower(): name for name in abi.INDEXED_CONTRACTS}
    last = gateway.header_at(None).number
    found: dict[int, ChainModel] = {}
    for log in gateway.logs_in_range(list(names), first=book.deployed_at_block, last=last):
        event, args = abi.event_decode(names[log.address.lower()], log.topics, log.data)
        if event == "ModelPublished" and args["publisher"] == publisher:
            found[args["modelId"]] = ChainModel(args["modelId"], publisher, {}, [])
        elif event == "ReleasePublished" and args["modelId"] in found:
            found[args["modelId"]].releases[args["digest"]] = log.block_hash
        elif event == "PlanAdded" and args["modelId"] in found:
            found[args["modelId"]].plans.append(args["terms"])
        elif event == "Transfer" and names[log.address.lower()] == "ModelRegistry" and args["tokenId"] in found:
            found[args["tokenId"]].owner = args["to"]
    return list(found.values())


def plan_terms(plan: SamplePlan, model_id: int) -> dict[str, Any]:
    """The plan as the contract takes it now: with the protocol's fee of the moment, and with this site's operator."""
    token = ZERO_ADDRESS if plan.token == NATIVE else address_book().contract(plan.token).address
    operator_id = site_operator_id() if plan.needs_operator else 0
    if plan.needs_operator and not operator_id:
        raise PublishingError("This site has no operator yet. Run `manage.py deploy_contracts --demo-funds`.")
    return {
        "modelId": model_id,
        "token": token,
        "price": plan.price,
        "period": plan.period_s,
        "vesting": plan.vesting_s,
        "calls": plan.calls,
        "supply": plan.supply,
        "feeBps": market_settings().fee_bps,
        "operatorId": operator_id,
        "serviceBps": plan.service_bps,
        "entryBps": plan.entry_bps,
        "flags": plan.flags,
    }


def _without_fee(terms: dict[str, Any]) -> dict[str, Any]:
    """What tells plans apart here. One that was added under another protocol fee is not added again."""
    return {name: value for name, value in terms.items() if name != "feeBps"}


def _receipts_wait(tx_hashes: Sequence[str]) -> None:
    for tx_hash in tx_hashes:
        receipt_wait(tx_hash)


def _release_state(item: Expected) -> str:
    try:
        return selectors.release_get(item.digest).state
    except ReleaseNotFoundError:
        return ""


def _model_of(models: Sequence[ChainModel], item: Expected) -> ChainModel | None:
    return next((model for model in models if item.digest in model.releases), None)


def _is_listed(item: Expected, model: ChainModel) -> bool:
    """Whether the index shows the release as the chain now has it, and every plan.

    The block's hash is compared: rows of a chain that was replaced may carry the same ids and digests.
    """
    rows = selectors.release_list_for_model(model.model_id)
    block = model.releases[item.digest]
    if not any(row.digest == item.digest and row.is_listable and row.event.block_hash == block for row in rows):
        return False
    try:
        listed = selectors.model_get(model.model_id).is_listed
    except ModelNotFoundError:
        return False
    return listed and len(plan_list_for_model(model.model_id, with_retired=True)) >= len(model.plans)
