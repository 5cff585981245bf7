"""How a Vapi call ended, in our words: the one table from its `endedReason`."""

import logging
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from calls.statuses import CallStatus

logger = logging.getLogger(__name__)

MAX_REASON = 120  # characters the database keeps


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an ended reason says. `was_answered`: somebody, or a machine, picked up. `counts`: the
    person's telephone was reached. `blames`: Vapi, the account or the line failed, not this call.
    """

    status: CallStatus
    reason: str
    was_answered: bool = False
    counts: bool = True
    blames: bool = False
    is_final: bool = False
    is_known: bool = True


def _talk(reason: str) -> Meaning:
    return Meaning(CallStatus.COMPLETED, reason, was_answered=True)


def _failure(reason: str, *, was_answered: bool) -> Meaning:
    failed = CallStatus.FAILED
    return Meaning(failed, reason, was_answered=was_answered, counts=was_answered, blames=True)


CUSTOMER_ENDED, AGENT_ENDED = _talk("customer_ended_call"), _talk("agent_ended_call")
LINE_ENDED = _talk("call_completed")
TRANSFERRED, TRANSFER_FAILED = _talk("transferred"), _talk("transfer_failed")
SILENCE, MAX_DURATION = _talk("silence"), _talk("max_duration")
NO_ANSWER = Meaning(CallStatus.NO_ANSWER, "no_answer")
BUSY = Meaning(CallStatus.BUSY, "busy")
VOICEMAIL = Meaning(CallStatus.VOICEMAIL, "voicemail", was_answered=True)
INVALID_NUMBER = Meaning(CallStatus.INVALID_NUMBER, "invalid_number", counts=False, is_final=True)
CANCELLED = Meaning(CallStatus.CANCELLED, "cancelled", counts=False, is_final=True)
NO_AUDIO = Meaning(CallStatus.FAILED, "no_audio", was_answered=True)
CAPACITY = _failure("capacity", was_answered=False)
NOT_CARRIED = _failure("carrier_failed", was_answered=False)
LINE_BROKE = _failure("carrier_failed", was_answered=True)
ACCOUNT = _failure("account_error", was_answered=False)
ACCOUNT_IN_CALL = _failure("account_error", was_answered=True)
PROVIDER = _failure("provider_error", was_answered=False)
PROVIDER_IN_CALL = _failure("provider_error", was_answered=True)

# The first that fits is taken: a whole word, or a family with `*` for whatever stands there.
TABLE: tuple[tuple[str, Meaning], ...] = (
    # Two people, or one and the agent, talked.
    ("customer-ended-call*", CUSTOMER_ENDED),
    ("assistant-ended-call*", AGENT_ENDED),
    ("assistant-said-end-call-phrase", AGENT_ENDED),
    ("call.ending.hook-executed-*", AGENT_ENDED),
    ("call.in-progress.twilio-completed-call", LINE_ENDED),
    ("call.in-progress.sip-completed-call", LINE_ENDED),
    ("vonage-completed", LINE_ENDED),
    ("assistant-forwarded-call", TRANSFERRED),
    ("call.forwarding.*", TRANSFER_FAILED),
    ("call.in-progress.error-warm-transfer-*", TRANSFER_FAILED),
    ("call.in-progress.error-transfer-failed", TRANSFER_FAILED),
    ("silence-timed-out", SILENCE),
    ("exceeded-max-duration", MAX_DURATION),
    # Nobody did.
    ("customer-did-not-answer", NO_ANSWER),
    ("*-sip-408-*", NO_ANSWER),
    ("*-sip-480-*", NO_ANSWER),
    ("customer-busy", BUSY),
    ("*-sip-486-*", BUSY),
    ("*-sip-600-*", BUSY),
    ("*-sip-603-*", Meaning(CallStatus.REJECTED, "rejected")),
    ("voicemail", VOICEMAIL),
    ("twilio-reported-customer-misdialed", INVALID_NUMBER),
    ("*-sip-484-*", INVALID_NUMBER),
    ("manually-canceled", CANCELLED),
    ("scheduled-call-deleted", CANCELLED),
    ("call-deleted", CANCELLED),
    # The line failed.
    ("call.in-progress.error-assistant-did-not-receive-customer-audio", NO_AUDIO),
    ("customer-did-not-give-microphone-permission", NO_AUDIO),
    ("*-failed-to-connect*", NOT_CARRIED),
    ("call.ringing.*", NOT_CARRIED),
    ("vonage-rejected", NOT_CARRIED),
    ("*-sip-*", NOT_CARRIED),
    ("*-transport-never-connected", NOT_CARRIED),
    ("*-transport-connected-but-call-not-active", NOT_CARRIED),
    ("*-connection-to-transport-missing", NOT_CARRIED),
    ("vonage-disconnected", LINE_BROKE),
    ("phone-call-provider-closed-websocket", LINE_BROKE),
    # The account has too many calls, for now.
    ("*concurrency-limit-reached", CAPACITY),
    ("*-outbound-daily-limit", CAPACITY),
    # Somebody has to mend the account, or what it uses.
    ("call.start.error-vapifault-*", PROVIDER),
    ("call.start.error-providerfault-*", PROVIDER),
    ("call.start.*", ACCOUNT),
    ("call-start-error-*", ACCOUNT),
    ("assistant-request-*", ACCOUNT),
    ("assistant-not-*", ACCOUNT),
    ("phone-call-provider-bypass-enabled-but-no-call-received", ACCOUNT),
    ("*-401-*", ACCOUNT_IN_CALL),
    ("*-403-*", ACCOUNT_IN_CALL),
    ("*-404-not-found", ACCOUNT_IN_CALL),
    ("*-429-exceeded-quota", ACCOUNT_IN_CALL),
    ("*-400-insuffic*", ACCOUNT_IN_CALL),  # as it is spelt
    ("*-400-paid-only-feature", ACCOUNT_IN_CALL),
    ("*-400-no-such-model-*", ACCOUNT_IN_CALL),
    ("*-api-key*", ACCOUNT_IN_CALL),
    ("*-transcriber-auth-failed", ACCOUNT_IN_CALL),
    ("*-transcriber-invalid-config", ACCOUNT_IN_CALL),
    ("*-out-of-credits", ACCOUNT_IN_CALL),
    ("*-requested-payment", ACCOUNT_IN_CALL),
    ("*-quota-exceeded", ACCOUNT_IN_CALL),
    ("*-character-limit-exceeded", ACCOUNT_IN_CALL),
    ("*-requested-upgrade", ACCOUNT_IN_CALL),
    ("*-unauthorized-*", ACCOUNT_IN_CALL),
    ("*-blocked-*", ACCOUNT_IN_CALL),
    ("*-voice-not-*", ACCOUNT_IN_CALL),
    ("*-voice-disabled-by-owner", ACCOUNT_IN_CALL),
    ("*-invalid-voice*", ACCOUNT_IN_CALL),
    ("*-missing-samples-*", ACCOUNT_IN_CALL),
    ("*-professional-voices-only-*", ACCOUNT_IN_CALL),
    ("*-valid-voice-manifest-uri", ACCOUNT_IN_CALL),
    # Vapi, or a service that it uses, failed.
    ("*-worker-not-available", PROVIDER),
    ("assistant-join-timed-out", PROVIDER),
    ("*chat-pipeline-failed-to-start", PROVIDER),
    ("*vapifault*", PROVIDER_IN_CALL),
    ("*providerfault*", PROVIDER_IN_CALL),
    ("pipeline-error-*", PROVIDER_IN_CALL),
    ("call.in-progress.error-pipeline-*", PROVIDER_IN_CALL),
    ("*-llm-failed", PROVIDER_IN_CALL),
    ("*-voice-failed", PROVIDER_IN_CALL),
    ("*-transcriber-failed", PROVIDER_IN_CALL),
    ("worker-shutdown", PROVIDER_IN_CALL),
)


@lru_cache(maxsize=2048)
def meaning_of(ended_reason: str) -> Meaning:
    """What Vapi's word says. One that no rule knows is a failure, kept as it came; it is logged
    the first time.
    """
    for pattern, meaning in TABLE:
        if fnmatchcase(ended_reason, pattern):
            return meaning
    kept = ended_reason[:MAX_REASON]
    logger.warning("Vapi ended a call for a reason that is not known: %r", kept)
    return Meaning(CallStatus.FAILED, kept or "unknown", was_answered=True, is_known=False)
