"""The people we call, and who must not be called."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

# Statements carry this many rows: below every limit of SQLite on parameters.
CHUNK = 500


@dataclass(frozen=True, slots=True)
class ContactRow:
    """What a request or a file says about one person; an empty text says nothing."""

    phone_number: str  # E.164
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    time_zone: str = ""
    region: str = ""

    def merged_under(self, other: "ContactRow") -> "ContactRow":
        """This row, with what it leaves out taken from `other`."""
        return ContactRow(*(getattr(self, f) or getattr(other, f) for f in ROW_FIELDS))


ROW_FIELDS = tuple(field.name for field in fields(ContactRow))
FACTS = ROW_FIELDS[1:]


class ContactQuerySet(models.QuerySet["Contact"]):
    @transaction.atomic
    def upsert(self, rows: Iterable[ContactRow], *, update_existing: bool) -> dict[str, "Contact"]:
        """Store people by number; return each as stored, by its E.164 number.

        A number given twice is one contact: a new one takes the first value given for each
        field, or the last with `update_existing`. An existing contact is changed only with
        `update_existing`, and only where a row gives a value.

        Safe beside others that do the same: numbers are first inserted, then locked, each in
        ascending order over the whole call, so that no two transactions wait for each other.
        """
        merged: dict[str, ContactRow] = {}
        for row in rows:
            known = merged.get(row.phone_number, row)
            newer, older = (row, known) if update_existing else (known, row)
            merged[row.phone_number] = newer.merged_under(older)
        wanted = [merged[phone_number] for phone_number in sorted(merged)]

        chunks = [wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK)]
        for chunk in chunks:
            new = (Contact(**{f: getattr(row, f) for f in ROW_FIELDS}) for row in chunk)
            Contact.objects.bulk_create(new, ignore_conflicts=True)
        stored: dict[str, Contact] = {}
        for chunk in chunks:
            found = Contact.objects.filter(phone_number__in=[row.phone_number for row in chunk])
            if update_existing:
                found = found.select_for_update(no_key=True)
            contacts = {contact.phone_number: contact for contact in found.order_by("phone_number")}
            if update_existing:
                changed = [c for row in chunk if (c := contacts[row.phone_number]).take(row)]
                Contact.objects.bulk_update(changed, [*FACTS, "updated_at"])
            stored |= contacts
        return stored


class Contact(models.Model):
    """One person, known by one telephone number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    phone_number = models.CharField(_("phone number"), max_length=21, unique=True)
    first_name = models.CharField(_("first name"), max_length=255, blank=True)
    last_name = models.CharField(_("last name"), max_length=255, blank=True)
    email = models.EmailField(_("email"), blank=True)
    time_zone = models.CharField(
        _("time zone"), max_length=64, blank=True, help_text=_("IANA name, such as Asia/Riyadh.")
    )
    region = models.CharField(
        _("region"), max_length=6, blank=True, help_text=_("ISO 3166-2 subdivision.")
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated at"), default=timezone.now, editable=False)

    objects = ContactQuerySet.as_manager()

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        indexes = [models.Index(fields=["-updated_at"], name="contact_newest")]
        constraints = [
            models.CheckConstraint(
                condition=Q(phone_number__startswith="+"), name="contact_number_is_e164"
            )
        ]

    def __str__(self) -> str:
        return self.full_name or self.phone_number

    @property
    def full_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()

    def take(self, row: ContactRow) -> bool:
        """Take over what `row` gives; True if anything changed. The caller saves."""
        changes = {f: v for f in FACTS if (v := getattr(row, f)) and v != getattr(self, f)}
        for name, value in changes.items():
            setattr(self, name, value)
        if changes:
            self.updated_at = timezone.now()
        return bool(changes)


class SuppressionReason(models.TextChoices):
    DO_NOT_CALL = "do_not_call", _("asked not to be called")
    WRONG_NUMBER = "wrong_number", _("the number is someone else's")
    STAFF = "staff", _("decided by staff")
    OTHER = "other", _("other: see the note")


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def in_force(self, now: datetime | None = None) -> "SuppressionQuerySet":
        now = now or timezone.now()
        return self.filter(Q(ends_at=None) | Q(ends_at__gt=now), lifted_at=None)


class Suppression(models.Model):
    """Do not call: nobody calls this contact until it ends or is lifted."""

    contact = models.ForeignKey(Contact, models.PROTECT, related_name="suppressions")
    reason = models.CharField(_("reason"), max_length=20, choices=SuppressionReason.choices)
    note = models.CharField(_("note"), max_length=255, blank=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    ends_at = models.DateTimeField(
        _("ends at"), null=True, blank=True, help_text=_("Empty: it does not end by itself.")
    )
    lifted_at = models.DateTimeField(_("lifted at"), null=True, blank=True, editable=False)

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        verbose_name = _("suppression")
        verbose_name_plural = _("suppressions")
        constraints = [
            models.CheckConstraint(
                condition=Q(reason__in=list(SuppressionReason)), name="suppression_reason_is_known"
            )
        ]

    def __str__(self) -> str:
        return self.get_reason_display()

    @property
    def is_in_force(self) -> bool:
        """As the queryset `in_force` has it, for a row at hand."""
        has_ended = self.ends_at is not None and self.ends_at <= timezone.now()
        return self.lifted_at is None and not has_ended

    @property
    def reason_told(self) -> str:
        """The reason in a word, or in those of whoever gave another."""
        return self.note if self.reason == SuppressionReason.OTHER and self.note else self.reason
