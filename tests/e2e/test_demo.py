"""The demo as a stranger runs it."""

import pytest

from tests.processes import Platform, free_port

pytestmark = pytest.mark.workers


def demo(platform: Platform, *options: str) -> tuple[int, str]:
    done = platform.run("demo", "--url", f"http://127.0.0.1:{free_port()}", *options)
    return done.returncode, done.stdout + done.stderr


def test_the_demo_starts_the_platform_and_verifies_every_webhook(platform: Platform) -> None:
    platform.environment["DEMO"] = "1"
    platform.manage("load_demo_data")

    for _ in range(2):
        status, said = demo(platform, "--start")

        assert status == 0, said
        assert "nobody's telephone rings" in said
        assert said.count(" verified\n") == 2
        assert "+966500000001" in said
        assert "+966500000002" in said

    client = "ApiClient.objects.get(name='demo')"
    assert platform.evaluate(f"{client}.secrets.filter(revoked_at=None).count()") == 0
    endpoints = "list(WebhookEndpoint.objects.values_list('description', 'disabled_at'))"
    [[description, disabled_at]] = platform.evaluate(endpoints)
    assert description == "demo"
    assert disabled_at


def test_a_demo_that_cannot_run_says_why(platform: Platform) -> None:
    assert demo(platform) == (
        1,
        "These calls are simulated: nobody's telephone rings.\n"
        "CommandError: The demo's template is missing: run `DEMO=1 make demo`.\n",
    )

    platform.environment["DEMO"] = "1"
    platform.manage("load_demo_data")
    status, said = demo(platform)
    assert status == 1
    assert "start the platform with `make run`" in said

    platform.evaluate(
        "ProviderAccount.objects.create(name='x', provider='vapi', is_default=True).pk"
    )
    status, said = demo(platform, "--start")
    assert status == 1
    assert "places only simulated calls" in said
