"""The REST endpoints of calls and campaigns."""

from typing import Any, ClassVar
from uuid import UUID

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls.models import CallLog
from calls.payloads import call_data, launch_data
from calls.schemas import read_bulk_request
from calls.services import launch_campaign
from campaigns.models import Campaign, CampaignSource
from contacts.validation import InvalidInput, error_detail, raw_body


class BulkCallView(APIView):
    """`POST /ai/phone-calls/action/call-bulk`: launch a campaign of calls."""

    scopes: ClassVar = {"POST": "calls:write"}

    def post(self, request: Request) -> Response:
        asked = read_bulk_request(raw_body(request.data))
        launch = launch_campaign(
            asked, CampaignSource.API, api_client_id=UUID(str(request.user.pk))
        )
        return Response(launch_data(launch), status=201)


class CallView(APIView):
    """`GET /ai/phone-calls/{callId}`: a call with all its attempts."""

    scopes: ClassVar = {"GET": "calls:read"}

    def get(self, request: Request, call_id: str) -> Response:
        calls = CallLog.objects.filter(call_id=read_uuid("callId", call_id))
        attempts = list(calls.select_related("account").order_by("attempt"))
        if not attempts:
            raise Http404
        answer = _with_prompts(attempts[-1])
        answer["attempts"] = [_with_prompts(attempt) for attempt in attempts]
        return Response(answer)


class CampaignView(APIView):
    """`GET /ai/campaigns/{campaignId}`: where a campaign stands."""

    scopes: ClassVar = {"GET": "calls:read"}

    def get(self, request: Request, campaign_id: str) -> Response:
        campaign = Campaign.objects.filter(pk=read_uuid("campaignId", campaign_id)).first()
        if campaign is None:
            raise Http404
        counts = CallLog.objects.filter(campaign=campaign).counts()
        return Response({"campaignId": campaign.pk, "status": campaign.status, "counts": counts})


def read_uuid(name: str, text: str) -> UUID:
    """A UUID of the path. Raises `InvalidInput`."""
    try:
        return UUID(text)
    except ValueError:
        message = "Input should be a valid UUID"
        raise InvalidInput([error_detail(["path", name], message, "uuid_parsing")]) from None


def _with_prompts(call: CallLog) -> dict[str, Any]:
    was_dialled = call.started_at is not None
    return call_data(call) | {
        "status": call.status,
        "systemPrompt": call.system_prompt if was_dialled else None,
        "firstMessage": call.first_message if was_dialled else None,
    }
