"""URLs of `/api/v1/` that are about plans and licences."""

from django.urls import path

from marketplace.licences import api

urlpatterns = [
    path("models/<on_chain_id:model_id>/plans", api.ModelPlansView.as_view(), name="api-model-plans"),
    path("plans/<on_chain_id:plan_id>/purchase", api.PlanPurchaseView.as_view(), name="api-plan-purchase"),
    path("licences", api.LicenceListView.as_view(), name="api-licences"),
]
