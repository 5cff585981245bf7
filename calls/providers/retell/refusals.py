"""What Retell's refusals mean for us. None of its words is passed on: they may hold numbers."""

import re

from django.utils.translation import gettext as _

from calls.providers.base import AccountError, PermanentError, ProviderError, TemporaryError
from calls.providers.retell.api import Answer, UnexpectedAnswer
from calls.statuses import CallStatus

# Of these nobody knows whether something happened: a time that ran out, a conflict, an early try.
OPEN_QUESTIONS = frozenset({408, 409, 425})

# A 400 or 422 has a message in English and nothing else. The first pattern that fits decides.
_TOO_MANY = re.compile(r"concurren|rate.?limit|throttl|too many")
_OURS = re.compile(
    r"from.?number|override_agent_id|(?<!\.)\bagent\b|asset|response.engine|\bvoice(_id)?\b|"
    r"api.?key|payment|trial|subscription|balance|credit|workspace|organi[sz]ation|verif"
)
_DESTINATION = re.compile(
    r"to.?number|destination|callee|recipient|e\.?164|invalid (phone )?number|"
    r"number is (not valid|invalid)"
)
_NOT_ALLOWED = re.compile(r"countr|region|international|allow|support|permi")


def account_refusal(answer: Answer) -> AccountError | None:
    """What an answer says of the account whatever was asked for, or None."""
    if answer.status == 401:
        return AccountError(_("Retell refuses the API key: it is wrong or was deleted."))
    if answer.status == 402:
        return AccountError(_("Retell wants money: add a payment method or credit there."))
    if answer.status == 403:
        return AccountError(
            _("Retell forbids it: the API key lacks the permission, or the account is blocked.")
        )
    return None


def placement_refusal(answer: Answer) -> Exception:
    """What an answer other than 2xx to a placement says."""
    if error := account_refusal(answer):
        return error
    if answer.status in {404, 405}:
        return AccountError(_("Retell does not know the agent or the number to call from."))
    if answer.status == 429:
        return TemporaryError("retell_answered_429")
    if answer.status in OPEN_QUESTIONS or not 400 <= answer.status < 500:
        return UnexpectedAnswer(answer.status)
    return _by_message(answer.message)


def _by_message(message: str) -> ProviderError:
    """Of a message that fits nothing, the call is to blame: the account goes on."""
    if _TOO_MANY.search(message):
        return TemporaryError("too_many_calls")
    is_ours = _OURS.search(message)
    if _DESTINATION.search(message) and not (is_ours and "from" in is_ours.group()):
        if _NOT_ALLOWED.search(message):
            return PermanentError("destination_not_allowed")
        return PermanentError("invalid_number", CallStatus.INVALID_NUMBER)
    if is_ours:
        return AccountError(
            _("Retell refuses the agent, its voice, the number to call from or the account.")
        )
    return PermanentError("refused_by_provider")
