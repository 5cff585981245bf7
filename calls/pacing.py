"""How fast, and whether at all, calls are placed with an account."""

from calls.models import ProviderAccount
from campaigns.clock import database_now


def retry_now(account: ProviderAccount) -> None:
    """Have an account that is held tried again at once, not only when its time has come."""
    held = ProviderAccount.objects.filter(pk=account.pk, held_until__isnull=False)
    held.update(held_until=database_now())
