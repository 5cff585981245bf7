"""Calls as the API and the webhooks tell of them."""

from datetime import UTC, datetime
from typing import Any

from calls.models import CallLog, WebhookDelivery
from calls.providers import reaches_people
from calls.services import Launch
from calls.statuses import NOT_CARRIED, CallStatus, Sentiment
from campaigns.models import Campaign


def call_data(call: CallLog) -> dict[str, Any]:
    """The `data` of a webhook: one attempt as it stands now. Reads `call.account`."""
    status = CallStatus(call.status)
    provider = call.account and call.account.provider
    return {
        "providerCallId": call.provider_call_id or None,
        "numberFrom": call.number_from,
        "numberTo": call.phone_number,
        "providerStatus": "fail" if status in NOT_CARRIED else "pass",
        "deliveryStatus": "pass" if status is CallStatus.COMPLETED else "fail",
        "duration": call.duration_seconds,
        "summary": call.summary or None,
        "endedReason": call.ended_reason or None,
        "callOutput": call.outcome or status.value.upper(),
        "callOutputReasoning": call.outcome_reasoning,
        "sentimentOutput": call.sentiment or Sentiment.NEUTRAL.value,
        "sentimentOutputReasoning": call.sentiment_reasoning,
        "transcription": call.transcript,
        "recordingUrl": call.recording_url or None,
        "metadata": {"requestMetadata": call.metadata},
        "callId": str(call.call_id),
        "attemptId": str(call.pk),
        "attempt": call.attempt,
        "isLastAttempt": call.is_ended and call.is_last_attempt,
        "campaignId": str(call.campaign_id),
        "contactUuid": str(call.contact_id),
        "startedAt": iso(call.started_at),
        "answeredAt": iso(call.answered_at),
        "endedAt": iso(call.ended_at),
        "provider": provider,
        "simulated": bool(provider) and not reaches_people(str(provider)),
    }


def campaign_data(campaign: Campaign) -> dict[str, Any]:
    """A campaign as it stands now: its status, and its calls counted."""
    return {
        "campaignId": str(campaign.pk),
        "status": campaign.status,
        "counts": CallLog.objects.filter(campaign=campaign).counts(),
    }


def sample_data(delivery: WebhookDelivery) -> dict[str, Any]:
    """The `data` of a test event."""
    return {
        "message": "This is a test: nothing happened.",
        "endpointId": str(delivery.endpoint_id),
        "simulated": True,
    }


def launch_data(launch: Launch) -> dict[str, Any]:
    """The answer to a bulk request."""
    return {
        "campaignId": launch.campaign.pk,
        "batchSize": launch.campaign.batch_size,
        "batches": launch.batches,
        "calls": [
            {
                "callId": call.call_id,
                "contactUuid": call.contact_id,
                "numberToCall": call.phone_number,
            }
            for call in launch.calls
        ],
    }


def iso(time: datetime | None) -> str | None:
    """ISO 8601 in UTC with milliseconds: `2026-01-15T09:30:00.000Z`."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
