from collections.abc import Iterator

import pytest

from collections_platform.ops.webhook_receiver import WebhookReceiver


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """A webhook receiver that answers 204 and keeps what it received."""
    with WebhookReceiver() as receiver:
        yield receiver
