"""What Retell's disconnection reasons mean in our words: the one table."""

import logging
from typing import NamedTuple

from calls.statuses import CallStatus

logger = logging.getLogger(__name__)

MAX_REASON = 100  # characters kept of a reason that is not listed
MAX_NOTED = 100  # unlisted reasons remembered


class Rule(NamedTuple):
    """`counts_as_attempt`: for a line that nobody picked up; one that was picked up counts."""

    status: CallStatus
    reason: str
    counts_as_attempt: bool = True
    is_final: bool = False
    blames_provider: bool = False


def _talk(reason: str) -> Rule:
    return Rule(CallStatus.COMPLETED, reason)


def _fault(reason: str) -> Rule:
    """Retell, its telephony or the account failed, whoever was called."""
    return Rule(CallStatus.FAILED, reason, counts_as_attempt=False, blames_provider=True)


RULES = {
    "user_hangup": _talk("customer_hung_up"),
    "agent_hangup": _talk("agent_hung_up"),
    "inactivity": _talk("silence"),
    "max_duration_reached": _talk("max_duration_reached"),
    "manual_stopped": _talk("stopped"),
    "call_transfer": _talk("transferred"),
    "transfer_bridged": _talk("transferred"),
    "transfer_cancelled": _talk("transfer_cancelled"),
    "call_take_over": _talk("taken_over"),
    "voicemail_reached": Rule(CallStatus.VOICEMAIL, "voicemail"),
    "ivr_reached": Rule(CallStatus.VOICEMAIL, "menu_answered"),
    "dial_busy": Rule(CallStatus.BUSY, "busy"),
    "dial_no_answer": Rule(CallStatus.NO_ANSWER, "no_answer"),
    "user_declined": Rule(CallStatus.REJECTED, "declined"),
    "invalid_destination": Rule(
        CallStatus.INVALID_NUMBER, "invalid_number", counts_as_attempt=False, is_final=True
    ),
    # The carrier gave no cause, so the telephone may have rung, and the number may be to blame.
    "dial_failed": Rule(CallStatus.FAILED, "dial_failed"),
    # The number that calls is taken for spam: every call from it is.
    "marked_as_spam": _fault("number_marked_as_spam"),
    "sip_routing_error": _fault("carrier_failed"),
    "telephony_provider_unavailable": _fault("carrier_failed"),
    "telephony_provider_permission_denied": _fault("account_refused_by_carrier"),
    "no_valid_payment": _fault("account_without_payment"),
    "scam_detected": _fault("account_blocked"),
    "concurrency_limit_reached": _fault("too_many_calls"),
    "no_concurrency_fallback": _fault("too_many_calls"),
    "registered_call_timeout": _fault("provider_failed"),
    "error_llm_websocket_open": _fault("agent_failed"),
    "error_llm_websocket_lost_connection": _fault("agent_failed"),
    "error_llm_websocket_runtime": _fault("agent_failed"),
    "error_llm_websocket_corrupt_payload": _fault("agent_failed"),
    "error_no_audio_received": _fault("no_audio"),
    "error_asr": _fault("provider_failed"),
    "error_retell": _fault("provider_failed"),
    "error_unknown": _fault("provider_failed"),
    "error_user_not_joined": _fault("provider_failed"),
}

_noted: set[str] = set()


def rule_of(disconnection_reason: str) -> Rule:
    """The rule of a reason. One that is not listed is a failure under its own name, and logged
    once.
    """
    if rule := RULES.get(disconnection_reason):
        return rule
    reason = disconnection_reason[:MAX_REASON]
    if reason not in _noted and len(_noted) < MAX_NOTED:
        _noted.add(reason)
        logger.warning("Retell ends calls for a reason that is not known: %r", reason)
    return Rule(CallStatus.FAILED, reason)
