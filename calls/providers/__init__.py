"""The call providers. `docs/adding-a-provider.md` says how to add one."""

from functools import cache

from calls.providers.base import Provider
from calls.providers.simulated import SimulatedProvider

PROVIDERS = {"simulated": SimulatedProvider}


def reaches_people(name: str) -> bool:
    """Do this provider's calls ring a telephone? One that is no longer known is taken to."""
    return name not in PROVIDERS or PROVIDERS[name].capabilities.reaches_people


@cache
def get_provider(name: str) -> Provider:
    """The provider of an account by its name in `PROVIDERS`. Raises `KeyError`."""
    return PROVIDERS[name]()
