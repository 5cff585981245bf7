"""Where a call is: what the line did, not what the person said."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class CallStatus(models.TextChoices):
    QUEUED = "queued", _("queued")
    DIALING = "dialing", _("dialing")
    RINGING = "ringing", _("ringing")
    IN_PROGRESS = "in_progress", _("in progress")
    COMPLETED = "completed", _("completed")
    NO_ANSWER = "no_answer", _("no answer")
    BUSY = "busy", _("busy")
    VOICEMAIL = "voicemail", _("voicemail")
    REJECTED = "rejected", _("rejected")
    INVALID_NUMBER = "invalid_number", _("invalid number")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    SKIPPED = "skipped", _("skipped")


LIVE = (CallStatus.DIALING, CallStatus.RINGING, CallStatus.IN_PROGRESS)
OPEN = (CallStatus.QUEUED, *LIVE)
UNANSWERED = (CallStatus.QUEUED, CallStatus.DIALING, CallStatus.RINGING)
TERMINAL = tuple(status for status in CallStatus if status not in OPEN)
# The provider did not carry the call to the person's line.
NOT_CARRIED = (
    CallStatus.INVALID_NUMBER,
    CallStatus.FAILED,
    CallStatus.CANCELLED,
    CallStatus.SKIPPED,
)

# Why a call ended of which nobody could say how: the person may have been called, or spoken to.
UNKNOWN, TIMED_OUT = "unknown", "timed_out"

_ORDER = {status: step for step, status in enumerate((CallStatus.QUEUED, *LIVE))}


def is_forward(current: str, new: str) -> bool:
    """Does `new` lie further on than `current`? Nothing lies beyond an end."""
    last = len(_ORDER)
    return _ORDER.get(CallStatus(new), last) > _ORDER.get(CallStatus(current), last)


class Sentiment(models.TextChoices):
    POSITIVE = "POSITIVE", _("positive")
    NEUTRAL = "NEUTRAL", _("neutral")
    NEGATIVE = "NEGATIVE", _("negative")
