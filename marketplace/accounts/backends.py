"""Loads the account of a session. Signing in happens in `services.sign_in_finish`, never by a password."""

from django.contrib.auth.backends import BaseBackend

from marketplace.accounts.models import Account


class AddressBackend(BaseBackend):
    def get_user(self, user_id: int) -> Account | None:
        return Account.objects.filter(pk=user_id, is_active=True).first()
