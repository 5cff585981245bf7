"""What the platform sends, described for those who receive it."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from collections_platform.api.openapi.answers import CampaignCompleted, PhoneCallEnded
from collections_platform.api.openapi.components import content_of

SIGNED = (
    "Signed as Standard Webhooks and Svix do. Any 2xx is success; anything else, or no answer"
    " within 30 seconds, is tried again with the same id. Deliveries may arrive twice and in any"
    " order."
)
HEADERS = {
    "id": "names the delivery; the same in every try of it",
    "timestamp": "when this try was made, in Unix seconds",
    "signature": "`v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`; several,"
    " with spaces between, where the endpoint has several secrets",
}


@dataclass(frozen=True, slots=True)
class Event:
    summary: str
    model: type[BaseModel]


EVENTS = {
    "phone_call.ended": Event(
        "An attempt to call ended, or a call was cancelled or skipped before any", PhoneCallEnded
    ),
    "campaign.completed": Event("A campaign's last call has ended", CampaignCompleted),
}


def webhook(name: str) -> dict[str, Any]:
    """The operation that a receiver of the event `name` has."""
    event = EVENTS[name]
    parameters = [
        _header(f"{family}-{part}", description)
        for family in ("webhook", "svix")
        for part, description in HEADERS.items()
    ]
    return {
        "operationId": name,
        "tags": ["Webhooks"],
        "summary": event.summary,
        "description": SIGNED,
        "security": [],
        "parameters": parameters,
        "requestBody": {"required": True, "content": content_of(event.model)},
        "responses": {"2XX": {"description": "Taken."}},
    }


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }
