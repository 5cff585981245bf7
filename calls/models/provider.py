"""The accounts calls are placed with, and the events that came from them."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class ProviderAccountManager(models.Manager["ProviderAccount"]):
    def default(self) -> "ProviderAccount":
        """The account that places calls: the default one, else one of CALL_PROVIDER's."""
        if account := self.filter(is_default=True).first():
            return account
        name = settings.CALL_PROVIDER
        return self.get_or_create(name=name, defaults={"provider": name})[0]


class ProviderAccount(models.Model):
    """An account with a call provider."""

    name = models.CharField(_("name"), max_length=120, unique=True)
    provider = models.CharField(_("provider"), max_length=40)
    is_default = models.BooleanField(_("default"), default=False)
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
            )
        ]

    def __str__(self) -> str:
        return self.name


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
