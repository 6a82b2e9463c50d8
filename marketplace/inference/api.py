"""`/api/v1/jobs`: run a model under a licence."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.authentication import caller
from marketplace.accounts.permissions import IsAccountOrReadOnly
from marketplace.api_parts import KeysetPagination, ThrottledByMethod, Uint256StringField, client_of
from marketplace.inference import selectors, services, trials
from marketplace.inference.models import Job, JobState
from marketplace.inference.receipts import selectors as receipts
from marketplace.inference.receipts.api import receipt_links
from marketplace.inference.receipts.issuing import acceptance_issue
from marketplace.inference.trials import TrialWish
from marketplace.rate_limit import rate_limit_headers
from models_registry import selectors as registry

EXAMPLE = OpenApiExample(
    "Embed a sentence",
    value={"model": "1", "inputs": ["A weigh house certified goods before they were traded."]},
    request_only=True,
)


@extend_schema_field(
    {"oneOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
)
class InputsField(serializers.JSONField):
    """One text or a list of them; the model's task says which and how long."""


@extend_schema_field({"type": "object", "additionalProperties": True})
class ParametersField(serializers.JSONField):
    """Parameters of the model's task."""


class JobCreateSerializer(serializers.Serializer[Any]):
    model = Uint256StringField()
    inputs = InputsField()
    parameters = ParametersField(required=False, allow_null=True)
    licence = Uint256StringField(
        required=False, allow_null=True, help_text="Without it, the best of the account's licences is taken."
    )
    trial = serializers.BooleanField(
        required=False,
        allow_null=True,
        help_text="A trial under no licence. Without it, an account that never had a licence of the model gets one "
        "where the model may be tried.",
    )
    release = serializers.RegexField(
        r"^0x[0-9a-fA-F]{64}\Z", required=False, allow_null=True, help_text="Pins a release by its digest."
    )


class JobSummarySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    state = serializers.ChoiceField(JobState.choices)
    model = Uint256StringField(source="model_id")
    licence = Uint256StringField(source="licence_id", allow_null=True, help_text="Null of a trial.")
    trial = serializers.BooleanField(source="is_trial")
    release = serializers.CharField(source="release_digest")
    task = serializers.CharField()
    error = serializers.JSONField(allow_null=True, help_text="`code` and `message` of what went wrong last.")
    attempts = serializers.IntegerField()
    call = serializers.CharField(
        source="call.state", allow_null=True, help_text="reserved, settled (counted) or released."
    )
    calls = serializers.IntegerField(source="call.calls", help_text="What the job costs, if it succeeds.")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class ReceiptLinksSerializer(serializers.Serializer[Any]):
    url = serializers.CharField()
    opening_url = serializers.CharField(help_text="Salts, and input and output while they are kept.")
    issued_at = serializers.DateTimeField(allow_null=True)
    anchored_at = serializers.DateTimeField(allow_null=True, help_text="When its batch was anchored on chain.")


class JobSerializer(JobSummarySerializer):
    outputs = serializers.JSONField(allow_null=True, help_text="One per input; null until the job succeeded.")
    usage = serializers.JSONField(allow_null=True)
    fingerprint = serializers.JSONField(allow_null=True, help_text="What ran the job, as its runner states it.")
    timings = serializers.JSONField(allow_null=True, help_text="In seconds.")
    receipt = ReceiptLinksSerializer(allow_null=True, help_text="Where the job's receipt is, once it has ended.")
    payload_until = serializers.DateTimeField(allow_null=True, help_text="When inputs and outputs are deleted.")


class AcceptedJobSerializer(JobSerializer):
    acceptance = serializers.JSONField(
        allow_null=True,
        help_text="The signed acceptance, a file for `weighhouse verify`; null where the site has no key.",
    )
    input_salt = serializers.CharField(help_text="With the inputs in their final form, this opens the input hash.")


def job_body(job: Job) -> dict[str, Any]:
    """A job as the API shows it to its owner."""
    found = selectors.job_outputs(job)
    payload = getattr(job, "payload", None)
    extra = {
        "outputs": found.outputs if found else None,
        "usage": found.usage if found else None,
        "fingerprint": job.fingerprint,
        "timings": job.timings,
        "receipt": receipt_links(job),
        "payload_until": payload.delete_at if payload else None,
    }
    return {**JobSummarySerializer(job).data, **extra}


def accepted_body(job: Job) -> dict[str, Any]:
    """A job as the answer to its request shows it: with what the site signed for having taken it on."""
    receipt = receipts.receipt_get(job)
    salt = "" if receipt is None else receipts.salt_read(job, receipt.input_salt)
    return {**job_body(job), "acceptance": acceptance_issue(job=job), "input_salt": salt}


class QuoteSerializer(serializers.Serializer[Any]):
    """What the same request to `POST /api/v1/jobs` would come to."""

    accepted = serializers.BooleanField()
    error = serializers.JSONField(allow_null=True, help_text="`code`, `message` and `retryable` of a refusal.")
    release = serializers.CharField(allow_null=True)
    licence = Uint256StringField(source="licence_id", allow_null=True, help_text="Which one would be used.")
    trial = serializers.BooleanField()
    calls = serializers.IntegerField(allow_null=True, help_text="What it costs, if it succeeds.")
    left = serializers.IntegerField(
        allow_null=True, help_text="Calls of the licence, or trial calls of today, left after it; null: not limited."
    )
    key_left = serializers.IntegerField(allow_null=True, help_text="The same for the API key that asks.")


def request_of(request: Request) -> dict[str, Any]:
    """The body of a job, as `services.job_create` and `services.job_quote` take it."""
    form = JobCreateSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    given = form.validated_data
    return {
        "account": caller(request),
        "model_id": given["model"],
        "inputs": given["inputs"],
        "parameters": given.get("parameters"),
        "licence_id": given.get("licence"),
        "release_digest": given.get("release"),
        "trial": TrialWish(client_of(request), given.get("trial")),
    }


class TrialsSerializer(serializers.Serializer[Any]):
    """Whether a model may be tried without a licence."""

    allowed = serializers.BooleanField()


class TrialsView(APIView):
    permission_classes = (IsAccountOrReadOnly,)
    required_scope = "publish"

    @extend_schema(operation_id="model_trials_get", tags=["models"], responses=TrialsSerializer)
    def get(self, request: Request, model_id: int) -> Response:
        """Whether the model may be tried without a licence."""
        registry.model_owner(model_id)
        return Response({"allowed": trials.trials_are_offered(model_id)})

    @extend_schema(
        operation_id="model_trials_set", tags=["models"], request=TrialsSerializer, responses=TrialsSerializer
    )
    def put(self, request: Request, model_id: int) -> Response:
        """Allow or refuse trials, as the model's owner. Without trials of the site there are none all the same."""
        form = TrialsSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        trials.trials_allow(account=caller(request), model_id=model_id, allowed=form.validated_data["allowed"])
        return Response({"allowed": trials.trials_are_offered(model_id)})


class JobListView(ThrottledByMethod, GenericAPIView[Job]):
    required_scope = "run"
    pagination_class = KeysetPagination
    serializer_class = JobSummarySerializer

    throttle_scopes = {"POST": "job"}

    @extend_schema(operation_id="job_list", tags=["jobs"], responses=JobSummarySerializer(many=True))
    def get(self, request: Request) -> Response:
        """The account's jobs, newest first, without their outputs."""
        page = self.paginate_queryset(selectors.job_list(caller(request)))
        return self.get_paginated_response(JobSummarySerializer(page, many=True).data)

    @extend_schema(
        operation_id="job_create",
        tags=["jobs"],
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=JobCreateSerializer,
        examples=[EXAMPLE],
        responses={202: AcceptedJobSerializer},
    )
    def post(self, request: Request) -> Response:
        """Queue a job. The same Idempotency-Key with the same request gives the same job."""
        job, is_new = services.job_create(**request_of(request), idempotency_key=request.headers.get("Idempotency-Key"))
        headers = {"Location": f"/api/v1/jobs/{job.pk}", "Retry-After": "1"}
        if not is_new:
            headers["Idempotent-Replay"] = "true"
        limit = selectors.rate_limit_of(job)
        if limit is not None:
            headers |= rate_limit_headers(limit)
        return Response(accepted_body(job), status=status.HTTP_202_ACCEPTED, headers=headers)


class JobQuoteView(APIView):
    required_scope = "run"
    throttle_scope = "quote"

    @extend_schema(
        operation_id="job_quote",
        tags=["jobs"],
        request=JobCreateSerializer,
        examples=[EXAMPLE],
        responses=QuoteSerializer,
    )
    def post(self, request: Request) -> Response:
        """What a job would cost and whether it would be accepted. Changes nothing."""
        quote = services.job_quote(**request_of(request))
        return Response(QuoteSerializer(quote).data, headers={"Cache-Control": "no-store"})


class JobView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="job_get", tags=["jobs"], responses=JobSerializer)
    def get(self, request: Request, job_id: UUID) -> Response:
        """One job of the account, with its outputs while they are kept."""
        job = selectors.job_get(account=caller(request), job_id=job_id)
        return Response(job_body(job), headers={"Cache-Control": "no-store"})


class JobCancelView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="job_cancel", tags=["jobs"], request=None, responses=JobSerializer)
    def post(self, request: Request, job_id: UUID) -> Response:
        """Cancel an open job. No call of a licence is counted."""
        return Response(job_body(services.job_cancel(account=caller(request), job_id=job_id)))


class JobPayloadView(APIView):
    required_scope = "run"

    @extend_schema(
        operation_id="job_payload_delete",
        tags=["jobs"],
        parameters=[OpenApiParameter("salts", str, enum=["delete", "keep"], description="Without it, delete.")],
        responses={204: None},
    )
    def delete(self, request: Request, job_id: UUID) -> Response:
        """Delete inputs and outputs of an ended job at once, and the salts of its receipt unless they are to be kept.

        The job itself, its call and its receipt stay on record.
        """
        keep = request.query_params.get("salts") == "keep"
        services.job_payload_delete(account=caller(request), job_id=job_id, keep_salts=keep)
        return Response(status=status.HTTP_204_NO_CONTENT)
