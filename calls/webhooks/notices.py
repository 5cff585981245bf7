"""Telling staff by mail. The admin tells them on every page, whether or not a mail arrives."""

import logging
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import mail_admins

from calls.models import WebhookEndpoint

logger = logging.getLogger(__name__)

TEXT = """\
Webhook endpoint {endpoint.pk} ({host}) was disabled:
since {endpoint.failing_since:%Y-%m-%d %H:%M} UTC every try has failed.
What it has not been told waits. When the receiver works again, enable the endpoint
in the admin, under Webhook endpoints: its deliveries then go on.
"""


def tell_of_disabled(endpoint: WebhookEndpoint) -> None:
    """Mail ADMINS that the endpoint was disabled, if EMAIL_URL says how to."""
    logger.warning("Webhook endpoint %s was disabled: it failed for too long", endpoint.pk)
    if not (settings.EMAIL_URL and settings.ADMINS):
        return
    host = urlsplit(endpoint.url).hostname
    try:
        mail_admins("A webhook endpoint was disabled", TEXT.format(endpoint=endpoint, host=host))
    except OSError as error:
        logger.warning("The mail about it could not be sent: %s", type(error).__name__)
