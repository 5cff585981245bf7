"""The REST endpoints of calls, campaigns and templates."""

import re
from typing import Any, ClassVar
from uuid import UUID

from django.http import Http404
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from calls import control
from calls.idempotency import HEADER, launch_once, read_attempt
from calls.models import CallLog
from calls.payloads import call_data, campaign_data, launch_data, template_data
from calls.schemas import CallsQuery, of_one_call, read_bulk_request, read_call_request
from calls.services import Launch, launch_campaign
from campaigns.models import Campaign, CampaignSource
from contacts.paging import Page, list_page, read_query
from contacts.validation import InvalidInput, raw_body, read_uuid
from templates.models import AISettingsTemplate

LENIENT = re.compile(r'handling\s*=\s*"?lenient"?', re.IGNORECASE)


class Conflict(APIException):
    """What is asked does not fit where the call or the campaign stands."""

    status_code = 409
    default_code = "conflict"


def client_id(request: Request) -> UUID:
    return UUID(str(request.user.pk))


class BulkCallView(APIView):
    """`POST /ai/phone-calls/action/call-bulk`: launch a campaign of calls."""

    scopes: ClassVar = {"POST": "calls:write"}

    def post(self, request: Request) -> Response:
        body, prefer = raw_body(request.data), request.headers.get("Prefer", "")
        lenient = any(LENIENT.fullmatch(p.split(";")[0].strip()) for p in prefer.split(","))

        def launch() -> Launch:
            return launch_campaign(
                read_bulk_request(body),
                CampaignSource.API,
                lenient=lenient,
                api_client_id=client_id(request),
            )

        key = request.headers.get(HEADER)
        attempt = read_attempt(client_id(request), "call-bulk", key, body, prefer)
        answer = Response(launch_data(launch_once(attempt, launch), lenient), status=201)
        if lenient:
            answer["Preference-Applied"] = "handling=lenient"
        return answer


class CallOneView(APIView):
    """`POST /ai/phone-calls/action/call`: call one person."""

    scopes: ClassVar = {"POST": "calls:write"}

    def post(self, request: Request) -> Response:
        body = raw_body(request.data)

        def launch() -> Launch:
            asked = read_call_request(body)
            try:
                return launch_campaign(asked, CampaignSource.API, api_client_id=client_id(request))
            except InvalidInput as refused:
                raise of_one_call(refused) from None

        key, prefer = request.headers.get(HEADER), request.headers.get("Prefer", "")
        attempt = read_attempt(client_id(request), "call", key, body, prefer)
        done = launch_data(launch_once(attempt, launch))
        return Response(done["calls"][0] | {"campaignId": done["campaignId"]}, status=201)


class CallsView(APIView):
    """`GET /ai/phone-calls`: calls by their last attempt, the newest first."""

    scopes: ClassVar = {"GET": "calls:read"}

    def get(self, request: Request) -> Response:
        asked = read_query(CallsQuery, request.query_params)
        calls = CallLog.objects.last_attempts().select_related("account")
        if asked.campaign_id:
            calls = calls.filter(campaign=asked.campaign_id)
        if asked.status:
            calls = calls.filter(status=asked.status)
        return Response(list_page(calls.order_by("-created_at", "pk"), asked, with_prompts))


class CallView(APIView):
    """`GET /ai/phone-calls/{callId}`: a call with all its attempts."""

    scopes: ClassVar = {"GET": "calls:read"}

    def get(self, request: Request, call_id: str) -> Response:
        return Response(call_with_attempts(read_uuid("callId", call_id)))


class CallCancelView(APIView):
    """`POST /ai/phone-calls/{callId}/action/cancel`."""

    scopes: ClassVar = {"POST": "calls:write"}

    def post(self, request: Request, call_id: str) -> Response:
        uuid = read_uuid("callId", call_id)
        try:
            control.cancel_call(uuid)
        except CallLog.DoesNotExist:
            raise Http404 from None
        except control.NotAllowed as refused:
            raise Conflict(str(refused)) from None
        return Response(call_with_attempts(uuid))


class CampaignView(APIView):
    """`GET /ai/campaigns/{campaignId}`: where a campaign stands."""

    scopes: ClassVar = {"GET": "calls:read"}

    def get(self, request: Request, campaign_id: str) -> Response:
        return Response(campaign_data(find_campaign(campaign_id)))


class CampaignActionView(APIView):
    """`POST /ai/campaigns/{campaignId}/action/pause`, `…/resume` and `…/cancel`."""

    scopes: ClassVar = {"POST": "campaigns:control"}
    actions: ClassVar = {
        "pause": control.pause_campaign,
        "resume": control.resume_campaign,
        "cancel": control.cancel_campaign,
    }

    def post(self, request: Request, campaign_id: str, action: str) -> Response:
        if action not in self.actions:
            raise Http404
        campaign = find_campaign(campaign_id)
        try:
            self.actions[action](campaign)
        except control.NotAllowed as refused:
            raise Conflict(str(refused)) from None
        return Response(campaign_data(campaign))


class TemplatesView(APIView):
    """`GET /ai/settings-templates`: the AI settings templates, by name."""

    scopes: ClassVar = {"GET": "calls:read"}

    def get(self, request: Request) -> Response:
        page = read_query(Page, request.query_params)
        templates = AISettingsTemplate.objects.prefetch_related("versions").order_by("name")
        return Response(list_page(templates, page, template_data))


def find_campaign(campaign_id: str) -> Campaign:
    """Raises `InvalidInput` for what is no UUID and `Http404` for no campaign's."""
    campaign = Campaign.objects.filter(pk=read_uuid("campaignId", campaign_id)).first()
    if campaign is None:
        raise Http404
    return campaign


def call_with_attempts(call_id: UUID) -> dict[str, Any]:
    """A call as it stands now. Raises `Http404`."""
    calls = CallLog.objects.filter(call_id=call_id).select_related("account")
    attempts = [with_prompts(attempt) for attempt in calls.order_by("attempt")]
    if not attempts:
        raise Http404
    return attempts[-1] | {"attempts": attempts}


def with_prompts(call: CallLog) -> dict[str, Any]:
    was_dialled = call.started_at is not None
    return call_data(call) | {
        "status": call.status,
        "systemPrompt": call.system_prompt if was_dialled else None,
        "firstMessage": call.first_message if was_dialled else None,
    }
