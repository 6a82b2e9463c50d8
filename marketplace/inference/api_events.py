"""`/api/v1/jobs/{id}/events`: what happens to a job, as it happens (server-sent events)."""

import time
from uuid import UUID

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.serializers import ValidationError
from rest_framework.views import APIView

from marketplace.accounts.authentication import caller
from marketplace.inference import events, selectors, streams
from marketplace.inference.events import JobEvent


class JobEventsView(APIView):
    required_scope = "run"

    @extend_schema(
        operation_id="job_events",
        tags=["jobs"],
        parameters=[
            OpenApiParameter(
                "Last-Event-ID", str, OpenApiParameter.HEADER, description="Resumes behind this event of the job."
            )
        ],
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                {"type": "string"}, description="Events `state`, `text` and `end`; each `data` is one JSON object."
            ),
            204: OpenApiResponse(description="The job has ended, and the events up to its end were seen before."),
        },
    )
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        """Follow a job until it ends: its states, and the text as a model generates it."""
        job = selectors.job_get(account=caller(request), job_id=job_id)
        after = self._after(request)
        if after != events.START and not job.is_open and _is_over(events.job_events_read(job_id, after)):
            # To a browser's EventSource this says not to come back.
            return HttpResponse(status=204)
        slot = streams.slot_take(job.account_id, follows=True)
        until = time.monotonic() + streams.LONGEST_S
        followed = events.job_events_follow(job_id, after, beat_s=events.BEAT_S, until=until)
        return streams.event_stream(streams.event_parts(followed, streams.Peer(request.META)), slot)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """Who asks for `text/event-stream` gets it, and a refusal as a problem in JSON."""
        return JSONRenderer(), JSONRenderer.media_type

    def _after(self, request: Request) -> str:
        given = request.headers.get("Last-Event-ID", "").strip()
        if given and not events.event_id_is_valid(given):
            raise ValidationError({"Last-Event-ID": "This is no id of an event. Leave the header out to start anew."})
        return given or events.START


def _is_over(found: list[JobEvent]) -> bool:
    return [event.id for event in found] == [""]
