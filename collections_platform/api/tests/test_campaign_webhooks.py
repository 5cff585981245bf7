import json
from typing import Any

import pytest

from calls.statuses import CallStatus
from calls.sweeper import sweep
from calls.tests.factories import make_call, make_endpoint
from calls.webhooks.delivery import deliver_webhooks
from collections_platform.api.tests.factories import Api

pytestmark = pytest.mark.django_db


def test_the_webhook_of_a_campaign_says_what_its_address_answers(receiver: Any) -> None:
    make_endpoint(url=receiver.url, events=["campaign.completed"], form="flat")
    call = make_call(status=CallStatus.COMPLETED, outcome="DISPUTE")
    make_call(batch=call.batch, status=CallStatus.BUSY)
    sweep()
    deliver_webhooks()
    (request,) = receiver.received
    assert json.loads(request.body) == Api().get(f"/ai/campaigns/{call.campaign_id}").json()
