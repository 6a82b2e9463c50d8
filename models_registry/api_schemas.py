"""Shapes of the registry's API: what is accepted, what is answered. On-chain integers are decimal strings."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from weighhouse.core.manifest import DTYPES, LIBRARIES

from chain.fields import UINT256_MAX
from models_registry.api_fields import BoundedListField
from models_registry.models import PublishedRelease, Release, ReleaseState, Upload
from models_registry.runtime.tasks import TASKS
from models_registry.selectors import PAGE_LIMIT, ModelSummary

EXAMPLE_DIGEST = "0x" + "3d" * 32
EXAMPLE_CID = "bafybeiazreqhrchv5yhbisdyruow35yyjxkswu36fkxymg4zy7lbn2sfle"


@extend_schema_field({"type": "string", "pattern": "^[0-9]{1,78}$", "example": "1"})
class ModelIdField(serializers.Field[int, str, str, int]):
    """A model's on-chain id: a decimal string, an `int` in Python."""

    def to_internal_value(self, data: Any) -> int:
        if not (isinstance(data, str) and data.isascii() and data.isdecimal() and len(data) <= 78):
            raise serializers.ValidationError("Expected a model's id as a decimal string.")
        if int(data) > UINT256_MAX:
            raise serializers.ValidationError("Expected a model's id of at most 2^256 - 1.")
        return int(data)

    def to_representation(self, value: int) -> str:
        return str(value)


class RefusalSerializer(serializers.Serializer[dict[str, str]]):
    """Why a release was refused: which file, a stable code, what was found, what to do."""

    path = serializers.CharField(allow_blank=True)
    code = serializers.CharField()
    found = serializers.CharField()
    remedy = serializers.CharField()


class UploadMetadataSerializer(serializers.Serializer[dict[str, Any]]):
    """What a publisher says about the release to come."""

    name = serializers.CharField(max_length=80)
    task = serializers.ChoiceField(choices=sorted(TASKS))
    licence = serializers.CharField(max_length=200, help_text="An SPDX expression, such as Apache-2.0.")
    summary = serializers.CharField(max_length=280, required=False, allow_blank=True, default="")
    library = serializers.ChoiceField(choices=LIBRARIES, required=False, default="transformers")
    dtype = serializers.ChoiceField(choices=DTYPES, required=False, default="float32")
    base_models = BoundedListField(
        child=serializers.RegexField(r"^0x[0-9a-f]{64}\Z"),
        required=False,
        default=list,
        max_length=32,
        help_text="Digests of the releases that this one derives from.",
    )
    model = ModelIdField(
        required=False, allow_null=True, default=None, help_text="The model that this is a new release of."
    )


class UploadedFileSerializer(serializers.Serializer[Any]):
    """A file that was received whole."""

    path = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()


class UploadSerializer(serializers.Serializer[Upload]):
    """An upload with the files that it holds so far."""

    id = serializers.UUIDField()
    publisher = serializers.CharField()
    name = serializers.CharField()
    summary = serializers.CharField(allow_blank=True)
    task = serializers.CharField()
    licence = serializers.CharField()
    library = serializers.CharField()
    dtype = serializers.CharField()
    base_models = serializers.ListField(child=serializers.CharField())
    model = ModelIdField(source="model_id", allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    files = UploadedFileSerializer(source="files.all", many=True)


class ReleaseSubmitSerializer(serializers.Serializer[dict[str, Any]]):
    """Which upload becomes a release."""

    upload = serializers.UUIDField()
    expected_cid = serializers.CharField(
        required=False,
        allow_null=True,
        default=None,
        max_length=59,
        help_text="The root CID that you computed; a difference is refused.",
    )


# A transaction for the publisher's wallet to sign; nonce and fees are the wallet's.
_TRANSACTION = {
    "type": ["object", "null"],
    "properties": {name: {"type": "string"} for name in ("chain_id", "to", "data", "value")},
    "required": ["chain_id", "to", "data", "value"],
}


class PublishedSerializer(serializers.Serializer[PublishedRelease]):
    """Where the chain announced a release."""

    model = ModelIdField(source="model.model_id")
    number = serializers.IntegerField()
    is_listed = serializers.BooleanField(source="is_listable")


class ReleaseSerializer(serializers.Serializer[Release]):
    """A release: its state, what was refused, and its root CID and digest."""

    id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=ReleaseState.choices)
    notice = serializers.CharField(allow_blank=True, help_text="While checking: what the release waits for.")
    refusals = RefusalSerializer(many=True)
    digest = serializers.CharField()
    root_cid = serializers.CharField()
    upload = serializers.UUIDField(source="upload_id", allow_null=True)
    publisher = serializers.CharField(allow_blank=True)
    name = serializers.CharField(allow_blank=True)
    task = serializers.CharField(allow_blank=True)
    licence = serializers.CharField(allow_blank=True)
    total_bytes = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    checked_at = serializers.DateTimeField(allow_null=True)
    published = PublishedSerializer(source="newest_announcements", many=True)
    transaction = serializers.SerializerMethodField(help_text="Once the release is ready, for its publisher.")

    @extend_schema_field(_TRANSACTION)
    def get_transaction(self, release: Release) -> None:
        """The view fills it in: it depends on who asks."""


class ModelSerializer(serializers.Serializer[ModelSummary]):
    """A model with the release that it shows."""

    id = ModelIdField(source="model_id")
    name = serializers.CharField()
    summary = serializers.CharField(allow_blank=True)
    task = serializers.CharField(allow_blank=True)
    licence = serializers.CharField(allow_blank=True)
    publisher = serializers.CharField()
    owner = serializers.CharField()
    is_listed = serializers.BooleanField()
    notice = serializers.CharField(allow_blank=True)
    digest = serializers.CharField(allow_blank=True)
    root_cid = serializers.CharField(allow_blank=True)
    number = serializers.IntegerField()
    published_at = serializers.DateTimeField()


class ModelQuerySerializer(serializers.Serializer[Any]):
    """The query of a list of models."""

    q = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    task = serializers.ChoiceField(choices=sorted(TASKS), required=False, allow_blank=True, default="")
    owner = serializers.RegexField(r"^(0x[0-9a-fA-F]{40})?\Z", required=False, allow_blank=True, default="")
    after = serializers.CharField(max_length=78, required=False, allow_blank=True, default="")
    limit = serializers.IntegerField(min_value=1, max_value=PAGE_LIMIT, required=False, default=24)


class ModelReleaseSerializer(serializers.Serializer[PublishedRelease]):
    """One release of a model, as the chain announced it and as this site knows it."""

    number = serializers.IntegerField()
    digest = serializers.CharField()
    publisher = serializers.CharField()
    is_listed = serializers.BooleanField(source="is_listable")
    published_at = serializers.DateTimeField(source="event.block_time")


class ModelDetailSerializer(ModelSerializer):
    """A model with its card (Markdown, untrusted) and its newest releases, a hundred at most."""

    card = serializers.CharField(allow_blank=True)
    releases = ModelReleaseSerializer(many=True)


class ModelPageSerializer(serializers.Serializer[Any]):
    """Models, newest first. `next_cursor` is the `after` of the next page, empty at the end."""

    results = ModelSerializer(source="models", many=True)
    next_cursor = serializers.CharField(allow_blank=True)
