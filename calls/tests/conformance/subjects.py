"""The providers that the suite is run with, and what it has to know of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, Self
from uuid import UUID

from calls.statuses import CallStatus
from calls.tests.far_side import Asked

Message = tuple[dict[str, str], bytes]  # headers and body, as they come to /hooks/{account}


class Fake(Protocol):
    """The provider's far side: a real server on loopback, inside a `with` block.

    `calls`: what was placed, by our id. `asked`: every request, in order; a placement's body
    holds our id.
    """

    @property
    def calls(self) -> Mapping[UUID, Any]: ...
    @property
    def asked(self) -> list[Asked]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *failure: object) -> None: ...

    def account_fields(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Settings and credentials of an account there."""
        ...

    def answer_next(self, fault: str, *, takes_call: bool = False) -> None:
        """Answer the next request by the fault of this name: a key of `FAULTS` in
        `calls/tests/fake_agent.py`. `takes_call`: what is asked for is done before.
        """
        ...

    def ring(self, attempt_id: UUID) -> Message | None:
        """The telephone rings: the message that tells so, if there is one. It is seen by look-ups
        from now on, as the two below.
        """
        ...

    def answer(self, attempt_id: UUID) -> Message | None: ...

    def end(
        self, attempt_id: UUID, status: CallStatus = CallStatus.COMPLETED, **told: Any
    ) -> Message:
        """`status`: the one we are to understand. `told`: fields in the provider's own words."""
        ...

    def forge(self, message: Message) -> Message:
        """The message as somebody sends it who does not know the secret."""
        ...


@dataclass(frozen=True, slots=True)
class Subject:
    """`deadline`: the module's number of seconds that a whole request may take. `strange`: fields
    of an ending whose reason nobody has heard of, which holds the word `unheard`. `said`: those of
    an ending with this transcript. `untold`: statuses that the provider has no word for.
    """

    name: str
    module: str
    fake: str
    deadline: str
    strange: Mapping[str, Any] = field(default_factory=lambda: {"reason": "unheard-of"})
    said: Callable[[str], dict[str, Any]] = lambda text: {"transcript": text}
    untold: frozenset[str] = frozenset()

    def make_fake(self) -> Fake:
        fake: Fake = getattr(import_module(self.module), self.fake)()
        return fake


ALL = [
    Subject(
        "http", "calls.tests.fake_agent", "FakeAgent", "calls.providers.http.agent.AGENT_SECONDS"
    ),
    Subject(
        "vapi",
        "calls.tests.fake_vapi",
        "FakeVapi",
        "calls.providers.vapi.api.REQUEST_SECONDS",
        said=lambda text: {"artifact": {"transcript": text}},
    ),
    Subject(
        "retell",
        "calls.tests.fake_retell",
        "FakeRetell",
        "calls.providers.retell.api.REQUEST_SECONDS",
        strange={"disconnection_reason": "unheard_of"},
    ),
]
# Each joins as soon as its fake is there.
SUBJECTS = [subject for subject in ALL if find_spec(subject.module)]
