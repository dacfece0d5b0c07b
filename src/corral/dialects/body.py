"""Which model a request asks for, read from its body. What corral changes in a body: `changes.py`.

1. Reading builds nothing but the name: a body in memory is skimmed by msgspec, one that comes in pieces by `Reader`, which holds none of it.
2. A name given twice counts as it was given last, as JSON parsers have it.
3. What cannot be read is InvalidRequest; what names no model, or an empty one, is ModelRequired unless there is a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from corral.dialects.endpoints import Place
from corral.errors import InvalidRequest, ModelRequired
from corral.wire import multipart, pairs
from corral.wire.members import Members


@dataclass(frozen=True, slots=True)
class Asked:
    """What corral wants to know of a request: the model's name as given, and whether the answer is to be streamed.

    The rest is of use for conversations: JSON texts, empty for members that are not there.
    """

    model: str
    stream: bool = False
    session: bytes = b""
    """`session_id`"""
    previous: bytes = b""
    """`previous_response_id`"""
    store: bytes = b""
    """`store`"""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a body is written; `boundary` is a multipart form's."""

    kind: Literal["json", "urlencoded", "multipart"]
    boundary: bytes = b""


CONVERSATION = ("session_id", "previous_response_id", "store")
"""The members of a JSON body by which a conversation is known, in the order of `Asked`."""
JSON = Layout("json")
URLENCODED = Layout("urlencoded")
"""Also a query string's."""


def layout(named: Place, content_type: str) -> Layout:
    """How the body is written where the model is named at `named`.

    A JSON route takes any Content-Type for JSON's (curl's default is a form's) but that of an upload, a form route goes by it. Raises
    InvalidRequest.
    """
    if named == "query":
        return URLENCODED
    if named == "json" and content_type[:10].lower() != "multipart/":
        return JSON
    match content_type.partition(";")[0].strip().lower():
        case "multipart/form-data":
            return Layout("multipart", multipart.boundary(content_type))
        case "application/x-www-form-urlencoded":
            return URLENCODED
        case "application/json":
            return JSON
    wanted = "JSON" if named == "json" else "a form: send Content-Type multipart/form-data"
    raise InvalidRequest(f"this route takes {wanted}")


# --- in memory ---------------------------------------------------------------------------------------------------


_NONE = msgspec.Raw(b"")


class _Head(msgspec.Struct):
    model: str | None = None
    stream: msgspec.Raw = _NONE
    session_id: msgspec.Raw = _NONE
    previous_response_id: msgspec.Raw = _NONE
    store: msgspec.Raw = _NONE


_head = msgspec.json.Decoder(_Head).decode


def read(body: bytes, layout: Layout = JSON, default: str | None = None) -> Asked:
    """What a whole body (or query string) asks for; `default` is the model when it names none."""
    if layout.kind != "json":
        return _scanned(body, layout).asked(default)
    try:
        head = _head(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(body, error) from None
    told = (head.session_id, head.previous_response_id, head.store)
    return _named(head.model, bytes(head.stream) == b"true", default, *map(bytes, told))


def _scanned(body: bytes, layout: Layout) -> Reader:
    reader = Reader(layout)
    reader.feed(body)
    reader.end()
    return reader


def unreadable(body: bytes, error: Exception) -> InvalidRequest:
    """What msgspec says of a body, for people."""
    return InvalidRequest(_complaint(body, error))


def _complaint(body: bytes, error: Exception) -> str:
    if not body:
        return "the body is empty; send a JSON object that names a model"
    text = str(error)
    match error:
        case msgspec.ValidationError() if "$.model" in text:
            return "`model` must be text"
        case msgspec.ValidationError():
            return f"the body must be a JSON object ({text})"
        case UnicodeDecodeError():
            return "the body is not JSON: it is not UTF-8"
        case RecursionError():
            return "the body is nested too deeply"
    return f"the body is not JSON: {text.removeprefix('JSON is malformed: ')}"


def _named(model: str | None, stream: bool, default: str | None, *told: bytes) -> Asked:
    """`told`: the texts of `CONVERSATION`."""
    chosen = model if model and model.strip() else default
    if chosen:
        return Asked(chosen, stream, *told)
    raise ModelRequired("the request names no model; set `model` to one that GET /v1/models lists")


# --- in pieces ---------------------------------------------------------------------------------------------------


class Reader:
    """Reads a body that comes in pieces: `feed` them all, `end`, then ask. Raises InvalidRequest as soon as it is clear."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._scan: Members | pairs.Pairs | multipart.Fields
        match layout.kind:
            case "json":
                self._scan = Members("model", "stream", *CONVERSATION)
            case "urlencoded":
                self._scan = pairs.Pairs("model", "stream")
            case "multipart":
                self._scan = multipart.Fields(layout.boundary, "model", "stream")

    def feed(self, piece: bytes) -> None:
        """The next piece, of any size."""
        self._scan.feed(piece)

    def end(self) -> None:
        """That was all."""
        self._scan.end()

    def asked(self, default: str | None = None) -> Asked:
        """What the body asks for; `default` is the model when it names none."""
        models = [self._model(found.raw) for found in self._scan.found if found.name == "model"]
        last = {found.name: found.raw for found in self._scan.found}
        told = (last.get(name, b"") for name in CONVERSATION)
        return _named(models[-1] if models else None, last.get("stream") == b"true", default, *told)

    def _model(self, raw: bytes) -> str | None:
        try:
            match self._layout.kind:
                case "json":
                    return msgspec.json.decode(raw, type=str | None)
                case "urlencoded":
                    return pairs.decode(raw)
                case "multipart":
                    return raw.decode()
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise InvalidRequest("`model` must be text") from None
