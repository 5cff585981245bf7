"""The numbers that calls are placed from."""

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from calls.models.provider import ProviderAccount


class CallerNumberQuerySet(models.QuerySet["CallerNumber"]):
    def active(self) -> "CallerNumberQuerySet":
        return self.filter(is_active=True)


class CallerNumber(models.Model):
    """A number that an account calls from; without any, its provider chooses."""

    account = models.ForeignKey(ProviderAccount, models.CASCADE, related_name="numbers")
    number = models.CharField(_("number"), max_length=21, help_text=_("As +12025550100."))
    daily_cap = models.PositiveIntegerField(
        _("daily cap"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("How many calls a day are placed from it, by TIME_ZONE. Empty: any number."),
    )
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("Calls are placed from active numbers only.")
    )

    objects = CallerNumberQuerySet.as_manager()

    class Meta:
        verbose_name = _("caller number")
        verbose_name_plural = _("caller numbers")
        constraints = [
            models.UniqueConstraint(
                fields=["account", "number"], name="caller_number_once_per_account"
            ),
            models.CheckConstraint(
                condition=Q(number__startswith="+"), name="caller_number_is_e164"
            ),
            models.CheckConstraint(
                condition=Q(daily_cap=None) | Q(daily_cap__gte=1),
                name="caller_number_cap_is_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.number
