from typing import Any

from django.utils import timezone

from campaigns.models import Batch, Campaign, CampaignSource
from templates.tests.factories import make_template


def make_campaign(**what_matters: Any) -> Campaign:
    if "template_version" not in what_matters:
        what_matters["template_version"] = make_template().current
    return Campaign.objects.create(
        **{"source": CampaignSource.API, "batch_size": 100} | what_matters
    )


def make_batch(**what_matters: Any) -> Batch:
    campaign = what_matters.pop("campaign", None) or make_campaign()
    fields = {"number": campaign.batches.count() + 1, "due_at": timezone.now()}
    return Batch.objects.create(campaign=campaign, **fields | what_matters)
