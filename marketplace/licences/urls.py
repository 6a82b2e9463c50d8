"""URLs of `/api/v1/` that are about plans, licences, income and operators."""

from django.urls import path, register_converter

from marketplace.licences.api import activity, income, licences, plans
from marketplace.licences.api.parts import AddressConverter

register_converter(AddressConverter, "address")

urlpatterns = [
    path("activity", activity.ActivityListView.as_view(), name="api-activity"),
    path("models/<on_chain_id:model_id>/activity", activity.ModelActivityView.as_view(), name="api-model-activity"),
    path("accounts/<address:address>/activity", activity.AccountActivityView.as_view(), name="api-account-activity"),
    path("models/<on_chain_id:model_id>/plans", plans.ModelPlansView.as_view(), name="api-model-plans"),
    path("models/<on_chain_id:model_id>/income", income.ModelIncomeView.as_view(), name="api-model-income"),
    path("models/<on_chain_id:model_id>/withdrawal", income.ModelWithdrawalView.as_view(), name="api-model-withdrawal"),
    path("plans/<on_chain_id:plan_id>/purchase", plans.PlanPurchaseView.as_view(), name="api-plan-purchase"),
    path("plans/<on_chain_id:plan_id>/retirement", plans.PlanRetirementView.as_view(), name="api-plan-retirement"),
    path("plans/<on_chain_id:plan_id>/collection", plans.PlanCollectionView.as_view(), name="api-plan-collection"),
    path("licences", licences.LicenceListView.as_view(), name="api-licences"),
    path("licences/<on_chain_id:licence_id>", licences.LicenceDetailView.as_view(), name="api-licence"),
    path(
        "licences/<on_chain_id:licence_id>/renewal", licences.LicenceRenewalView.as_view(), name="api-licence-renewal"
    ),
    path(
        "licences/<on_chain_id:licence_id>/cancellation",
        licences.LicenceCancellationView.as_view(),
        name="api-licence-cancellation",
    ),
    path(
        "licences/<on_chain_id:licence_id>/settlement",
        licences.LicenceSettlementView.as_view(),
        name="api-licence-settlement",
    ),
    path("accounts/<address:address>/income", income.AccountIncomeView.as_view(), name="api-account-income"),
    path(
        "accounts/<address:address>/withdrawal", income.AccountWithdrawalView.as_view(), name="api-account-withdrawal"
    ),
    path("operators", income.OperatorListView.as_view(), name="api-operators"),
    path("operators/registration", income.OperatorRegistrationView.as_view(), name="api-operator-registration"),
    path("operators/<on_chain_id:operator_id>", income.OperatorView.as_view(), name="api-operator"),
    path("operators/<on_chain_id:operator_id>/change", income.OperatorChangeView.as_view(), name="api-operator-change"),
]
