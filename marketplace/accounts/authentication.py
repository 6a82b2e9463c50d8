"""How a request of the API says who it is: an API key, or a session with its CSRF token."""

from typing import Any

from django.conf import settings
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request

from marketplace.accounts import services
from marketplace.accounts.errors import ApiKeyInvalidError
from marketplace.accounts.models import Account, ApiKey


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer wh_<prefix>_<secret>`. A wrong key is an error, never an anonymous call."""

    def authenticate(self, request: Request) -> tuple[Account, ApiKey] | None:
        parts = get_authorization_header(request).split()
        if not parts:
            return None
        if len(parts) != 2 or parts[0].lower() != b"bearer":
            raise ApiKeyInvalidError(
                "Expected the header `Authorization: Bearer wh_...`. Send the API key in that form."
            )
        key = services.api_key_authenticate(key=parts[1].decode("latin-1"))
        return key.account, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="weighhouse"'


class CsrfSessionAuthentication(SessionAuthentication):
    """The browser's session. Whoever sends a session cookie with an unsafe method sends the CSRF token too.

    The base class asks for the token only once somebody is signed in; signing in itself is a state
    change that another site must not be able to cause.
    """

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        user = getattr(request._request, "user", None)
        if settings.SESSION_COOKIE_NAME in request.COOKIES or (user is not None and user.is_authenticated):
            self.enforce_csrf(request)
        if user is None or not user.is_active:
            return None
        return user, None


def caller(request: Request) -> Account:
    """The account behind a request that `IsAccount` let through."""
    if not isinstance(request.user, Account):
        raise NotAuthenticated
    return request.user
