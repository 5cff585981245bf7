"""The call providers. `docs/adding-a-provider.md` says how to add one."""

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from django.conf import settings

from calls.providers.base import Access, Provider
from calls.providers.http import HttpProvider
from calls.providers.simulated import SimulatedProvider
from calls.providers.vapi import VapiProvider

if TYPE_CHECKING:
    from calls.models import ProviderAccount

PROVIDERS: dict[str, type[Provider]] = {
    "simulated": SimulatedProvider,
    "http": HttpProvider,
    "vapi": VapiProvider,
}


def reaches_people(name: str) -> bool:
    """Do this provider's calls ring a telephone? One that is no longer known is taken to."""
    return name not in PROVIDERS or PROVIDERS[name].capabilities.reaches_people


def provider_of(account: "ProviderAccount") -> Provider:
    """The provider as this account uses it; the same instance until the account is changed.

    Raises `KeyError` where no provider has the name.
    """
    known = json.dumps(account.settings), account.credentials or "{}", callback_url(account)
    return make_provider(account.provider, *known)


def callback_url(account: "ProviderAccount") -> str:
    """Where the account's provider sends its events; empty if PUBLIC_URL is not set."""
    return f"{settings.PUBLIC_URL}/hooks/{account.pk}" if settings.PUBLIC_URL else ""


@lru_cache(maxsize=64)
def make_provider(name: str, known: str, credentials: str, callback: str) -> Provider:
    """A provider from its account as the database holds it."""
    return PROVIDERS[name](Access(json.loads(known), json.loads(credentials), callback))
