"""Running a model from its page, and the jobs that came of it."""

import uuid
from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from marketplace.accounts.models import Account
from marketplace.api_parts import client_of, on_chain_id
from marketplace.inference import selectors, services
from marketplace.inference.errors import JobNotOpenError
from marketplace.inference.models import Job
from marketplace.inference.paging import Place, place_behind, place_of
from marketplace.inference.receipts.selectors import receipt_get
from marketplace.inference.trials import TrialWish
from marketplace.storefront.forms import JobFilterForm, RunForm
from marketplace.storefront.job_times import job_times
from marketplace.storefront.results import input_text, results_of
from marketplace.storefront.throttle import throttled
from models_registry import selectors as registry
from models_registry.errors import CursorInvalidError
from models_registry.runtime.tasks import TASKS

PAGE_SIZE = 30
NOT_CHANGED = 204
UNPROCESSABLE = 422


@login_required
@require_POST
@throttled("job")
def run(request: HttpRequest, model_id: int) -> HttpResponse:
    """Turn the form into a job. The page's nonce makes a form that is sent twice one job."""
    model = registry.model_get(model_id)
    release = registry.release_latest(model_id)
    form = RunForm(TASKS[release.task], request.POST, request.FILES)
    if not form.is_valid():
        context = {"form": form, "model": model}
        template = "storefront/parts/run_invalid.html" if _is_fragment(request) else "storefront/run_invalid.html"
        return render(request, template, context, status=UNPROCESSABLE)
    job, _ = services.job_create(
        **_wanted(request, model_id, form),
        idempotency_key=f"page-{request.POST.get('nonce', '')[:64]}" if request.POST.get("nonce") else None,
    )
    if not _is_fragment(request):
        return redirect("job", job.pk)
    context = {**_job_context(job), "show_link": True, "nonce": uuid.uuid4().hex, "is_fragment": True}
    return render(request, "storefront/parts/job_started.html", context)


@login_required
@never_cache
@require_POST
@throttled("quote")
def run_quote(request: HttpRequest, model_id: int) -> HttpResponse:
    """What the form would cost if it was sent now."""
    model = registry.model_get(model_id)
    form = RunForm(TASKS[registry.release_latest(model_id).task], request.POST, request.FILES)
    if not form.is_valid():
        context = {"form": form, "model": model}
        template = "storefront/parts/run_invalid.html" if _is_fragment(request) else "storefront/run_invalid.html"
        return render(request, template, context, status=UNPROCESSABLE)
    context = {"quote": services.job_quote(**_wanted(request, model_id, form)), "model": model}
    template = "storefront/parts/quote.html" if _is_fragment(request) else "storefront/quote.html"
    return render(request, template, context)


@login_required
@require_safe
def jobs(request: HttpRequest) -> HttpResponse:
    """The job console: the account's jobs, newest first, by the filter's fields."""
    form = JobFilterForm(request.GET)
    rows = selectors.job_list(_account(request), form.chosen())
    place = _place(request.GET.get("cursor", ""))
    found = list((place.rows(rows) if place else rows)[: PAGE_SIZE + 1])
    page = found[:PAGE_SIZE]
    kept = {name: value for name, value in request.GET.items() if name in form.fields and value}
    context = {
        "jobs": page,
        "form": form,
        "is_filtered": bool(kept),
        "models": registry.model_get_many({job.model_id for job in page}),
        "next_query": urlencode({**kept, "cursor": place_behind(page[-1])}) if len(found) > PAGE_SIZE else "",
    }
    return render(request, "storefront/jobs.html", context)


@login_required
@never_cache
@require_safe
def job_page(request: HttpRequest, job_id: UUID) -> HttpResponse:
    job = selectors.job_get(account=_account(request), job_id=job_id)
    model = registry.model_get_many([job.model_id]).get(job.model_id)
    context = {
        **_job_context(job),
        "model_name": model.name if model else f"model {job.model_id}",
        "fingerprint": _fingerprint_rows(job),
        "nonce": uuid.uuid4().hex,
        "receipt": _receipt(job),
    }
    return render(request, "storefront/job.html", context)


def _receipt(job: Job) -> dict[str, Any] | None:
    """What the page says of an ended job's receipt; `None` where there will be none."""
    row = None if job.is_open else receipt_get(job)
    if row is None:
        return None
    return {
        "is_issued": bool(row.digest) or services.receipt_issue(job_id=job.pk),
        "url": reverse("api-job-receipt", args=[job.pk]),
        "opening_url": reverse("api-job-receipt-opening", args=[job.pk]),
        "anchored_at": row.batch.anchored_at if row.batch else None,
    }


@login_required
@never_cache
@require_safe
def job_state(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """The fragment that follows a job. A poll that saw the same state gets no content."""
    job = selectors.job_get(account=_account(request), job_id=job_id)
    if job.is_open and request.GET.get("seen") == _seen(job):
        return HttpResponse(status=NOT_CHANGED)
    context = {**_job_context(job), "show_link": "link" in request.GET}
    return render(request, "storefront/parts/job.html", context)


@login_required
@require_POST
def job_cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Cancel an open job; one that has just ended is shown as it ended."""
    try:
        job = services.job_cancel(account=_account(request), job_id=job_id)
    except JobNotOpenError:
        job = selectors.job_get(account=_account(request), job_id=job_id)
    if not _is_fragment(request):
        return redirect("job", job_id)
    return render(request, "storefront/parts/job.html", _job_context(job))


@login_required
@require_POST
def job_payload_delete(request: HttpRequest, job_id: UUID) -> HttpResponse:
    services.job_payload_delete(account=_account(request), job_id=job_id)
    return redirect("job", job_id)


@login_required
@require_POST
@throttled("job")
def job_retry(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """A new job with the inputs of one that has ended. The page's nonce makes a form that is sent twice one job."""
    nonce = request.POST.get("nonce", "")[:64]
    key = f"retry-{nonce}" if nonce else None
    job, _ = services.job_again(
        account=_account(request), job_id=job_id, client=client_of(request), idempotency_key=key
    )
    return redirect("job", job.pk)


def _wanted(request: HttpRequest, model_id: int, form: RunForm) -> dict[str, Any]:
    """What the form asks for, for `job_create` and `job_quote`. A trial is one only where the form says so."""
    return {
        "account": _account(request),
        "model_id": model_id,
        "inputs": form.inputs_value(),
        "parameters": form.parameters_value(),
        "licence_id": on_chain_id(request.POST.get("licence", "")),
        "isolation": form.isolation_value(),
        "trial": TrialWish(client_of(request), request.POST.get("trial") == "1"),
    }


def _place(cursor: str) -> Place | None:
    """Where a later page begins; a cursor that is none leads to the first page."""
    try:
        return place_of(cursor) if cursor else None
    except CursorInvalidError:
        return None


def _job_context(job: Job) -> dict[str, Any]:
    # A page may be looked at often; what is handed out once is for the program that asked.
    outputs = selectors.job_outputs(job) if job.store else None
    request = selectors.job_request(job)
    inputs = request["inputs"] if request else []
    results = results_of(job.task, inputs, outputs.outputs) if outputs else []
    return {
        "job": job,
        "results": results,
        "inputs": [input_text(value) for value in inputs],
        "has_payload": request is not None,
        "seen": _seen(job),
        "times": job_times(job),
    }


def _seen(job: Job) -> str:
    """What a poll compares: the state, and which attempt is under way."""
    return f"{job.state}-{job.attempts}-{int(job.error is not None)}"


def _fingerprint_rows(job: Job) -> list[tuple[str, str]]:
    """What the runner says about itself, less what the page shows elsewhere."""
    shown = {name: value for name, value in (job.fingerprint or {}).items() if name not in ("release_digest", "task")}
    return [(name.replace("_", " ").capitalize(), _plain(value)[:200]) for name, value in sorted(shown.items())]


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return str(value)


def _account(request: HttpRequest) -> Account:
    return cast(Account, request.user)


def _is_fragment(request: HttpRequest) -> bool:
    return bool(request.htmx)  # type: ignore[attr-defined]
