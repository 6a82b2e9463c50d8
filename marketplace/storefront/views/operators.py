"""Operators: who attests use, under which plans, and what they are paid."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chain import selectors as chain
from chain.gateway.errors import ChainError
from marketplace.licences import selectors as licences
from marketplace.licences.selectors import AccountIncome
from marketplace.storefront.calls import WalletCall, withdraw_account_call
from models_registry import selectors as registry


@login_required
@never_cache
@require_safe
def operators(request: HttpRequest) -> HttpResponse:
    """The signed-in address's operators, what it can withdraw as a payee, and the form of a new operator."""
    address = request.user.address  # type: ignore[union-attr]
    failure, income = _asked(address)
    context = {
        "operators": licences.operator_list_for_owner(address),
        "income": [(row, _withdraw(row)) for row in income],
        "income_error": failure,
        "site_operator_id": _site_operator_id(),
    }
    return render(request, "storefront/operators.html", context)


@never_cache
@require_safe
def operator_page(request: HttpRequest, operator_id: int) -> HttpResponse:
    """One operator, for anybody: what a plan relies on when it names it."""
    operator = licences.operator_get(operator_id)
    address = request.user.address if request.user.is_authenticated else ""
    context = {
        "operator": operator,
        "is_owner": operator.owner == address,
        "is_payee": operator.payee == address,
        "is_of_this_site": operator_id == _site_operator_id(),
        **_detail(operator_id),
    }
    return render(request, "storefront/operator.html", context)


def _detail(operator_id: int) -> dict[str, Any]:
    """Plans and money; the chain is asked for what can be withdrawn now, and may not answer."""
    try:
        detail = licences.operator_detail(operator_id)
    except ChainError as error:
        return {"detail": None, "income_error": f"The money is asked of the chain, and that failed: {error.message}"}
    models = registry.model_get_many({plan.model_id for plan in detail.plans})
    return {
        "detail": detail,
        "plans": [(plan, models.get(plan.model_id)) for plan in detail.plans],
        "income": [(row, _withdraw(row)) for row in detail.payee_income],
        "income_error": "",
    }


def _site_operator_id() -> int:
    """In the demo the chain is asked; a page that only labels with it does without."""
    try:
        return chain.site_operator_id()
    except ChainError:
        return 0


def _asked(address: str) -> tuple[str, list[AccountIncome]]:
    try:
        return "", licences.operator_income_for_payee(address)
    except ChainError as error:
        return f"Income is asked of the chain, and that failed: {error.message}", []


def _withdraw(row: AccountIncome) -> WalletCall:
    return withdraw_account_call(row.token, to=row.account, text=row.available_text)
