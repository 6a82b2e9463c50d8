"""Reads about accounts."""

from django.db.models import QuerySet

from marketplace.accounts.models import Account, ApiKey


def api_key_list(account: Account) -> QuerySet[ApiKey]:
    """The account's keys, newest first, revoked ones included."""
    return ApiKey.objects.filter(account=account)
