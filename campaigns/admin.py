"""Campaigns for staff. `calls.admin.campaigns` adds what needs calls: launching and progress."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.utils import flatten_fieldsets
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from campaigns.models import Campaign


class Record(BaseModelAdmin):
    """For admins and inlines of records of what happened: they are shown, never changed."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Campaign)
class CampaignAdmin(Record, admin.ModelAdmin):
    list_display = [
        "__str__",
        "status",
        "template_version",
        "created_at",
        "source",
        "requested_by",
    ]
    list_filter = ["status", "source", "template_version__template"]
    list_select_related = ["template_version__template", "created_by", "api_client"]
    list_per_page = 50
    show_full_result_count = False
    ordering = ["-created_at"]
    date_hierarchy = "created_at"
    search_fields = ["name", "=id"]
    search_help_text = _("Name or campaign id")
    fields = [
        "name",
        "id",
        "status",
        "template_version",
        "country_code",
        "batch_size",
        "source",
        "requested_by",
        "created_at",
        "ended_at",
    ]

    @admin.display(description=_("requested by"))
    def requested_by(self, campaign: Campaign) -> Any:
        return campaign.created_by or campaign.api_client or self.get_empty_value_display()
