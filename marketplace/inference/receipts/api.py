"""`/api/v1/jobs/{id}/receipt` and the site's worker keys."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from weighhouse.core import canonical

from marketplace.accounts.authentication import caller
from marketplace.inference import selectors as jobs
from marketplace.inference.errors import JobNotFinishedError
from marketplace.inference.models import Job, Receipt
from marketplace.inference.receipts import selectors
from marketplace.inference.receipts.errors import ReceiptUnavailableError
from marketplace.inference.receipts.issuing import acceptance_issue, job_is_promised, receipt_issue


class OpenedSerializer(serializers.Serializer[Any]):
    salt = serializers.CharField(help_text="32 bytes as 0x hex.")
    value = serializers.JSONField(allow_null=True, help_text="What the hash commits to; null where it is deleted.")


class OpeningSerializer(serializers.Serializer[Any]):
    input = OpenedSerializer(allow_null=True, help_text="Null where the salt was deleted.")
    output = OpenedSerializer(allow_null=True)


class SignedSerializer(serializers.Serializer[Any]):
    message = serializers.DictField(child=serializers.CharField())
    signature = serializers.CharField()


class WorkerKeySerializer(serializers.Serializer[Any]):
    worker_key = serializers.CharField()
    chain_id = serializers.CharField()
    market = serializers.CharField()
    delegation = SignedSerializer()
    revocation = SignedSerializer(allow_null=True)
    retired = serializers.BooleanField(help_text="It signs no more; what it signed stays good.")


class WorkerKeysSerializer(serializers.Serializer[Any]):
    results = WorkerKeySerializer(many=True)


class JobReceiptView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="job_receipt_get", tags=["jobs"], responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, job_id: UUID) -> HttpResponse:
        """The signed receipt of an ended job as a file, with its proof once its batch is anchored. Keep every byte."""
        job = jobs.job_get(account=caller(request), job_id=job_id)
        if job.is_open:
            raise JobNotFinishedError("The job has not ended, so there is nothing to sign yet.", state=job.state)
        receipt_issue(job_id=job.pk)
        receipt = selectors.receipt_get(job)
        statement = None if receipt is None else selectors.receipt_statement(receipt)
        if statement is None:
            raise _unavailable(receipt)
        return _file(statement.to_bytes(), f"receipt-{job.pk}.json")


class JobAcceptanceView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="job_acceptance_get", tags=["jobs"], responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, job_id: UUID) -> HttpResponse:
        """The signed acceptance of a job as a file, signed before the job began. Keep every byte."""
        job = jobs.job_get(account=caller(request), job_id=job_id)
        document = acceptance_issue(job=job)
        if document is None:
            receipt = selectors.receipt_get(job)
            raise _unavailable(receipt) if receipt is None or job_is_promised(job) else _too_late()
        return _file(canonical.dumps(document), f"acceptance-{job.pk}.json")


class JobOpeningView(APIView):
    required_scope = "run"

    @extend_schema(operation_id="job_receipt_opening_get", tags=["jobs"], responses=OpeningSerializer)
    def get(self, request: Request, job_id: UUID) -> Response:
        """The salts behind the hashes of a job's statements, with input and output while they are kept."""
        job = jobs.job_get(account=caller(request), job_id=job_id)
        receipt = selectors.receipt_get(job)
        if receipt is None:
            raise _unavailable(receipt)
        return Response(selectors.receipt_opening(job), headers={"Cache-Control": "no-store"})


class WorkerKeysView(APIView):
    permission_classes = (AllowAny,)

    @extend_schema(operation_id="worker_key_list", tags=["jobs"], responses=WorkerKeysSerializer)
    def get(self, request: Request) -> Response:
        """Who may sign for this site's operator, and which keys it took back: what `weighhouse verify --keys` reads."""
        return Response({"results": selectors.worker_keys()})


def receipt_links(job: Job) -> dict[str, Any] | None:
    """Where a job's receipt is, for its body; `None` where it will never have one."""
    receipt = selectors.receipt_get(job)
    if receipt is None:
        return None
    url = f"/api/v1/jobs/{job.pk}/receipt"
    anchored_at = receipt.batch.anchored_at if receipt.batch else None
    return {
        "url": url,
        "opening_url": f"{url}/opening",
        "issued_at": receipt.issued_at,
        "anchored_at": anchored_at,
    }


def _file(content: bytes, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return HttpResponse(content, content_type="application/json", headers=headers)


def _too_late() -> ReceiptUnavailableError:
    return ReceiptUnavailableError(
        "This site had no worker key before the job began, and signs no acceptance afterwards. The job's receipt, once"
        " it has ended, says what became of it."
    )


def _unavailable(receipt: Receipt | None) -> ReceiptUnavailableError:
    if receipt is None:
        return ReceiptUnavailableError("This job was accepted before the site issued receipts.")
    return ReceiptUnavailableError(
        "This site has no worker key that its operator's key delegated to, so it issues no receipts now. It will sign"
        " this one when it has."
    )
