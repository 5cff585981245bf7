"""Contacts and suppressions for staff."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.widgets import AdminTextInputWidget
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from pydantic import TypeAdapter, ValidationError

from contacts.models import Contact, Suppression, SuppressionQuerySet, SuppressionReason
from contacts.phone_numbers import UnusableNumber, to_e164
from contacts.schemas import Region, TimeZone


def _check(kind: Any, text: str, message: Any) -> str:
    """`text`, if the API would take it too."""
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError:
        raise forms.ValidationError(message) from None
    return text


class ContactForm(forms.ModelForm):
    phone_number = forms.CharField(
        label=_("Phone number"),
        max_length=64,
        widget=AdminTextInputWidget,
        help_text=_("With the country code, such as +966500000001. It cannot be changed later."),
    )

    def clean_phone_number(self) -> str:
        try:
            return to_e164(self.cleaned_data["phone_number"], None)
        except UnusableNumber as unusable:
            raise forms.ValidationError(
                _("The number %(why)s."), params={"why": str(unusable)}
            ) from None

    def clean_time_zone(self) -> str:
        message = _("Write an IANA time zone, such as Asia/Riyadh.")
        return _check(TimeZone, self.cleaned_data["time_zone"], message)

    def clean_region(self) -> str:
        message = _("Write an ISO 3166-2 subdivision, such as US-TX.")
        return _check(Region, self.cleaned_data["region"], message)


class SuppressionInline(admin.TabularInline):
    model = Suppression
    extra = 0
    ordering = ["-created_at"]
    fields = ["reason", "note", "created_at", "ends_at", "lifted_at"]
    readonly_fields = ["created_at", "lifted_at"]
    show_change_link = True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Contact)
class ContactAdmin(admin.ModelAdmin):
    form = ContactForm
    list_display = ["phone_number", "full_name", "email", "time_zone", "updated_at"]
    list_per_page = 50
    show_full_result_count = False
    ordering = ["-updated_at"]
    search_fields = ["phone_number", "first_name", "last_name", "email", "=id"]
    search_help_text = _("Number, name, email or contact id")
    fields = [
        "phone_number",
        ("first_name", "last_name"),
        "email",
        ("time_zone", "region"),
        "created_at",
        "updated_at",
    ]
    readonly_fields = ["created_at", "updated_at"]
    inlines = [SuppressionInline]

    @admin.display(description=_("name"), ordering="first_name")
    def full_name(self, contact: Contact) -> str:
        return contact.full_name

    def get_readonly_fields(
        self, request: HttpRequest, obj: Contact | None = None
    ) -> list[Any] | tuple[Any, ...]:
        return [*self.readonly_fields, "phone_number"] if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Contact, form: Any, change: bool) -> None:
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class InForceFilter(admin.SimpleListFilter):
    title = _("in force")
    parameter_name = "in_force"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        match self.value():
            case "yes":
                return queryset.in_force()
            case "no":
                return queryset.exclude(pk__in=queryset.in_force().values("pk"))
        return queryset


@admin.register(Suppression)
class SuppressionAdmin(admin.ModelAdmin):
    """A suppression is added and lifted, never changed: it tells what was so at a time."""

    list_display = ["contact", "reason", "is_in_force", "created_at", "ends_at", "lifted_at"]
    list_filter = [InForceFilter, "reason"]
    list_select_related = ["contact"]
    list_per_page = 50
    show_full_result_count = False
    ordering = ["-pk"]
    search_fields = ["contact__phone_number", "contact__first_name", "contact__last_name"]
    search_help_text = _("Number or name of the contact")
    autocomplete_fields = ["contact"]
    fields = ["contact", "reason", "note", "ends_at", "is_in_force", "created_at", "lifted_at"]
    readonly_fields = ["is_in_force", "created_at", "lifted_at"]
    actions = ["lift"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ["contact", "reason", "note", "ends_at"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"reason": SuppressionReason.STAFF} | super().get_changeform_initial_data(request)

    @admin.display(description=_("in force"), boolean=True)
    def is_in_force(self, suppression: Suppression) -> bool:
        return suppression.is_in_force

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_lift_permission(self, request: HttpRequest) -> bool:
        return super().has_change_permission(request)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        context["can_lift"] = obj and obj.is_in_force and self.has_lift_permission(request)
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.action(description=_("Lift selected suppressions"), permissions=["lift"])
    def lift(self, request: HttpRequest, queryset: SuppressionQuerySet) -> HttpResponse | None:
        in_force = list(queryset.in_force().select_related("contact"))
        if "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "title": _("Lift suppressions"),
                "opts": self.opts,
                "suppressions": in_force,
                "media": self.media,
            }
            return TemplateResponse(request, "admin/contacts/suppression/lift.html", context)
        with transaction.atomic():
            still = Suppression.objects.in_force().filter(pk__in=[s.pk for s in in_force])
            number = still.update(lifted_at=timezone.now())
            LogEntry.objects.log_actions(str(request.user.pk), in_force, CHANGE, "Lifted.")
        text = ngettext("%d suppression was lifted.", "%d suppressions were lifted.", number)
        self.message_user(request, text % number, messages.SUCCESS)
        return None
