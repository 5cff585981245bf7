import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from calls.dialling import call_request, place_batch
from calls.models import CallLog, ProviderAccount, WebhookDelivery
from calls.polling import poll_calls
from calls.providers import make_provider, provider_of
from calls.providers.base import Poll
from calls.tests.conformance.subjects import SUBJECTS, Fake, Message, Subject
from calls.tests.factories import launch, make_endpoint
from campaigns.clock import database_now
from templates.tests.factories import make_template

NUMBER = "+966500000001"


@dataclass
class Scene:
    """A provider with its account and its far side, and the engine to try it with."""

    subject: Subject
    fake: Fake
    account: ProviderAccount
    let_pass: Callable[..., None]

    def launch(self) -> CallLog:
        launch({"numberToCall": NUMBER})
        return CallLog.objects.get()

    def place(self, call: CallLog) -> None:
        place_batch(call.batch_id)
        call.refresh_from_db()

    def launch_and_place(self) -> CallLog:
        call = self.launch()
        self.place(call)
        assert (call.status, set(self.fake.calls)) == ("dialing", {call.pk})
        return call

    def send(self, message: Message | None, account: ProviderAccount | None = None) -> int:
        """Deliver what the provider sends; 200 where it sends nothing of this."""
        if message is None:
            return 200
        headers, body = message
        path = f"/hooks/{(account or self.account).pk}"
        client = Client(raise_request_exception=False)
        answer = client.post(path, body, content_type="application/json", headers=headers)
        return answer.status_code

    def poll(self, call: CallLog, seconds: float = 31) -> None:
        self.let_pass(seconds=seconds)
        poll_calls()
        call.refresh_from_db()

    def wait_for_placement(self, call: CallLog) -> None:
        """Let the platform go on until the provider has the call."""
        for _ in range(8):
            self.poll(call, 20)
            self.place(call)
            if call.provider_call_id:
                return
        raise AssertionError(f"not placed: {call.status}")

    def placements_of(self, call: CallLog) -> int:
        """How often the provider was asked to place the call, heeded or not."""
        path = self.fake.asked[0].path  # the first request there was
        asked = [request for request in self.fake.asked if request.path == path]
        return sum(str(call.pk).encode() in request.body for request in asked)

    def look_up(self, call: CallLog) -> Poll:
        provider = provider_of(self.account)
        [poll] = provider.poll([call_request(call)], database_now())
        return poll

    def is_over(self, call: CallLog) -> bool:
        """For the provider, whatever we believe."""
        return any(event.ending for event in self.look_up(call).events)

    def held_reason(self) -> str:
        self.account.refresh_from_db()
        return self.account.held_reason


def make_account(subject: Subject, fake: Fake, **fields: Any) -> ProviderAccount:
    settings, credentials = fake.account_fields()
    return ProviderAccount.objects.create(
        provider=subject.name,
        settings=settings,
        credentials=json.dumps(credentials),
        **{"name": "tested", "is_default": True} | fields,
    )


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    chosen: Subject = request.param
    return chosen


@pytest.fixture
def scene(
    subject: Subject, let_pass: Callable[..., None], settings: Any, db: None
) -> Iterator[Scene]:
    settings.PUBLIC_URL = "http://testserver"
    make_template(is_default=True)
    make_endpoint()
    with subject.make_fake() as fake:
        yield Scene(subject, fake, make_account(subject, fake), let_pass)
    make_provider.cache_clear()


def tellings() -> int:
    """How many webhooks are to tell of calls that ended."""
    return WebhookDelivery.objects.count()
