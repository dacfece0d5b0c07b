"""Where the fields of a multipart/form-data body sit, found while it comes in pieces (RFC 7578, RFC 2046 section 5.1).

1. Lines end with CRLF, as both RFCs demand; a boundary counts only at the start of a line.
2. Memory is bounded: nothing is held but a header or a wanted value, and the latest piece. Files pass by.
3. Wanted fields may come anywhere, also after the file.
"""

from __future__ import annotations

import re
from typing import Final

from corral.errors import InvalidRequest
from corral.wire.splice import Found, Span
from corral.wire.window import LIMIT, Steps, Window

_QUOTED: Final = r'"((?:[^"\\]|\\.)*+)"'
_BOUNDARY: Final = re.compile(rf";\s*boundary=(?:{_QUOTED}|([^\s;\"]+))", re.IGNORECASE)
_PARAMETER: Final = re.compile(rf";\s*([^\s=;]+)\s*=\s*(?:{_QUOTED}|([^\s;\"]*))")
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)", re.DOTALL)


def boundary(content_type: str) -> bytes:
    """The boundary that a Content-Type header names: 1 to 70 characters (RFC 2046). Raises InvalidRequest."""
    match = _BOUNDARY.search(content_type)
    text = _unquoted(match) if match else ""
    if not text or len(text) > 70 or not text.isascii() or not text.isprintable():
        raise InvalidRequest("the Content-Type of a form needs a boundary of 1 to 70 characters")
    return text.encode()


def part(boundary: bytes, name: str, value: bytes) -> bytes:
    """A part, from its boundary to the line's end before the next one. `name` is plain ASCII."""
    head = f'Content-Disposition: form-data; name="{name}"'.encode()
    return b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, head, value)


class Fields:
    """Fed a form, it finds the values of the fields called `names`; a field given again is found again."""

    def __init__(self, boundary: bytes, *names: str) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._names = names
        # The line break that belongs to the first boundary is the start of the body.
        self._window = Window(b"\r\n", base=-2, wanted=len(names))
        self._complete = False
        self.opened = 0
        """The offset of the first boundary, before which another part may be put."""
        self._steps = self._form()
        next(self._steps)

    @property
    def found(self) -> list[Found]:
        """Wanted values, in the body's order; `raw` is the field's content."""
        return self._window.found

    def feed(self, piece: bytes) -> None:
        """The next piece, of any size. Raises InvalidRequest where it cannot be a form."""
        self._window.push(piece)
        next(self._steps)

    def end(self) -> None:
        """That was all. Raises InvalidRequest if the last boundary has not come."""
        if not self._complete:
            raise InvalidRequest("the form ends before its last boundary")

    def _form(self) -> Steps[None]:
        yield from self._content("")  # a preamble, which nobody reads
        self.opened = self._window.offset - len(self._delimiter) + len(b"\r\n")
        while not (yield from self._last()):
            name = yield from self._headers()
            yield from self._content(name)
        self._complete = True
        while True:  # an epilogue
            self._window.at = len(self._window.held)
            yield

    def _content(self, name: str) -> Steps[None]:
        """Over a part's content and the boundary behind it."""
        window, start = self._window, self._window.offset
        if name in self._names:
            window.pin()
        while (end := window.held.find(self._delimiter, window.at)) < 0:
            window.at = max(window.at, len(window.held) - len(self._delimiter) + 1)
            yield
        window.at = end
        if name in self._names:
            raw = window.unpin()
            window.note(Found(name, raw, Span(start, start + len(raw))))
        window.at += len(self._delimiter)

    def _last(self) -> Steps[bool]:
        """Behind a boundary: does it close the form? If not, over its line's end."""
        window = self._window
        while len(window.held) < window.at + 2:
            yield
        if window.held.startswith(b"--", window.at):
            return True
        if (yield from self._line()).strip(b" \t"):
            raise InvalidRequest("the form is malformed: text follows a boundary")
        return False

    def _headers(self) -> Steps[str]:
        """Over a part's headers: the name of its field, empty if it has none."""
        name, size = "", 0
        while line := (yield from self._line()):
            size += len(line)
            header = _HEADER.fullmatch(line)
            if header is None or size > LIMIT:
                raise InvalidRequest(
                    "the form is malformed: a part has headers that cannot be read"
                )
            if header[1].lower() == b"content-disposition":
                name = _field(header[2])
        return name

    def _line(self) -> Steps[bytes]:
        window = self._window
        while (end := window.held.find(b"\r\n", window.at)) < 0:
            yield
        window.pin()
        window.at = end
        line = window.unpin()
        window.at += 2
        return line


def _field(disposition: bytes) -> str:
    """The `name` of a Content-Disposition; browsers write a quote in it as %22 (WHATWG HTML, multipart form data)."""
    for match in _PARAMETER.finditer(disposition.decode(errors="replace")):
        if match[1].lower() == "name":
            return _unquoted(match, 2)
    return ""


def _unquoted(match: re.Match[str], group: int = 1) -> str:
    if match[group] is None:
        return match[group + 1]
    return re.sub(r"\\(.)", r"\1", match[group])
