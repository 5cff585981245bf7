"""The accounts calls are placed with, and the events that came from them."""

import json
from typing import Any

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from calls.fields import EncryptedTextField


class ProviderAccountManager(models.Manager["ProviderAccount"]):
    def lock(self, pk: int) -> "ProviderAccount":
        """The account as it stands, locked to the end of the transaction."""
        rows = self.select_for_update(no_key=True).defer("credentials")
        return rows.get(pk=pk)

    def default(self) -> "ProviderAccount":
        """The account that places calls: the default one, else one of CALL_PROVIDER's, which has
        what the environment says of it.
        """
        accounts = self.defer("credentials")  # which may be unreadable, and is not needed to decide
        if account := accounts.filter(is_default=True).first():
            return account
        name = settings.CALL_PROVIDER
        account = accounts.get_or_create(name=name, defaults={"provider": name})[0]
        if account.provider == name:
            self._follow_environment(account)
        return account

    def _follow_environment(self, account: "ProviderAccount") -> None:
        """Write down what the environment says and the account does not; what it leaves out
        stays as staff have it.
        """
        changed: dict[str, Any] = {}
        told = settings.CALL_PROVIDER_SETTINGS
        if told and told != account.settings:
            changed["settings"] = told
        secrets = settings.CALL_PROVIDER_CREDENTIALS
        if secrets and secrets != _readable(account):
            changed["credentials"] = json.dumps(secrets)
        if changed:
            self.filter(pk=account.pk).update(**changed)
            for name, value in changed.items():
                setattr(account, name, value)


def _readable(account: "ProviderAccount") -> Any:
    """The account's credentials; None if no key decrypts them."""
    try:
        return json.loads(account.credentials or "{}")
    except InvalidToken:
        return None


class ProviderAccount(models.Model):
    """An account with a call provider."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    provider = models.CharField(_("provider"), max_length=40)
    is_default = models.BooleanField(_("default"), default=False)
    settings = models.JSONField(
        _("settings"), default=dict, blank=True, help_text=_("What the provider needs to know.")
    )
    credentials = EncryptedTextField(_("credentials"), blank=True)  # JSON: {"name": "secret"}

    # How fast it may be used.
    max_live = models.PositiveIntegerField(
        _("maximum live calls"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("How many calls may be under way at once. Empty: any number."),
    )
    calls_per_second = models.FloatField(
        _("calls per second"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01), MaxValueValidator(1000)],
        help_text=_("How fast calls are placed. Empty: as fast as can be."),
    )
    # The token bucket: what was in it at a time of the database's clock.
    tokens = models.FloatField(_("tokens"), default=1, editable=False)
    tokens_at = models.DateTimeField(_("tokens at"), null=True, editable=False)

    # The circuit breaker.
    failures = models.PositiveIntegerField(
        _("failures"), default=0, editable=False, help_text=_("Failed placements in a row.")
    )
    holds = models.PositiveIntegerField(
        _("holds"), default=0, editable=False, help_text=_("Holds in a row without a success.")
    )
    held_since = models.DateTimeField(_("held since"), null=True, editable=False)
    held_at = models.DateTimeField(
        _("held at"), null=True, editable=False, help_text=_("When the last hold began.")
    )
    held_until = models.DateTimeField(
        _("held until"),
        null=True,
        editable=False,
        help_text=_("When one call is tried again; while it is, until when nobody else tries."),
    )
    held_reason = models.CharField(_("held because"), max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)

    objects = ProviderAccountManager()

    class Meta:
        verbose_name = _("provider account")
        verbose_name_plural = _("provider accounts")
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"],
                condition=Q(is_default=True),
                name="provider_account_one_default",
            ),
            models.CheckConstraint(
                condition=Q(held_since=None, held_until=None, held_reason="")
                | Q(held_since__isnull=False, held_until__isnull=False),
                name="provider_account_hold_is_whole",
            ),
            models.CheckConstraint(
                condition=(Q(max_live=None) | Q(max_live__gte=1))
                & (Q(calls_per_second=None) | Q(calls_per_second__gt=0)),
                name="provider_account_pace_is_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_paced(self) -> bool:
        return self.max_live is not None or self.calls_per_second is not None

    @property
    def is_held(self) -> bool:
        return self.held_until is not None

    @property
    def hold_sentence(self) -> str:
        """Why nobody is called with this account just now, for staff; empty if it is not held."""
        if not self.is_held:
            return ""
        kind, _colon, reason = self.held_reason.partition(": ")
        if kind == "account":
            text = _("The provider refuses the account (%(reason)s): mend it and try again.")
        else:
            text = _("The provider takes no calls (%(reason)s); it is tried again by itself.")
        return text % {"reason": reason}

    def release(self) -> None:
        """End the hold; to be saved."""
        self.held_since = self.held_at = self.held_until = None
        self.holds, self.held_reason = 0, ""


class ProviderEvent(models.Model):
    """One thing a provider told us; the same event told again makes no second row."""

    account = models.ForeignKey(ProviderAccount, models.PROTECT, related_name="events")
    event_id = models.CharField(_("event id"), max_length=200)
    call = models.ForeignKey(
        "CallLog", models.CASCADE, null=True, related_name="events", verbose_name=_("call")
    )
    kind = models.CharField(_("kind"), max_length=20)
    occurred_at = models.DateTimeField(_("occurred at"))
    received_at = models.DateTimeField(_("received at"), default=timezone.now)

    class Meta:
        verbose_name = _("provider event")
        verbose_name_plural = _("provider events")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "event_id"], name="provider_event_once_per_account"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id}"
