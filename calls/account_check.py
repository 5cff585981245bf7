"""Asking a provider, for staff who wait, whether an account can place calls."""

import contextvars
import logging
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread

from django.utils.translation import gettext as _

from calls.models import ProviderAccount
from calls.providers import provider_of
from calls.providers.base import Provider, ProviderError
from campaigns.clock import database_now

logger = logging.getLogger(__name__)

CHECK_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, in a sentence, and whether calls can be placed as far as that says."""

    is_good: bool
    sentence: str


def check_account(account: ProviderAccount) -> Finding:
    """Ask the account's provider, within `CHECK_SECONDS` altogether."""
    try:
        provider = provider_of(account)
    except Exception as error:  # no such provider, or settings and secrets that cannot be read
        return Finding(False, _unexpected(error))
    database_now()  # the thread has no connection, and follows the clock from here
    found: SimpleQueue[Finding] = SimpleQueue()
    # With this thread's language.
    context = contextvars.copy_context()
    # Its own thread, which ends by itself: how long a provider's client waits is not ours to say.
    Thread(target=lambda: found.put(context.run(_check, provider)), daemon=True).start()
    try:
        return found.get(timeout=CHECK_SECONDS)
    except Empty:
        text = _("The provider did not answer within %(seconds)d seconds.")
        return Finding(False, text % {"seconds": CHECK_SECONDS})


def _check(provider: Provider) -> Finding:
    try:
        sentence = provider.check()
    except ProviderError as error:
        return Finding(False, error.reason)
    except Exception as error:  # whatever it is: nothing of it is told, it may hold a secret
        logger.warning("An account cannot be checked: %s", type(error).__name__)
        return Finding(False, _unexpected(error))
    return Finding(True, sentence or _("There is nothing to ask this provider beforehand."))


def _unexpected(error: Exception) -> str:
    return _("The account cannot be checked: %s.") % type(error).__name__
