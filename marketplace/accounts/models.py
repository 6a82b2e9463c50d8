"""Who uses the site: an account is an Ethereum address that once proved itself by a signature."""

from collections.abc import Iterator
from datetime import date
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.utils import timezone
from django.utils.crypto import salted_hmac

from chain.fields import Uint256Field


class AccountManager(models.Manager["Account"]):
    def get_by_natural_key(self, address: str | None) -> "Account":
        return self.get(address=address)


class Account(AbstractBaseUser):
    """A person or an organisation, known by an EIP-55 checksummed address. There is no password."""

    password = None  # type: ignore[assignment]

    address = models.CharField(max_length=42, unique=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    # The API key by which a request speaks for the account, None where a person does. Set by who authenticates.
    acting_key: "ApiKey | None" = None

    @property
    def rows_seen(self) -> "dict[str, ApiKey]":
        """Conditions on rows that have an `api_key`: whoever comes by a key that is bound to a licence sees its own."""
        key = self.acting_key
        return {} if key is None or key.licence_id is None else {"api_key": key}

    USERNAME_FIELD = "address"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = AccountManager()

    def __str__(self) -> str:
        return self.address

    def get_session_auth_hash(self) -> str:
        """Binds a session to the account; the base class derives it from a password."""
        return salted_hmac("marketplace.accounts.session", self.address, algorithm="sha256").hexdigest()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """None: an older secret of the site does not keep sessions alive."""
        return iter(())


class SignInNonce(models.Model):
    """One challenge handed to one session. Using it means deleting its row, which can happen once."""

    nonce = models.CharField(max_length=64, unique=True)
    session_key = models.CharField(max_length=40)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"challenge until {self.expires_at:%H:%M:%S}"


class KeyScope(models.TextChoices):
    PUBLISH = "publish", "Upload and publish models"
    RUN = "run", "Run models under the account's licences"


def today() -> date:
    """The day on which calls are counted now: UTC's."""
    return timezone.now().date()


class CallCapPeriod(models.TextChoices):
    TOTAL = "total", "in all"
    DAY = "day", "per day (UTC)"


class ApiKey(models.Model):
    """A key for programs, `wh_<prefix>_<secret>`. Only the SHA-256 of the whole key is kept.

    The secret has 160 random bits, so a plain hash cannot be searched and needs no stretching.

    A key that is bound to a licence (a sub-key) runs under that licence alone and sees the jobs that it made alone. Its
    calls, and those of any other key with a cap, are counted here (`key_calls`).
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=16, unique=True)
    key_sha256 = models.CharField(max_length=64)
    scopes = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)

    licence_id = Uint256Field(null=True, blank=True)
    calls_cap = models.PositiveBigIntegerField(null=True, blank=True)
    calls_cap_per = models.CharField(max_length=5, choices=CallCapPeriod, blank=True)
    calls_used = models.PositiveBigIntegerField(default=0, editable=False)
    calls_reserved = models.PositiveBigIntegerField(default=0, editable=False)
    # Used and reserved together, of the calls that were accepted on `calls_day` (UTC).
    calls_of_day = models.PositiveBigIntegerField(default=0, editable=False)
    calls_day = models.DateField(null=True, editable=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(calls_cap=None, calls_cap_per="")
                | models.Q(calls_cap__gte=1, calls_cap_per__in=["total", "day"]),
                name="accounts_key_cap_has_a_period",
            ),
        ]

    def __str__(self) -> str:
        return f"wh_{self.prefix}"

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())

    @property
    def calls_left(self) -> int | None:
        """Calls that the cap still lets through now; None without a cap."""
        if self.calls_cap is None:
            return None
        taken = self.calls_used + self.calls_reserved
        if self.calls_cap_per == CallCapPeriod.DAY:
            taken = self.calls_of_day if self.calls_day and self.calls_day >= today() else 0
        return max(self.calls_cap - taken, 0)
