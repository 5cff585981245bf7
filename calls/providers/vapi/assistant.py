"""The body of a placement: a call with an assistant of its own, made from our template."""

import re
from typing import Any

from calls.providers.base import CallRequest
from calls.providers.vapi.account import BEARER, VOICE_PROVIDERS, Account
from calls.statuses import Sentiment
from contacts.times import iso

# What finds a call again, in the assistant's metadata.
ATTEMPT_ID = "attemptId"
EVENTS = ["status-update", "end-of-call-report"]
# How long Vapi may think about what was said, for each of the two: it delays the report.
ANALYSIS_SECONDS = 20
# Azure asks for a region; where the template names none, the one of most speakers or markets.
REGIONS = {
    "ar": "ar-SA",
    "bn": "bn-BD",
    "de": "de-DE",
    "en": "en-US",
    "es": "es-ES",
    "fa": "fa-IR",
    "fr": "fr-FR",
    "he": "he-IL",
    "hi": "hi-IN",
    "id": "id-ID",
    "it": "it-IT",
    "ja": "ja-JP",
    "ko": "ko-KR",
    "nl": "nl-NL",
    "pl": "pl-PL",
    "pt": "pt-BR",
    "ru": "ru-RU",
    "sv": "sv-SE",
    "tr": "tr-TR",
    "uk": "uk-UA",
    "ur": "ur-PK",
    "vi": "vi-VN",
    "zh": "zh-CN",
}


def call_body(
    request: CallRequest, account: Account, phone_number_id: str, callback_url: str
) -> dict[str, Any]:
    """The body of `POST /call`. Our id stands in three places that Vapi echoes."""
    attempt_id = str(request.attempt_id)
    return {
        "name": attempt_id,
        "phoneNumberId": phone_number_id,
        "customer": {"number": request.number_to, "externalId": attempt_id},
        "assistant": _assistant(request, account, callback_url),
    }


def _assistant(request: CallRequest, account: Account, callback_url: str) -> dict[str, Any]:
    assistant: dict[str, Any] = {
        "metadata": {ATTEMPT_ID: str(request.attempt_id)},
        "model": {
            "provider": account.model_provider,
            "model": account.model,
            "messages": [{"role": "system", "content": _literal(request.system_prompt)}],
            "tools": [{"type": "endCall"}],
        },
        "transcriber": _transcriber(request.language, account.transcriber),
        "maxDurationSeconds": request.max_duration_seconds,
        # Without a message for machines, Vapi hangs up as soon as one answers.
        "voicemailDetection": {"provider": "vapi", "type": "audio"},
        "monitorPlan": {"listenEnabled": False, "controlEnabled": True},
        "artifactPlan": {
            "transcriptPlan": {"enabled": True, "assistantName": "Agent", "userName": "Customer"}
        },
        "analysisPlan": _analysis(request),
    }
    if request.first_message:
        assistant["firstMessage"] = _literal(request.first_message)
        assistant["firstMessageMode"] = "assistant-speaks-first"
    else:
        assistant["firstMessageMode"] = "assistant-waits-for-user"
    if voice := _voice(request.voice or account.voice, account.voice_provider):
        assistant["voice"] = voice
    if callback_url and account.webhook_secret:
        assistant["server"] = _server(account, callback_url)
        assistant["serverMessages"] = EVENTS
    return assistant


def _literal(text: str) -> str:
    """The text with its braces apart: Vapi fills in templates of its own, and a contact's name is
    none.
    """
    return re.sub(r"\{(?=[{%])", "{ ", text)


def _voice(named: str, provider: str) -> dict[str, str] | None:
    """`named` is a voice's id, or its provider and id as in `azure:ar-SA-ZariyahNeural`."""
    before, colon, after = named.partition(":")
    if colon and before in VOICE_PROVIDERS:
        provider, named = before, after
    return {"provider": provider, "voiceId": named} if named else None


def _transcriber(language: str, named: str) -> dict[str, str]:
    base = language.partition("-")[0]
    if (named or ("azure" if base == "ar" else "deepgram")) == "azure":
        region = language if "-" in language else REGIONS.get(base, language)
        return {"provider": "azure", "language": region}
    return {"provider": "deepgram", "model": "nova-3", "language": base}


def _server(account: Account, callback_url: str) -> dict[str, Any]:
    server: dict[str, Any] = {
        "url": callback_url,
        "timeoutSeconds": 20,
        "backoffPlan": {"type": "exponential", "maxRetries": 5, "baseDelaySeconds": 1},
    }
    if account.credential_id:
        server["credentialId"] = account.credential_id
    elif account.scheme == BEARER:
        server["headers"] = {"X-Vapi-Secret": account.webhook_secret}
    return server


def _analysis(request: CallRequest) -> dict[str, Any]:
    return {
        "summaryPlan": {"enabled": True, "timeoutSeconds": ANALYSIS_SECONDS},
        "structuredDataPlan": {
            "enabled": True,
            "timeoutSeconds": ANALYSIS_SECONDS,
            "schema": _schema(request),
        },
    }


def _schema(request: CallRequest) -> dict[str, Any]:
    """What is to be found in the conversation. Vapi's schemas know no null: what may be missing is
    not required.
    """
    properties: dict[str, Any] = {
        "sentiment": {
            "type": "string",
            "enum": list(Sentiment.values),
            "description": "How the person felt about the call at its end.",
        },
        "sentimentReasoning": _string("Why this sentiment, in one sentence."),
        "callBackAt": {
            "type": "string",
            "format": "date-time",
            "description": (
                "The time at which the person asked to be called again, in ISO 8601 with the UTC"
                " offset of the person's own time zone. Leave it out if the person named none."
                f" The call began at {iso(request.started_at)}."
            ),
        },
    }
    required = ["sentiment", "sentimentReasoning"]
    if request.outcomes:
        told = " ".join(f"{word}: {_literal(said)}" for word, said in request.outcomes)
        outcome = {
            "type": "string",
            "enum": [word for word, _said in request.outcomes],
            "description": f"What the conversation came to; the word that fits best. {told}",
        }
        reasoning = _string("Why this outcome, in one sentence.")
        properties = {"outcome": outcome, "outcomeReasoning": reasoning, **properties}
        required = ["outcome", "outcomeReasoning", *required]
    return {"type": "object", "properties": properties, "required": required}


def _string(description: str) -> dict[str, str]:
    return {"type": "string", "description": description}
