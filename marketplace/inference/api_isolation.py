"""`/api/v1/models/{id}/isolation`: whether all jobs of a model run in dedicated runners."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.authentication import caller
from marketplace.accounts.permissions import IsAccountOrReadOnly
from marketplace.inference import isolation
from models_registry import selectors as registry


class ModelIsolationSerializer(serializers.Serializer[Any]):
    """Whether every job of a model runs in a runner that serves its licence alone, asked for or not."""

    dedicated = serializers.BooleanField()


class ModelIsolationView(APIView):
    permission_classes = (IsAccountOrReadOnly,)
    required_scope = "publish"

    @extend_schema(operation_id="model_isolation_get", tags=["models"], responses=ModelIsolationSerializer)
    def get(self, request: Request, model_id: int) -> Response:
        """Whether the model's owner requires dedicated runners."""
        registry.model_owner(model_id)
        return Response({"dedicated": isolation.is_required(model_id)})

    @extend_schema(
        operation_id="model_isolation_set",
        tags=["models"],
        request=ModelIsolationSerializer,
        responses=ModelIsolationSerializer,
    )
    def put(self, request: Request, model_id: int) -> Response:
        """Require dedicated runners for jobs from now on, or leave it to the buyers, as the model's owner."""
        form = ModelIsolationSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        wanted = form.validated_data["dedicated"]
        isolation.isolation_require(account=caller(request), model_id=model_id, required=wanted)
        return Response({"dedicated": isolation.is_required(model_id)})
