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
from marketplace.api_parts import ThrottledByMethod, Uint256StringField
from marketplace.inference import events, selectors, services, streams
from marketplace.inference.errors import JobStreamsBusyError
from marketplace.inference.models import Job, JobState
from marketplace.inference.paging import JobPagination
from marketplace.inference.preferences import prefer_wait

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
    store = serializers.BooleanField(
        default=True, help_text="False: keep nothing but for handing the result out once, within minutes."
    )


class JobQuerySerializer(serializers.Serializer[Any]):
    """Which jobs a list shows."""

    model = Uint256StringField(required=False, source="model_id")
    licence = Uint256StringField(required=False, source="licence_id")
    state = serializers.ChoiceField(JobState.choices, required=False)
    task = serializers.CharField(max_length=60, required=False)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)
    batch = serializers.UUIDField(required=False, source="batch_id")


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
    batch = serializers.UUIDField(source="batch_id", allow_null=True)
    inputs = serializers.IntegerField(source="input_count", help_text="How many.")
    store = serializers.BooleanField(
        help_text="False: inputs go when the job ends, outputs when they were handed out once, or minutes later."
    )
    payload_until = serializers.DateTimeField(
        source="payload.delete_at", default=None, allow_null=True, help_text="When inputs and outputs are deleted."
    )


class JobSerializer(JobSummarySerializer):
    outputs = serializers.JSONField(allow_null=True, help_text="One per input; null until the job succeeded.")
    usage = serializers.JSONField(allow_null=True)
    fingerprint = serializers.JSONField(allow_null=True, help_text="What ran the job, as its runner states it.")
    timings = serializers.JSONField(allow_null=True, help_text="In seconds.")


def job_body(job: Job) -> dict[str, Any]:
    """A job as the API shows it to its owner. Of a job that stores nothing this hands its outputs out."""
    summary = JobSummarySerializer(job).data
    found = services.job_hand_out(job)
    extra = {
        "outputs": found.outputs if found else None,
        "usage": found.usage if found else None,
        "fingerprint": job.fingerprint,
        "timings": job.timings,
    }
    if found and not job.store:
        extra["payload_until"] = None
    return {**summary, **extra}


def _has_waited(job: Job, wait_s: int) -> bool:
    """Wait for the job's end. False where no more requests may wait: it is a preference, not a condition."""
    try:
        slot = streams.slot_take(job.account_id)
    except JobStreamsBusyError:
        return False
    try:
        events.job_ended_wait(job.pk, wait_s)
    finally:
        slot.release()
    return True


class JobListView(ThrottledByMethod, GenericAPIView[Job]):
    required_scope = "run"
    pagination_class = JobPagination
    serializer_class = JobSummarySerializer

    throttle_scopes = {"POST": "job"}

    @extend_schema(
        operation_id="job_list",
        tags=["jobs"],
        parameters=[JobQuerySerializer],
        responses=JobSummarySerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """The account's jobs, newest first, without their outputs."""
        query = JobQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        chosen = selectors.JobFilter(**query.validated_data)
        page = self.paginate_queryset(selectors.job_list(caller(request), chosen))
        return self.get_paginated_response(JobSummarySerializer(page, many=True).data)

    @extend_schema(
        operation_id="job_create",
        tags=["jobs"],
        parameters=[
            OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER),
            OpenApiParameter("Prefer", str, OpenApiParameter.HEADER, description="`wait=10` waits for the result."),
        ],
        request=JobCreateSerializer,
        examples=[EXAMPLE],
        responses={200: JobSerializer, 201: JobSerializer, 202: JobSerializer},
    )
    def post(self, request: Request) -> Response:
        """Queue a job. The same Idempotency-Key with the same request gives the same job.

        With `Prefer: wait=n` the answer is the ended job (201, or 200 where it is known) if it ends within n seconds.
        """
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
            store=given["store"],
        )
        headers = {"Location": f"/api/v1/jobs/{job.pk}"}
        if not is_new:
            headers["Idempotent-Replay"] = "true"
        wait_s = prefer_wait(request.headers.get("Prefer"))
        if wait_s is not None and _has_waited(job, wait_s):
            headers["Preference-Applied"] = f"wait={wait_s}"
            job = selectors.job_get(account=caller(request), job_id=job.pk)
            if not job.is_open:
                headers["Cache-Control"] = "no-store"
                return Response(job_body(job), status=201 if is_new else 200, headers=headers)
        headers["Retry-After"] = "1"
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


class JobRetryView(ThrottledByMethod):
    required_scope = "run"
    throttle_scopes = {"POST": "job"}

    @extend_schema(
        operation_id="job_retry",
        tags=["jobs"],
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=None,
        responses={202: JobSerializer},
    )
    def post(self, request: Request, job_id: UUID) -> Response:
        """Queue a new job with the inputs of one that has ended, while they are kept."""
        key = request.headers.get("Idempotency-Key")
        job, _ = services.job_again(account=caller(request), job_id=job_id, idempotency_key=key)
        headers = {"Location": f"/api/v1/jobs/{job.pk}", "Retry-After": "1"}
        return Response(job_body(job), status=status.HTTP_202_ACCEPTED, headers=headers)


class JobPayloadView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="job_payload_delete", tags=["jobs"], responses={204: None})
    def delete(self, request: Request, job_id: UUID) -> Response:
        """Delete inputs and outputs of an ended job at once. The job itself and its call stay on record."""
        services.job_payload_delete(account=caller(request), job_id=job_id)
        return Response(status=status.HTTP_204_NO_CONTENT)
