"""Calls as the API and the webhooks tell of them."""

from typing import Any

from calls.models import CallLog
from calls.providers import reaches_people
from calls.services import Launch
from calls.statuses import NOT_CARRIED, CallStatus, Sentiment
from campaigns.models import Campaign
from contacts.times import iso
from templates.models import AISettingsTemplate


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
    """Where a campaign stands, its calls counted by status and by outcome."""
    return {
        "campaignId": str(campaign.pk),
        "status": campaign.status,
        "counts": CallLog.objects.filter(campaign=campaign).counts(),
    }


def template_data(template: AISettingsTemplate) -> dict[str, Any]:
    """An AI settings template, as its newest version says. Reads `template.versions.all()`."""
    version = max(template.versions.all(), key=lambda version: version.number)
    return {
        "aiSettingsTemplateId": str(template.pk),
        "name": template.name,
        "isDefault": template.is_default,
        "version": version.number,
        "language": version.language,
        "promptTags": [
            {"name": tag, "required": tag not in version.tag_defaults} for tag in version.tags
        ],
        "outcomes": version.outcomes,
    }


def launch_data(launch: Launch, lenient: bool = False) -> dict[str, Any]:
    """The answer to a bulk request; a lenient one says whom it rejected."""
    answer: dict[str, Any] = {
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
    return answer | ({"rejected": launch.rejected} if lenient else {})
