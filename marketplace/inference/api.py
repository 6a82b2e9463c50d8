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
from marketplace.api_parts import ThrottledByMethod, Uint256StringField, client_of
from marketplace.inference import events, selectors, services, streams
from marketplace.inference.errors import JobStreamsBusyError
from marketplace.inference.models import Isolation, Job, JobState
from marketplace.inference.paging import JobPagination
from marketplace.inference.preferences import prefer_wait
from marketplace.inference.receipts import selectors as receipts
from marketplace.inference.receipts.api import receipt_links
from marketplace.inference.receipts.issuing import acceptance_issue
from marketplace.inference.trials import TrialWish
from marketplace.rate_limit import rate_limit_headers

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
    trial = serializers.BooleanField(
        required=False,
        allow_null=True,
        help_text="A trial under no licence. Without it, an account that never had a licence of the model gets one "
        "where the model may be tried.",
    )
    release = serializers.RegexField(
        r"^0x[0-9a-fA-F]{64}\Z", required=False, allow_null=True, help_text="Pins a release by its digest."
    )
    store = serializers.BooleanField(
        default=True, help_text="False: keep nothing but for handing the result out once, within minutes."
    )
    isolation = serializers.ChoiceField(
        Isolation.choices,
        default=Isolation.SHARED,
        help_text="dedicated: in a runner that serves no other licence, which may have to be started first.",
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
    batch = serializers.UUIDField(source="batch_id", allow_null=True)
    inputs = serializers.IntegerField(source="input_count", help_text="How many.")
    store = serializers.BooleanField(
        help_text="False: inputs go when the job ends, outputs when they were handed out once, or minutes later."
    )
    isolation = serializers.ChoiceField(
        Isolation.choices,
        help_text="dedicated: in a runner of its licence alone, as asked for or as the model requires.",
    )
    payload_until = serializers.DateTimeField(
        source="payload.delete_at", default=None, allow_null=True, help_text="When inputs and outputs are deleted."
    )


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
    output_salt = serializers.CharField(
        help_text="Of a job that stores nothing, with its outputs: it opens their hash in the receipt. Else empty: "
        "`receipt.opening_url` has it."
    )


class AcceptedJobSerializer(JobSerializer):
    acceptance = serializers.JSONField(
        allow_null=True,
        help_text="The signed acceptance, a file for `weighhouse verify`; null where the site has no key.",
    )
    input_salt = serializers.CharField(help_text="With the inputs in their final form, this opens the input hash.")


def job_body(job: Job) -> dict[str, Any]:
    """A job as the API shows it to its owner. Of a job that stores nothing this hands its outputs out."""
    summary = JobSummarySerializer(job).data
    # The salt goes with what is handed out once.
    salt = "" if job.store else receipts.job_salts(job).output
    found = services.job_hand_out(job)
    extra = {
        "outputs": found.outputs if found else None,
        "usage": found.usage if found else None,
        "fingerprint": job.fingerprint,
        "timings": job.timings,
        "receipt": receipt_links(job),
        "output_salt": salt if found and not job.store else "",
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


def signed_body(job: Job) -> dict[str, Any]:
    """What the answer to a request adds to its job: what the site signs for having taken it on.

    Comes before the job is waited for: the salt of one that stores nothing goes when it ends.
    """
    return {"acceptance": acceptance_issue(job=job), "input_salt": receipts.job_salts(job).input}


class AnyQuoteSerializer(serializers.Serializer[Any]):
    """What a quote says, of a job or of a batch."""

    accepted = serializers.BooleanField()
    error = serializers.JSONField(allow_null=True, help_text="`code`, `message` and `retryable` of a refusal.")
    release = serializers.CharField(allow_null=True)
    licence = Uint256StringField(source="licence_id", allow_null=True, help_text="Which one would be used.")
    calls = serializers.IntegerField(allow_null=True, help_text="What it costs, if it succeeds.")
    left = serializers.IntegerField(
        allow_null=True, help_text="Calls of the licence, or trial calls of today, left after it; null: not limited."
    )
    key_left = serializers.IntegerField(allow_null=True, help_text="The same for the API key that asks.")


class QuoteSerializer(AnyQuoteSerializer):
    """What the same request to `POST /api/v1/jobs` would come to."""

    trial = serializers.BooleanField()


def request_read(request: Request) -> dict[str, Any]:
    """The fields of the body of a job."""
    form = JobCreateSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


def request_of(request: Request, given: dict[str, Any]) -> dict[str, Any]:
    """What creating and quoting take of the body of a job or a batch."""
    return {
        "account": caller(request),
        "model_id": given["model"],
        "inputs": given["inputs"],
        "parameters": given.get("parameters"),
        "licence_id": given.get("licence"),
        "release_digest": given.get("release"),
    }


def _job_request_of(request: Request, given: dict[str, Any]) -> dict[str, Any]:
    """The same of a job, which may be a trial."""
    trial = TrialWish(client_of(request), given.get("trial"))
    return {**request_of(request, given), "isolation": given["isolation"], "trial": trial}


def _accepted_headers(job: Job, *, is_new: bool) -> dict[str, str]:
    """Where the job is, what is left of its licence's rate, and whether an Idempotency-Key named it already."""
    limit = selectors.rate_limit_of(job)
    headers = {"Location": f"/api/v1/jobs/{job.pk}"} | (rate_limit_headers(limit) if limit else {})
    return headers if is_new else {**headers, "Idempotent-Replay": "true"}


def _accepted(job: Job, *, is_new: bool, headers: dict[str, str], signed: dict[str, Any]) -> Response:
    """202 while the job is open; the ended job, outputs included, as 201, or as 200 where it was there before."""
    body = {**job_body(job), **signed}
    if job.is_open:
        return Response(body, status=status.HTTP_202_ACCEPTED, headers={**headers, "Retry-After": "1"})
    code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
    return Response(body, status=code, headers={**headers, "Cache-Control": "no-store"})


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
        responses={200: AcceptedJobSerializer, 201: AcceptedJobSerializer, 202: AcceptedJobSerializer},
    )
    def post(self, request: Request) -> Response:
        """Queue a job. The same Idempotency-Key with the same request gives the same job, as 200 once it has ended.

        With `Prefer: wait=n` the answer is the ended job (201, or 200 where it is known) if it ends within n seconds.
        """
        given = request_read(request)
        job, is_new = services.job_create(
            **_job_request_of(request, given),
            idempotency_key=request.headers.get("Idempotency-Key"),
            store=given["store"],
        )
        signed, headers = signed_body(job), _accepted_headers(job, is_new=is_new)
        wait_s = prefer_wait(request.headers.get("Prefer"))
        if wait_s is not None and _has_waited(job, wait_s):
            headers["Preference-Applied"] = f"wait={wait_s}"
            job = selectors.job_get(account=caller(request), job_id=job.pk)
        return _accepted(job, is_new=is_new, headers=headers, signed=signed)


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
        quote = services.job_quote(**_job_request_of(request, request_read(request)))
        return Response(QuoteSerializer(quote).data, headers={"Cache-Control": "no-store"})


class JobView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="job_get", tags=["jobs"], responses=JobSerializer)
    def get(self, request: Request, job_id: UUID) -> Response:
        """One job of the account, with its outputs while they are kept."""
        job = selectors.job_get(account=caller(request), job_id=job_id)
        # A HEAD shows no outputs, so that it must not use up those that are handed out once.
        body = job_body(job) if request.method == "GET" else JobSummarySerializer(job).data
        return Response(body, headers={"Cache-Control": "no-store"})


class JobCancelView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="job_cancel", tags=["jobs"], request=None, responses=JobSerializer)
    def post(self, request: Request, job_id: UUID) -> Response:
        """Cancel an open job. No call of a licence is counted."""
        return Response(job_body(services.job_cancel(account=caller(request), job_id=job_id)))


class JobRetryView(ThrottledByMethod):
    required_scope = "run"
    throttle_scopes = {"POST": "job"}

    @extend_schema(
        operation_id="job_retry",
        tags=["jobs"],
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=None,
        responses={200: AcceptedJobSerializer, 202: AcceptedJobSerializer},
    )
    def post(self, request: Request, job_id: UUID) -> Response:
        """Queue a new job with the inputs of one that has ended, while they are kept."""
        key = request.headers.get("Idempotency-Key")
        job, is_new = services.job_again(
            account=caller(request), job_id=job_id, client=client_of(request), idempotency_key=key
        )
        headers = _accepted_headers(job, is_new=is_new)
        return _accepted(job, is_new=is_new, headers=headers, signed=signed_body(job))


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
