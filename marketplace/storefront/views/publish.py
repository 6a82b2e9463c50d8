"""From a directory to a listed model: upload, check, sign, list."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from weighhouse.core.errors import WeighhouseError

from marketplace.api_parts import on_chain_id
from marketplace.storefront.forms import ReleaseForm
from marketplace.storefront.throttle import throttled
from models_registry import selectors as registry
from models_registry import services
from models_registry.errors import ReleaseNotFoundError
from models_registry.models import PublishedRelease, Release
from models_registry.selectors import ModelSummary

UNPROCESSABLE = 422
NOT_CHANGED = 204


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@throttled("release")
def publish(request: HttpRequest) -> HttpResponse:
    """The upload page. Scripts send files through the API; without one, the form brings them all at once."""
    if request.method == "POST":
        return _upload_whole(request)
    return render(request, "storefront/publish.html", _publish_context(request, ReleaseForm(initial=_initial(request))))


@login_required
def _upload_whole(request: HttpRequest) -> HttpResponse:
    form = ReleaseForm(request.POST)
    if not form.is_valid():
        return render(request, "storefront/publish.html", _publish_context(request, form), status=UNPROCESSABLE)
    upload = None
    try:
        upload = services.upload_create(publisher=_address(request), metadata=form.metadata())
        files = [*request.FILES.getlist("files"), *request.FILES.getlist("directory")]
        for file in files:
            services.upload_file_put(upload=upload, path=file.name or "", stream=file, size=file.size or 0)
        release = services.release_submit(upload=upload)
    except WeighhouseError as error:
        # A form brings everything at once or nothing: what was received goes with the refusal.
        if upload is not None:
            services.upload_delete(upload=upload)
        refusals = error.data.get("refusals", [])
        if not refusals:
            form.add_error(None, error.message)
        context = {**_publish_context(request, form), "refusals": refusals}
        return render(request, "storefront/publish.html", context, status=UNPROCESSABLE)
    return redirect("release", release.digest)


@login_required
@never_cache
@require_safe
def release_page(request: HttpRequest, digest: str) -> HttpResponse:
    """One's own release on its way: checked, signed, listed."""
    return render(request, "storefront/release.html", _release_context(request, digest))


@login_required
@never_cache
@require_safe
def release_state(request: HttpRequest, digest: str) -> HttpResponse:
    """The fragment that follows it. A poll that saw the same step gets no content."""
    context = _release_context(request, digest)
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=NOT_CHANGED)
    return render(request, "storefront/parts/release_progress.html", context)


def _publish_context(request: HttpRequest, form: ReleaseForm) -> dict[str, Any]:
    releases = registry.release_list_for_publisher(_address(request)) if request.user.is_authenticated else []
    return {"form": form, "releases": releases[:10], "model": _model_to_extend(request)}


def _model_to_extend(request: HttpRequest) -> ModelSummary | None:
    """The model that `?model=` names, where the signed-in address owns it."""
    given = request.GET.get("model", "") or request.POST.get("model_id", "")
    model_id = on_chain_id(given)
    if not request.user.is_authenticated or model_id is None:
        return None
    model = registry.model_get_many([model_id]).get(model_id)
    return model if model is not None and model.owner == _address(request) else None


def _initial(request: HttpRequest) -> dict[str, str]:
    model = _model_to_extend(request)
    if model is None:
        return {"licence": "Apache-2.0"}
    return {
        "name": model.name,
        "summary": model.summary,
        "task": model.task,
        "licence": model.licence,
        "model_id": str(model.model_id),
    }


def _release_context(request: HttpRequest, digest: str) -> dict[str, Any]:
    """Release, where it stands, and what it is to become. Others' releases are not found."""
    release = registry.release_get(digest)
    if release.publisher != _address(request):
        raise ReleaseNotFoundError(f"You have no release {digest[:80]}.", release=digest[:80])
    own = release.published.filter(publisher=release.publisher)
    published = own.select_related("model").order_by("-number").first()
    step = _step(release, published)
    target = release.upload.model_id if release.upload else None
    return {
        "release": release,
        "published": published,
        "step": step,
        "seen": f"{step}-{release.attempts}-{len(release.notice)}",
        "target_model_id": target,
    }


def _step(release: Release, published: PublishedRelease | None) -> str:
    if release.state != "ready":
        return str(release.state)
    if published is None:
        return "ready"
    return "listed" if published.is_listable else "published"


def _address(request: HttpRequest) -> str:
    return request.user.address  # type: ignore[union-attr]
