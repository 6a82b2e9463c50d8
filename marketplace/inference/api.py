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
from marketplace.api_parts import KeysetPagination, ThrottledByMethod, Uint256StringField
from marketplace.inference import selectors, services
from marketplace.inference.models import Job, JobState

EXAMPLE = OpenApiExample(
    "Embed a sentence",
    value={"model": "1", "inputs": ["A weigh house certified goods before they were traded."]},
    request_only=True,
)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "minLength": 1},
            {"type": "object", "additionalProperties": True},
            {"type": "array", "items": {}, "minItems": 1},
        ]
    }
)
class InputsField(serializers.JSONField):
    """One input or a list of them: texts, objects or files, as the model's task says."""


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
    release = serializers.RegexField(
        r"^0x[0-9a-fA-F]{64}\Z", required=False, allow_null=True, help_text="Pins a release by its digest."
    )


class JobSummarySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    state = serializers.ChoiceField(JobState.choices)
    model = Uint256StringField(source="model_id")
    licence = Uint256StringField(source="licence_id")
    release = serializers.CharField(source="release_digest")
    task = serializers.CharField()
    error = serializers.JSONField(allow_null=True, help_text="`code` and `message` of what went wrong last.")
    attempts = serializers.IntegerField()
    call = serializers.CharField(
        source="call.state", allow_null=True, help_text="reserved, settled (counted) or released."
    )
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class JobSerializer(JobSummarySerializer):
    outputs = serializers.JSONField(allow_null=True, help_text="One per input; null until the job succeeded.")
    usage = serializers.JSONField(allow_null=True)
    fingerprint = serializers.JSONField(allow_null=True, help_text="What ran the job, as its runner states it.")
    timings = serializers.JSONField(allow_null=True, help_text="In seconds.")
    payload_until = serializers.DateTimeField(allow_null=True, help_text="When inputs and outputs are deleted.")


def job_body(job: Job) -> dict[str, Any]:
    """A job as the API shows it to its owner."""
    found = selectors.job_outputs(job)
    payload = getattr(job, "payload", None)
    extra = {
        "outputs": found.outputs if found else None,
        "usage": found.usage if found else None,
        "fingerprint": job.fingerprint,
        "timings": job.timings,
        "payload_until": payload.delete_at if payload else None,
    }
    return {**JobSummarySerializer(job).data, **extra}


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
        responses={202: JobSerializer},
    )
    def post(self, request: Request) -> Response:
        """Queue a job. The same Idempotency-Key with the same request gives the same job."""
        form = JobCreateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        given = form.validated_data
        job, is_new = services.job_create(
            account=caller(request),
            model_id=given["model"],
            inputs=given["inputs"],
            parameters=given.get("parameters"),
            licence_id=given.get("licence"),
            release_digest=given.get("release"),
            idempotency_key=request.headers.get("Idempotency-Key"),
        )
        headers = {"Location": f"/api/v1/jobs/{job.pk}", "Retry-After": "1"}
        if not is_new:
            headers["Idempotent-Replay"] = "true"
        return Response(job_body(job), status=status.HTTP_202_ACCEPTED, headers=headers)


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
        """Cancel an open job. No call is counted."""
        return Response(job_body(services.job_cancel(account=caller(request), job_id=job_id)))


class JobPayloadView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="job_payload_delete", tags=["jobs"], responses={204: None})
    def delete(self, request: Request, job_id: UUID) -> Response:
        """Delete inputs and outputs of an ended job at once. The job itself and its call stay on record."""
        services.job_payload_delete(account=caller(request), job_id=job_id)
        return Response(status=status.HTTP_204_NO_CONTENT)
