"""`/api/v1/models/{id}/trials`: whether a model may be tried without a licence."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.authentication import caller
from marketplace.accounts.permissions import IsAccountOrReadOnly
from marketplace.inference import trials
from models_registry import selectors as registry


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
