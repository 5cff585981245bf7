"""What an empty installation is given so that there is something to see."""

import secrets
import uuid

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q

from templates.models import AISettingsTemplate

TEMPLATE_ID = uuid.UUID("550e8400-e29b-41d4-a716-446655440000")
TEMPLATE_NAME = "Invoice reminder"
SYSTEM_PROMPT = (
    "You are a collections agent. The customer owes {{amount}} due by {{due_date}}.\n"
    "Be professional and offer payment plan options if the customer cannot pay in full."
)
FIRST_MESSAGE = (
    "Hello, this is an automated assistant calling about an invoice."
    " Am I speaking with {{firstName}}?"
)


@transaction.atomic
def add_template() -> bool:
    """Add the example template, as the default if there is none; False if it is already there."""
    there = Q(pk=TEMPLATE_ID) | Q(name=TEMPLATE_NAME)
    if AISettingsTemplate.objects.filter(there).exists():
        return False
    is_default = AISettingsTemplate.objects.default() is None
    template = AISettingsTemplate.objects.create(
        id=TEMPLATE_ID, name=TEMPLATE_NAME, is_default=is_default
    )
    template.revise(
        system_prompt=SYSTEM_PROMPT,
        first_message=FIRST_MESSAGE,
        tag_defaults={"firstName": "the account holder"},
        language="en",
    )
    return True


def add_first_user() -> str | None:
    """Add the superuser `admin` if there is no user at all, and return the password."""
    users = get_user_model()._default_manager
    if users.exists():
        return None
    password = secrets.token_urlsafe(12)
    users.create_superuser("admin", password=password)
    return password
