"""Links between admin pages."""

from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html


def link_to_call(attempt_id: UUID | None, text: str = "") -> str | None:
    """A link to an attempt, from its id alone: its row is long and need not be read for it."""
    if attempt_id is None:
        return None
    address = reverse("admin:calls_calllog_change", args=[attempt_id])
    return format_html('<a href="{}">{}</a>', address, text or attempt_id)


def link_to_campaign(campaign_id: UUID) -> str:
    """A link to a campaign, from its id alone."""
    address = reverse("admin:campaigns_campaign_change", args=[campaign_id])
    return format_html('<a href="{}">{}</a>', address, campaign_id)
