"""The systems that may use the API."""

import hashlib
import hmac
import secrets
import uuid
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Scope(models.TextChoices):
    CALLS_WRITE = "calls:write", _("place calls")
    CALLS_READ = "calls:read", _("read calls")
    CONTACTS_READ = "contacts:read", _("read contacts")
    CONTACTS_WRITE = "contacts:write", _("change contacts")
    CAMPAIGNS_CONTROL = "campaigns:control", _("pause, resume and cancel campaigns")


def all_scopes() -> list[str]:
    return list(Scope.values)


class ApiClient(models.Model):
    """A system with access to the API; its id is the `clientId` of the token endpoint."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=120, unique=True)
    scopes = models.JSONField(_("scopes"), default=all_scopes)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)

    # What Django REST framework asks of `request.user`.
    is_authenticated = True
    is_active = True

    class Meta:
        verbose_name = _("API client")
        verbose_name_plural = _("API clients")

    def __str__(self) -> str:
        return self.name

    def add_secret(self, **fields: Any) -> str:
        """Give this client another secret; return it, for it is stored as a digest only."""
        secret = secrets.token_urlsafe(32)
        self.secrets.create(digest=digest(secret), **fields)
        return secret


class ClientSecretQuerySet(models.QuerySet["ClientSecret"]):
    def live(self) -> "ClientSecretQuerySet":
        """Secrets that still open the door, of clients that are not revoked."""
        unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        return self.filter(unexpired, revoked_at=None, client__revoked_at=None)


class ClientSecret(models.Model):
    """The digest of one secret of a client."""

    client = models.ForeignKey(ApiClient, models.CASCADE, related_name="secrets")
    digest = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)

    objects = ClientSecretQuerySet.as_manager()

    class Meta:
        verbose_name = _("secret")
        verbose_name_plural = _("secrets")

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M}"

    def matches(self, secret: str) -> bool:
        return hmac.compare_digest(self.digest, digest(secret))


def digest(secret: str) -> str:
    """SHA-256 in hex. Secrets are 256 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(secret.encode()).hexdigest()
