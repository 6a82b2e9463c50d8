"""Who uses the site: an account is an Ethereum address that once proved itself by a signature."""

from collections.abc import Iterator
from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.utils import timezone
from django.utils.crypto import salted_hmac


class AccountManager(models.Manager["Account"]):
    def get_by_natural_key(self, address: str | None) -> "Account":
        return self.get(address=address)


class Account(AbstractBaseUser):
    """A person or an organisation, known by an EIP-55 checksummed address. There is no password."""

    password = None  # type: ignore[assignment]

    address = models.CharField(max_length=42, unique=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

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


class ApiKey(models.Model):
    """A key for programs, `wh_<prefix>_<secret>`. Only the SHA-256 of the whole key is kept.

    The secret has 160 random bits, so a plain hash cannot be searched and needs no stretching.
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

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"wh_{self.prefix}"

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())
