"""Reads about plans, licences, income and operators. For showing: whether a licence is valid is asked of the chain."""

from marketplace.licences.selectors.detail import LicenceDetail, licence_detail
from marketplace.licences.selectors.income import (
    IncomeView,
    PlanIncome,
    ShareView,
    income_for_models,
    income_for_owner,
    plan_incomes,
)
from marketplace.licences.selectors.licences import (
    CONFIRMATIONS,
    LicenceView,
    licence_get,
    licence_list_for_holder,
    licence_list_settled,
    licences_held,
    licences_held_usable_first,
)
from marketplace.licences.selectors.operators import (
    AccountIncome,
    OperatorDetail,
    OperatorView,
    operator_detail,
    operator_get,
    operator_income_for_payee,
    operator_list_for_owner,
    operators_by_id,
)
from marketplace.licences.selectors.plans import (
    LIST_LIMIT,
    PlanView,
    bps_text,
    plan_get,
    plan_list_for_model,
    plans_by_id,
    plans_on_sale,
    seconds_text,
)
from marketplace.licences.selectors.times import ModelTimes, SuspensionSpan, chain_now, model_times

__all__ = [
    "CONFIRMATIONS",
    "LIST_LIMIT",
    "AccountIncome",
    "IncomeView",
    "LicenceDetail",
    "LicenceView",
    "ModelTimes",
    "OperatorDetail",
    "OperatorView",
    "PlanIncome",
    "PlanView",
    "ShareView",
    "SuspensionSpan",
    "bps_text",
    "chain_now",
    "income_for_models",
    "income_for_owner",
    "licence_detail",
    "licence_get",
    "licence_list_for_holder",
    "licence_list_settled",
    "licences_held",
    "licences_held_usable_first",
    "model_times",
    "operator_detail",
    "operator_get",
    "operator_income_for_payee",
    "operator_list_for_owner",
    "operators_by_id",
    "plan_get",
    "plan_incomes",
    "plan_list_for_model",
    "plans_by_id",
    "plans_on_sale",
    "seconds_text",
]
