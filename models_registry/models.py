"""What a person uploaded, the releases made from it, and what the chain says was published."""

import uuid

from django.db import models
from weighhouse.core.cid import Cid, digest_parse, root_cid

from chain.fields import Uint256Field
from chain.models import ChainEvent

ANNOUNCEMENTS_SHOWN = 20


class Upload(models.Model):
    """A draft: the files and the metadata of a release to come. Only its publisher sees it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    publisher = models.CharField(max_length=42)
    name = models.CharField(max_length=80)
    summary = models.CharField(max_length=280, blank=True)
    task = models.CharField(max_length=60)
    licence = models.CharField(max_length=200)
    library = models.CharField(max_length=40)
    dtype = models.CharField(max_length=20)
    base_models = models.JSONField(default=list)
    # On-chain id of the model that this is a new release of; null for a new model.
    model_id = Uint256Field(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = [models.Index(fields=["publisher", "-created_at"], name="registry_upload_publisher")]

    def __str__(self) -> str:
        return f"upload {self.id}: {self.name}"


class UploadedFile(models.Model):
    """A file that was received whole. Its bytes lie in the upload's directory, named by their sha256."""

    upload = models.ForeignKey(Upload, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=200)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    received_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["upload", "path"], name="registry_file_path")]
        ordering = ["path"]

    def __str__(self) -> str:
        return self.path


class ReleaseState(models.TextChoices):
    CHECKING = "checking", "being checked"
    READY = "ready", "checked"
    REFUSED = "refused", "refused"


class Release(models.Model):
    """One immutable version of a model, known to this site: uploaded here, or fetched because the chain named it.

    `refusals` is a list of `{path, code, found, remedy}`. While the state is `checking`, `notice` says in a sentence
    what the release waits for.
    """

    digest = models.CharField(max_length=66, unique=True)
    state = models.CharField(max_length=10, choices=ReleaseState, default=ReleaseState.CHECKING)
    notice = models.CharField(max_length=500, blank=True)
    refusals = models.JSONField(default=list)

    # From the manifest; empty until a release that was not uploaded here has been fetched.
    publisher = models.CharField(max_length=42, blank=True)
    name = models.CharField(max_length=80, blank=True)
    summary = models.CharField(max_length=280, blank=True)
    task = models.CharField(max_length=60, blank=True)
    licence = models.CharField(max_length=200, blank=True)
    manifest = models.JSONField(default=dict)
    card = models.TextField(blank=True)
    total_bytes = models.PositiveBigIntegerField(default=0)

    upload = models.ForeignKey(Upload, on_delete=models.SET_NULL, null=True, related_name="releases")
    # Whose announcement had it fetched last, or was refused; empty for an upload.
    fetched_for = models.CharField(max_length=42, blank=True)
    # Which runtime tried the model, and when; empty until it did.
    fingerprint = models.JSONField(default=dict)
    attempts = models.PositiveIntegerField(default=0)
    # Trials that ended in a crash; what the machine is to blame for is not counted.
    crashes = models.PositiveIntegerField(default=0)
    # `intake.trial.tool_chain` of the last check that ended.
    checked_with = models.CharField(max_length=64, blank=True)
    check_after = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    checked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["state", "check_after"], name="registry_release_due"),
            models.Index(fields=["publisher"], name="registry_release_publisher"),
            models.Index(fields=["fetched_for", "state"], name="registry_release_fetched_for"),
        ]

    def __str__(self) -> str:
        return f"release {self.digest[:10]} of {self.name or 'an unfetched model'}"

    @property
    def root(self) -> Cid:
        return root_cid(digest_parse(self.digest))

    @property
    def root_cid(self) -> str:
        """The CID of the release's UnixFS directory, as text."""
        return str(self.root)

    @property
    def newest_announcements(self) -> list["PublishedRelease"]:
        """Where the chain announced it, newest first. A digest may be announced any number of times."""
        return list(self.published.select_related("model").order_by("-event")[:ANNOUNCEMENTS_SHOWN])


class Model(models.Model):
    """A model's token, as `ModelPublished` announced it."""

    model_id = Uint256Field(unique=True)
    publisher = models.CharField(max_length=42)
    event = models.ForeignKey(ChainEvent, on_delete=models.CASCADE, related_name="+")

    def __str__(self) -> str:
        return f"model {self.model_id}"


class ModelOwner(models.Model):
    """One transfer of a model's token, minting included. The owner is the newest row's."""

    model_id = Uint256Field()
    owner = models.CharField(max_length=42)
    event = models.OneToOneField(ChainEvent, on_delete=models.CASCADE, related_name="+")

    class Meta:
        indexes = [
            models.Index(fields=["model_id", "-event"], name="registry_owner_newest"),
            models.Index(fields=["owner"], name="registry_owner_owner"),
        ]

    def __str__(self) -> str:
        return f"model {self.model_id} owned by {self.owner}"


class PublishedRelease(models.Model):
    """A release that the chain announced. `publisher` owned the model at that moment.

    `is_listable` says that the release was checked, is ready and names that publisher in its manifest: a digest that
    somebody copied from another model's transaction names another address, and is never listed.
    """

    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="published")
    number = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=66, db_index=True)
    publisher = models.CharField(max_length=42)
    release = models.ForeignKey(Release, on_delete=models.SET_NULL, null=True, related_name="published")
    is_listable = models.BooleanField(default=False)
    event = models.OneToOneField(ChainEvent, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "number"], name="registry_published_number")]
        ordering = ["model", "-number"]

    def __str__(self) -> str:
        return f"release {self.number} of model {self.model_id}"


class LineageKind(models.TextChoices):
    PARENT = "parent", "parent"
    ANCESTOR = "ancestor", "ancestor"


class LineageShare(models.Model):
    """A model that another one was made from, as `LineageStored` said when it was published.

    `kind` is `parent` for what the publisher declared, `ancestor` for what the income of `model_id` pays, in the order
    of `place`. A parent with a share of 0 is a parent alone; a parent with a share is an ancestor too. `bps` is of what
    is left of the income after fee and service.
    """

    model_id = Uint256Field(db_index=True)
    related_id = Uint256Field(db_index=True)
    kind = models.CharField(max_length=8, choices=LineageKind)
    place = models.PositiveSmallIntegerField()
    bps = models.PositiveSmallIntegerField()
    event = models.ForeignKey(ChainEvent, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "kind", "place"], name="registry_lineage_place")]

    def __str__(self) -> str:
        return f"{self.kind} {self.related_id} of model {self.model_id}"


class DerivativeShare(models.Model):
    """What models that name this one as a parent owe it from here on. The newest row counts; without one it is 0."""

    model_id = Uint256Field(db_index=True)
    bps = models.PositiveSmallIntegerField()
    event = models.OneToOneField(ChainEvent, on_delete=models.CASCADE, related_name="+")

    def __str__(self) -> str:
        return f"{self.bps} bps for model {self.model_id}"
