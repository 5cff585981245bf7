"""The systems that may use the API."""

import hashlib
import hmac
import secrets
import uuid
from datetime import datetime, timedelta

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Scope(models.TextChoices):
    CALLS_WRITE = "calls:write", _("place calls")
    CALLS_READ = "calls:read", _("read calls")
    CONTACTS_READ = "contacts:read", _("read contacts")
    CONTACTS_WRITE = "contacts:write", _("change contacts")
    CAMPAIGNS_CONTROL = "campaigns:control", _("pause, resume and cancel campaigns")


# One in use and one to change to.
MAX_LIVE_SECRETS = 2
# A client that asks for tokens more often than this writes no more often than this.
LAST_USED_PRECISION = timedelta(minutes=1)


def all_scopes() -> list[str]:
    return list(Scope.values)


class SecretRefused(Exception):
    """Why the client gets no further secret, in one sentence."""


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

    @transaction.atomic
    def add_secret(self, expires_at: datetime | None = None) -> str:
        """Give this client another secret; return it, for it is stored as a digest only.

        Raises `SecretRefused` when the client is revoked or has two live secrets.
        """
        client = ApiClient.objects.select_for_update().get(pk=self.pk)
        if client.revoked_at:
            raise SecretRefused(_("The client is revoked: make another."))
        if client.secrets.live().count() >= MAX_LIVE_SECRETS:
            text = _("The client has two live secrets: revoke one of them first.")
            raise SecretRefused(text)
        secret = secrets.token_urlsafe(32)
        client.secrets.create(digest=digest(secret), expires_at=expires_at)
        return secret

    def revoke(self) -> bool:
        """End the client and every token it holds; False if it was revoked before."""
        return bool(
            ApiClient.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=timezone.now())
        )


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
    # When it last bought a token, give or take LAST_USED_PRECISION.
    last_used_at = models.DateTimeField(_("last used at"), null=True, editable=False)

    objects = ClientSecretQuerySet.as_manager()

    class Meta:
        verbose_name = _("secret")
        verbose_name_plural = _("secrets")

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M}"

    def matches(self, secret: str) -> bool:
        return hmac.compare_digest(self.digest, digest(secret))

    @property
    def is_live(self) -> bool:
        """Not revoked and not expired itself; its client may be."""
        return not self.revoked_at and (not self.expires_at or self.expires_at > timezone.now())

    def revoke(self) -> bool:
        """End the secret and every token bought with it; False if it was revoked before."""
        unrevoked = ClientSecret.objects.filter(pk=self.pk, revoked_at=None)
        return bool(unrevoked.update(revoked_at=timezone.now()))

    def note_use(self) -> None:
        now = timezone.now()
        if not self.last_used_at or now - self.last_used_at > LAST_USED_PRECISION:
            ClientSecret.objects.filter(pk=self.pk).update(last_used_at=now)


class AttemptCount(models.Model):
    """How often somebody has tried, by one rule of `collections_platform.api.attempts`.

    The key is a keyed digest: an address or a user name is personal data.
    """

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(null=True)  # no try before then
    expires_at = models.DateTimeField(db_index=True)  # counts no longer from then on

    def __str__(self) -> str:
        return self.key


def digest(secret: str) -> str:
    """SHA-256 in hex. Secrets are 256 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(secret.encode()).hexdigest()
