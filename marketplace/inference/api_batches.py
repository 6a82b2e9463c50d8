"""`/api/v1/batches`: many inputs of one model in one request."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.authentication import caller
from marketplace.api_parts import KeysetPagination, ThrottledByMethod, Uint256StringField
from marketplace.inference import batches, services
from marketplace.inference.api import AnyQuoteSerializer, JobCreateSerializer, request_of
from marketplace.inference.models import Batch, Isolation, JobState
from marketplace.inference.receipts.issuing import acceptances_issue
from marketplace.rate_limit import rate_limit_headers
from models_registry.api_fields import BoundedListField

BATCH_STATES = ("open", "cancelling", "ended")


class BatchInputsField(BoundedListField):
    """Refused as `services.batch_create` refuses them, before they are looked at one by one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=settings.BATCH_MAX_INPUTS, **options)

    def length_check(self, data: list[Any]) -> None:
        services.batch_size_check(data)


class BatchCreateSerializer(JobCreateSerializer):
    inputs = BatchInputsField(  # type: ignore[assignment]
        child=serializers.JSONField(allow_null=True), help_text="1 to 1,000 inputs, each as the model's task takes one."
    )
    trial = serializers.BooleanField(required=False, allow_null=True, help_text="A batch is no trial: not true.")

    def validate_trial(self, value: bool | None) -> bool | None:
        if value:
            raise serializers.ValidationError("A batch is no trial. Try the model with a job, or leave this out.")
        return value


class BatchSummarySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    state = serializers.ChoiceField(BATCH_STATES)
    model = Uint256StringField(source="model_id")
    licence = Uint256StringField(source="licence_id")
    release = serializers.CharField(source="release_digest")
    task = serializers.CharField()
    inputs = serializers.IntegerField(source="input_count")
    jobs = serializers.IntegerField(source="job_count")
    store = serializers.BooleanField()
    isolation = serializers.ChoiceField(Isolation.choices)
    created_at = serializers.DateTimeField()
    cancelled_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class BatchSerializer(BatchSummarySerializer):
    progress = serializers.FloatField(help_text="From 0 to 1: the part of the inputs that has ended.")
    inputs_by_state = serializers.DictField(child=serializers.IntegerField())
    jobs_by_state = serializers.DictField(child=serializers.IntegerField())
    calls_by_state = serializers.DictField(
        child=serializers.IntegerField(), help_text="What it costs: `reserved`, `settled` (counted), `released`."
    )
    results_until = serializers.DateTimeField(
        allow_null=True, help_text="When the last inputs and outputs are deleted; null where none are kept."
    )
    acceptances_url = serializers.CharField(help_text="What the site signed for having taken its jobs on.")


class BatchAcceptanceSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="The job's first input, from 0.")
    inputs = serializers.IntegerField(help_text="How many.")
    job = serializers.UUIDField()
    acceptance = serializers.JSONField(
        allow_null=True, help_text="Signed before the job began, a file for `weighhouse verify`; null where it was not."
    )


class BatchAcceptancePageSerializer(serializers.Serializer[Any]):
    results = BatchAcceptanceSerializer(many=True)
    next = serializers.URLField(allow_null=True)


class BatchResultSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="Which input, from 0.")
    job = serializers.UUIDField()
    state = serializers.ChoiceField(JobState.choices)
    output = serializers.JSONField(allow_null=True)
    error = serializers.JSONField(allow_null=True)


class BatchResultPageSerializer(serializers.Serializer[Any]):
    results = BatchResultSerializer(many=True)
    results_until = serializers.DateTimeField(allow_null=True)
    next = serializers.URLField(allow_null=True)


class BatchResultQuerySerializer(serializers.Serializer[Any]):
    after = serializers.IntegerField(min_value=0, max_value=1_000_000, default=0)
    limit = serializers.IntegerField(min_value=1, max_value=200, default=100)


class BatchQuoteSerializer(AnyQuoteSerializer):
    """What the same request to `POST /api/v1/batches` would come to."""

    jobs = serializers.IntegerField(allow_null=True, help_text="Into how many it divides.")


def request_read(request: Request) -> dict[str, Any]:
    """The fields of the body of a batch."""
    form = BatchCreateSerializer(data=request.data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


def batch_body(batch: Batch) -> dict[str, Any]:
    """A batch as the API shows it to its owner."""
    found = batches.batch_progress(batch)
    return {
        **BatchSummarySerializer(batch).data,
        "progress": found.ended_inputs / batch.input_count,
        "inputs_by_state": found.inputs,
        "jobs_by_state": found.jobs,
        "calls_by_state": found.calls,
        "results_until": found.results_until,
        "acceptances_url": f"/api/v1/batches/{batch.pk}/acceptances",
    }


def following_of(request: Request, batch: Batch, query: dict[str, Any]) -> str | None:
    """The page of a batch after the one that was asked for; `None` where that was the last."""
    after, limit = query["after"] + query["limit"], query["limit"]
    if after >= batch.input_count:
        return None
    return str(request.build_absolute_uri("?" + urlencode({"after": after, "limit": limit})))


def page_headers(following: str | None) -> dict[str, str]:
    return {"Cache-Control": "no-store"} | ({"Link": f'<{following}>; rel="next"'} if following else {})


class BatchListView(ThrottledByMethod, GenericAPIView[Batch]):
    required_scope = "run"
    pagination_class = KeysetPagination
    serializer_class = BatchSummarySerializer
    throttle_scopes = {"POST": "batch"}

    @extend_schema(operation_id="batch_list", tags=["batches"], responses=BatchSummarySerializer(many=True))
    def get(self, request: Request) -> Response:
        """The account's batches, newest first."""
        page = self.paginate_queryset(batches.batch_list(caller(request)))
        return self.get_paginated_response(BatchSummarySerializer(page, many=True).data)

    @extend_schema(
        operation_id="batch_create",
        tags=["batches"],
        parameters=[OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER)],
        request=BatchCreateSerializer,
        responses={202: BatchSerializer},
    )
    def post(self, request: Request) -> Response:
        """Queue up to 1,000 inputs as a batch of jobs: all of them or none."""
        given = request_read(request)
        batch, is_new = services.batch_create(
            **request_of(request, given),
            idempotency_key=request.headers.get("Idempotency-Key"),
            store=given["store"],
            isolation=given["isolation"],
        )
        headers = {"Location": f"/api/v1/batches/{batch.pk}", "Retry-After": "5"}
        limit = batches.batch_rate_limit(batch)
        if limit is not None:
            headers |= rate_limit_headers(limit)
        if not is_new:
            headers["Idempotent-Replay"] = "true"
        return Response(batch_body(batch), status=status.HTTP_202_ACCEPTED, headers=headers)


class BatchQuoteView(APIView):
    required_scope = "run"
    throttle_scope = "batch-quote"

    @extend_schema(
        operation_id="batch_quote", tags=["batches"], request=BatchCreateSerializer, responses=BatchQuoteSerializer
    )
    def post(self, request: Request) -> Response:
        """What a batch would cost and whether it would be accepted. Changes nothing."""
        quote = services.batch_quote(**request_of(request, request_read(request)))
        return Response(BatchQuoteSerializer(quote).data, headers={"Cache-Control": "no-store"})


class BatchView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="batch_get", tags=["batches"], responses=BatchSerializer)
    def get(self, request: Request, batch_id: UUID) -> Response:
        """How far one batch is."""
        batch = batches.batch_get(account=caller(request), batch_id=batch_id)
        return Response(batch_body(batch), headers={"Cache-Control": "no-store"})


class BatchResultsView(APIView):
    required_scope = "run"

    @extend_schema(
        operation_id="batch_results",
        tags=["batches"],
        parameters=[BatchResultQuerySerializer],
        responses=BatchResultPageSerializer,
    )
    def get(self, request: Request, batch_id: UUID) -> Response:
        """Results in the order of the inputs, also while the batch is open. `next` leads to the following ones."""
        batch = batches.batch_get(account=caller(request), batch_id=batch_id)
        query = BatchResultQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        after, limit = query.validated_data["after"], query.validated_data["limit"]
        # A HEAD shows no results, so that it must not use up those that are handed out once.
        results = services.batch_hand_out(batch, after=after, limit=limit) if request.method == "GET" else []
        following = following_of(request, batch, query.validated_data)
        until = batches.batch_progress(batch).results_until
        page = BatchResultPageSerializer({"results": results, "results_until": until, "next": following})
        return Response(page.data, headers=page_headers(following))


class BatchAcceptancesView(APIView):
    required_scope = "run"

    @extend_schema(
        operation_id="batch_acceptances",
        tags=["batches"],
        parameters=[BatchResultQuerySerializer],
        responses=BatchAcceptancePageSerializer,
    )
    def get(self, request: Request, batch_id: UUID) -> Response:
        """The signed acceptances of a batch's jobs, each once: of those whose first input is on the page."""
        batch = batches.batch_get(account=caller(request), batch_id=batch_id)
        query = BatchResultQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        after, limit = query.validated_data["after"], query.validated_data["limit"]
        jobs = [job for job in batches.batch_jobs(batch, after=after, limit=limit) if job.batch_position >= after]
        signed = acceptances_issue(jobs=jobs)
        rows = [
            {"index": job.batch_position, "inputs": job.input_count, "job": job.pk, "acceptance": signed[job.pk]}
            for job in jobs
        ]
        following = following_of(request, batch, query.validated_data)
        page = BatchAcceptancePageSerializer({"results": rows, "next": following})
        return Response(page.data, headers=page_headers(following))


class BatchCancelView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="batch_cancel", tags=["batches"], request=None, responses=BatchSerializer)
    def post(self, request: Request, batch_id: UUID) -> Response:
        """Cancel what has not begun; what runs may run to its end. Calls of cancelled jobs are not counted."""
        return Response(batch_body(services.batch_cancel(account=caller(request), batch_id=batch_id)))
