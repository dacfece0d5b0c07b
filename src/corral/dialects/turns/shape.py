"""What the three conversation APIs have in common: `chat.py`, `anthropic.py` and `responses.py` are each a `Shape`.

A message is what OpenAI's chat API calls one (`Message`); the other two are translated, and what the chat API has no word for is kept in the
message under a name of its own, so that the same API gets back what it sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from corral.dialects.changes import Changes
from corral.dialects.usage import Usage

Message: TypeAlias = dict[str, Any]
"""As `sessions.record.Message`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A conversation request, read. Whose conversation it is, is read before that (`dialects.body.Asked`)."""

    system: tuple[Message, ...]
    """The leading system and developer messages, or what the API has instead."""
    messages: tuple[Message, ...]
    """The rest, in order. One message of the API may be several here (tool results), and the other way round."""
    choices: int = 1
    """`n`: of several answers the first is kept."""
    reply: int | None = None
    """Tokens that the answer may take at most, where the request says."""
    extra: int = 0
    """Characters of what else goes into the prompt: tools and their schemas."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an answer said."""

    message: Message | None
    """The assistant's message (choice 0); None when nothing was said."""
    complete: bool
    """It came to its proper end, as the API has it."""
    response_id: str = ""
    usage: Usage | None = None


class Collector(Protocol):
    """Fed an answer's body as it came; asked for the message at the end. Whatever comes, nothing is raised; memory is bounded."""

    def feed(self, piece: bytes) -> None: ...

    def said(self) -> Said:
        """What has been said so far."""
        ...


class Shape(Protocol):
    """One of the APIs."""

    @property
    def name(self) -> str:
        """`chat`, `anthropic` or `responses`."""
        ...

    @property
    def count(self) -> str:
        """The engine's path that counts a prompt's tokens: a POST of the request's body, answered with `input_tokens`."""
        ...

    @property
    def ends(self) -> Sequence[bytes]:
        """The lines, one of which tells that an event stream is whole: as far as they go, without a space after the colon."""
        ...

    def read(self, body: bytes) -> Asked:
        """Raises InvalidRequest, with the index of the message that is wrong."""
        ...

    def changes(self, system: Sequence[Message], messages: Sequence[Message]) -> Changes:
        """What makes a request's body say these, instead of what it says; what only corral understands (`session_id`,
        `previous_response_id`) goes."""
        ...

    def collector(self, content_type: str, content_encoding: str) -> Collector:
        """For an answer of status 200 with these headers."""
        ...
