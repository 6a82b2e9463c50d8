"""Who may call a view of the API."""

from typing import TYPE_CHECKING, Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from marketplace.accounts.errors import ApiKeyOtherLicenceError, ApiKeyScopeMissingError
from marketplace.accounts.models import ApiKey

if TYPE_CHECKING:
    # REST framework imports this module while it makes APIView.
    from rest_framework.views import APIView


def scope_require(request: Request, view: "APIView") -> None:
    """Hold an API key to the view's `required_scope`.

    A view that names no scope is for sessions only: a new endpoint is closed to keys until somebody
    decides otherwise. A key that is bound to one licence is kept from views that say
    `bound_keys = False` because they are about the account at large. Raises ApiKeyScopeMissingError and
    ApiKeyOtherLicenceError.
    """
    if not isinstance(request.auth, ApiKey):
        return
    scope: Any = getattr(view, "required_scope", None)
    if scope is None:
        raise ApiKeyScopeMissingError(
            "This call needs a signed-in session. API keys cannot make it.", required_scope=None
        )
    if scope not in request.auth.scopes:
        raise ApiKeyScopeMissingError(
            f"This call needs an API key with the scope `{scope}`. Create one under API keys.",
            required_scope=scope,
        )
    if request.auth.licence_id is not None and not getattr(view, "bound_keys", True):
        raise ApiKeyOtherLicenceError(
            f"This API key is bound to licence {request.auth.licence_id} and runs jobs under it. Use another key.",
            licence=str(request.auth.licence_id),
        )


class IsAccount(BasePermission):
    """A signed-in account, or an API key that has the view's `required_scope`."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not (request.user and request.user.is_authenticated):
            return False
        scope_require(request, view)
        return True


class IsAccountOrReadOnly(BasePermission):
    """Anybody may read; writing is as in `IsAccount`."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return True
        return IsAccount().has_permission(request, view)
