"""What a conversation brought, where the provider does not say it in the template's words."""

import logging
from dataclasses import replace
from functools import lru_cache

from django.conf import settings
from django.utils.translation import gettext as _

from calls.evaluation.base import Answer, EvaluationFailed, Evaluator, Promise, Question
from calls.evaluation.chat import ChatEvaluator
from calls.evaluation.check import check
from calls.evaluation.rules import RulesEvaluator
from calls.models import CallLog
from calls.retries import zone_named

__all__ = [
    "Answer",
    "EvaluationFailed",
    "Evaluator",
    "Promise",
    "Question",
    "evaluate_call",
    "evaluator",
    "question_of",
]

logger = logging.getLogger(__name__)


class CheckedEvaluator(Evaluator):
    """Another evaluator's answers, held against the transcript. Where that evaluator fails and
    `falls_back`, the rules decide, and the reasoning says so.
    """

    def __init__(self, inner: Evaluator, *, falls_back: bool) -> None:
        self.inner, self.falls_back = inner, falls_back

    def evaluate(self, question: Question) -> Answer:
        try:
            return check(question, self._answer(question))
        except EvaluationFailed as error:
            if not self.falls_back:
                raise
            logger.warning("The evaluator failed (%s): rules decide instead", error.reason)
        answer = check(question, RulesEvaluator().evaluate(question))
        failed = _("The evaluator gave no answer.")
        return replace(answer, reasoning=f"{answer.reasoning} {failed}")

    def _answer(self, question: Question) -> Answer:
        if not question.transcript.strip():  # nothing to ask anybody about
            return RulesEvaluator().evaluate(question)
        return self.inner.evaluate(question)


@lru_cache(maxsize=8)
def _chat(url: str, key: str, model: str) -> ChatEvaluator:
    return ChatEvaluator(url, key, model)


def evaluator(*, falls_back: bool = True) -> Evaluator:
    """The evaluator of the settings; without `EVALUATOR_URL` the rules.

    With `falls_back` the rules decide where the endpoint fails; without, `EvaluationFailed` is
    raised, so that a temporary failure can be tried again.
    """
    url = settings.EVALUATOR_URL
    inner = _chat(url, settings.EVALUATOR_KEY, settings.EVALUATOR_MODEL) if url else None
    return CheckedEvaluator(inner or RulesEvaluator(), falls_back=falls_back)


def question_of(call: CallLog) -> Question:
    """Reads `call.campaign.template_version` and `call.contact`."""
    version = call.campaign.template_version
    return Question(
        transcript=call.transcript,
        outcomes=tuple((outcome["word"], outcome["description"]) for outcome in version.outcomes),
        language=version.language,
        started_at=call.started_at or call.created_at,
        zone=zone_named(call.contact.time_zone),
        tags=version.tag_defaults | call.prompt_tags,
    )


def evaluate_call(call: CallLog, *, falls_back: bool = True) -> Answer:
    """What the call's transcript says it brought; stores nothing. It may take 30 seconds, so hold
    no transaction open. Raises `EvaluationFailed` only without `falls_back`.
    """
    return evaluator(falls_back=falls_back).evaluate(question_of(call))
