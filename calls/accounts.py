"""Which account a campaign's calls are placed with: its own, else its template's, else the default.

Decided when a call is dialled, so a template's account, and the default, may change meanwhile.
"""

from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from calls.models import ProviderAccount
from campaigns.models import Campaign

NAMED = Coalesce("account_id", "template_version__template__account_id")


def with_named_account(campaigns: QuerySet[Campaign]) -> QuerySet[Campaign]:
    """Campaigns with `named_account`: the id of the account they or their template name, or None
    where the default is meant.
    """
    return campaigns.annotate(named_account=NAMED)


def account_of(campaign_id: UUID) -> ProviderAccount:
    """The account that places the campaign's calls now."""
    named = Campaign.objects.filter(pk=campaign_id).values_list(NAMED, flat=True).get()
    if named is None:
        return ProviderAccount.objects.default()
    return ProviderAccount.objects.defer("credentials").get(pk=named)


def served_by(account: ProviderAccount, campaigns: QuerySet[Campaign]) -> QuerySet[Campaign]:
    """Those of the campaigns whose calls the account places."""
    named = Q(named_account=account.pk)
    if ProviderAccount.objects.default().pk == account.pk:
        named |= Q(named_account=None)
    return with_named_account(campaigns).filter(named)
