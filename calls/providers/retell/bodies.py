"""What we tell Retell."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from calls.providers.base import CallRequest

# A placement takes up to 10 seconds and a call rings for 30: when the platform believes that a
# call was never placed, 60 seconds after its start, the call is answered or over, and listed.
RINGS_FOR_MS = 30_000
MIN_DURATION_MS, MAX_DURATION_MS = 60_000, 7_200_000
WEBHOOK_EVENTS = ("call_started", "call_ended", "call_analyzed")
WEBHOOK_TIMEOUT_MS = 10_000

# The languages that Retell listens to, each language's first one first.
_LANGUAGES = (
    "en-US en-IN en-GB en-AU en-NZ de-DE es-ES es-419 hi-IN fr-FR fr-CA ja-JP pt-PT pt-BR "
    "zh-CN ru-RU it-IT ko-KR nl-NL nl-BE pl-PL tr-TR vi-VN ro-RO bg-BG ca-ES th-TH da-DK "
    "fi-FI el-GR hu-HU id-ID no-NO sk-SK sv-SE lt-LT lv-LV cs-CZ ms-MY af-ZA ar-SA az-AZ "
    "bs-BA cy-GB fa-IR fil-PH gl-ES he-IL hr-HR hy-AM is-IS kk-KZ kn-IN mk-MK mr-IN ne-NP "
    "sl-SI sr-RS sw-KE ta-IN ur-IN yue-CN uk-UA"
)
LANGUAGES = _LANGUAGES.split()


def call_body(
    request: CallRequest, number_from: str, agent_id: str, callback_url: str
) -> dict[str, Any]:
    """The body of a placement. Every dynamic variable is a string, as Retell wants it."""
    variables = {name: str(value) for name, value in request.tags.items()}
    return {
        "from_number": number_from,
        "to_number": request.number_to,
        "override_agent_id": agent_id,
        "retell_llm_dynamic_variables": variables
        | {"system_prompt": request.system_prompt, "first_message": request.first_message},
        "metadata": {"attempt_id": str(request.attempt_id), "attempt": request.attempt},
        "agent_override": {"agent": _agent(request, callback_url)},
    }


def _agent(request: CallRequest, callback_url: str) -> dict[str, Any]:
    """What of the agent is other for this call."""
    duration = request.max_duration_seconds * 1000
    agent: dict[str, Any] = {
        "voicemail_option": {"action": {"type": "hangup"}},
        "ring_duration_ms": RINGS_FOR_MS,
        "max_call_duration_ms": min(max(duration, MIN_DURATION_MS), MAX_DURATION_MS),
        "post_call_analysis_data": _questions(request.outcomes),
    }
    if language := language_of(request.language):
        agent["language"] = language
    if request.voice:
        agent["voice_id"] = request.voice
    if callback_url:
        agent |= {
            "webhook_url": callback_url,
            "webhook_events": list(WEBHOOK_EVENTS),
            "webhook_timeout_ms": WEBHOOK_TIMEOUT_MS,
        }
    return agent


def _questions(outcomes: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """What is to be found out from the conversation, beside Retell's own summary and sentiment."""
    back = {
        "type": "string",
        "name": "call_back_at",
        "description": "When the person asked to be called again, as a time in ISO 8601 with its "
        "offset from UTC. Empty if they did not name a time.",
        "examples": ["2026-01-15T17:30:00+03:00"],
    }
    if not outcomes:
        return [back]
    words = "\n".join(f"{word}: {said}" for word, said in outcomes)
    outcome = {
        "type": "enum",
        "name": "outcome",
        "description": f"What the call brought; the one that fits best.\n{words}",
        "choices": [word for word, _ in outcomes],
    }
    reasoning = {
        "type": "string",
        "name": "outcome_reasoning",
        "description": "In one sentence, what the person said that makes this the outcome.",
    }
    return [outcome, reasoning, back]


def language_of(language: str) -> str:
    """Retell's word for a language in BCP 47; of one it does not list, any of the same language.
    Empty where it has none: then the agent's own stays.
    """
    wanted = language.lower()
    primary = wanted.partition("-")[0] + "-"
    exact = (word for word in LANGUAGES if word.lower() == wanted)
    near = (word for word in LANGUAGES if word.startswith(primary))
    return next(exact, "") or next(near, "")


def search_body(attempt_id: UUID) -> dict[str, Any]:
    """Asks `/v3/list-calls` for the calls of an attempt. Not limited to a time: a call has none
    before it is answered, and one that is missed is placed again.
    """
    ours = {"type": "string", "op": "eq", "key": "attempt_id", "value": str(attempt_id)}
    return {"filter_criteria": {"metadata": [ours]}, "sort_order": "descending", "limit": 50}


def old_search_body(attempt_id: UUID) -> dict[str, Any]:
    """The same for `/v2/list-calls`."""
    criteria = {"metadata.attempt_id": [str(attempt_id)]}
    return {"filter_criteria": criteria, "sort_order": "descending", "limit": 50}
