from typing import Any

from django import template

from calls.models import WebhookEndpoint

register = template.Library()


@register.inclusion_tag("admin/webhook_banner.html", takes_context=True)
def webhook_banner(context: template.Context) -> dict[str, Any]:
    """Webhook endpoints that were disabled because they failed, for staff who may see them."""
    user = context.get("user")
    if user is None or not user.is_staff or not user.has_perm("calls.view_webhookendpoint"):
        return {"endpoints": []}
    return {"endpoints": WebhookEndpoint.objects.given_up().order_by("disabled_at")}
