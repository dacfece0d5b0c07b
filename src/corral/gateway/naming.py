"""Which conversation a request belongs to, by what it says itself.

1. A session is named by the body's `session_id`, or a header; an answer to go on from, by `previous_response_id`. Of those that name nothing,
   the configuration says whether they begin a session.
2. Who names nothing, and begins nothing, costs no more than this look.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Final

import msgspec

from corral.config.model import Config
from corral.dialects.body import Asked
from corral.dialects.turns.shape import Shape
from corral.errors import InvalidRequest
from corral.gateway.ports import Headers

LONGEST: Final = 200
"""Characters of a session's id."""
HEADERS: Final = frozenset({b"x-corral-session", b"x-hotmodel-session"})
_OURS: Final = HEADERS | {b"accept-encoding"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_optional_text: Final = msgspec.json.Decoder(str | None).decode


@dataclass(frozen=True, slots=True)
class Wanted:
    """A conversation to go on with: that of a session, or the one in which an answer of this id was given."""

    shape: Shape
    session: str
    """Empty: the answer's, or a new one."""
    previous: str = ""
    stores: bool = True
    """False: this turn is not to be kept, by OpenAI's `store`."""
    optional: bool = False
    """Nobody has asked corral to keep it: an answer that is not known here is somebody else's."""

    @property
    def new(self) -> str:
        """The id for a session that nobody has named."""
        return self.session or str(uuid.uuid4())


def wanted(asked: Asked, headers: Headers, config: Config, shape: Shape) -> Wanted | None:
    """None: nothing is kept of it. Raises InvalidRequest."""
    responses = shape.name == "responses"
    nothing = config.format == "hotmodel" and asked.session == b'""'  # as there
    session = session_id(b"" if nothing else asked.session, headers)
    previous = _text(asked.previous, "previous_response_id") if responses else None
    if session is not None:
        return Wanted(shape, session, previous or "")
    stores = not responses or asked.store != b"false"
    keeps = config.keeps_responses and responses
    if previous:
        return Wanted(shape, "", previous, stores, optional=not keeps)
    if stores and (keeps or config.sessions.mode == "always"):
        return Wanted(shape, "")
    return None


def session_id(given: bytes, headers: Headers) -> str | None:
    """The name in the body (a JSON text), else in the headers. Raises InvalidRequest."""
    named = _text(given, "session_id") if given else None
    if named is None:
        for name, value in headers:
            if name in HEADERS:
                named = _decoded(value)
                break
        else:
            return None
    return checked(named)


def passed_on(headers: Headers) -> Headers:
    """What an engine gets of a turn's headers: a peer must not keep the conversation as well, and the answer is to be read."""
    return [header for header in headers if header[0] not in _OURS]


def checked(name: str) -> str:
    """A session's id, fit to be one: in a header it has no space around it, in a path it is no step. Raises InvalidRequest."""
    name = name.strip(" ")
    if not name.strip():
        raise InvalidRequest("a session's id must not be empty")
    if name in (".", ".."):
        raise InvalidRequest("a session's id must not be `.` or `..`: paths lose it")
    if len(name) > LONGEST:
        raise InvalidRequest(f"a session's id has {LONGEST} characters at most")
    if _CONTROL.search(name):
        raise InvalidRequest("a session's id must not have control characters")
    return name


def _text(given: bytes, member: str) -> str | None:
    try:
        return _optional_text(given) if given else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidRequest(f"`{member}` must be text") from None


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
