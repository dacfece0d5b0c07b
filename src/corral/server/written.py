"""Failures for those who read no JSON: a line of text, or a small page, as `Accept` asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Final, Protocol

from corral.dialects.dialect import message
from corral.errors import CorralError, LoadFailed
from corral.wire.headers import phrase

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 50rem; padding: 0 1rem; color-scheme: light dark }}</style>
</head><body><h1>{title}</h1><p>{message}</p>{log}<p><small>{code} · {request_id}</small></p></body></html>
"""


class Write(Protocol):
    def __call__(self, error: CorralError, status: int, *, request_id: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write a failure; `name` is what an `Accept` has to contain."""

    name: bytes
    write: Write

    @property
    def kind(self) -> bytes:
        """The Content-Type."""
        return self.name + b"; charset=utf-8"


def text(error: CorralError, status: int, *, request_id: str) -> bytes:
    """One line."""
    return f"corral: {message(error)}\n".encode()


def page(error: CorralError, status: int, *, request_id: str) -> bytes:
    """What happened, and of a failed load the engine's last lines."""
    lines = error.log_tail if isinstance(error, LoadFailed) else ()
    filled = PAGE.format(
        title=f"{status} {phrase(status)}".strip(),
        message=escape(error.message),
        log="<pre>" + escape("\n".join(lines)) + "</pre>" if lines else "",
        code=escape(error.code),
        request_id=escape(request_id),
    )
    return filled.encode()


FORMS: Final = (Form(b"text/plain", text), Form(b"text/html", page))
"""In the order in which llama-swap looks for them."""


def wanted(accept: bytes) -> Form | None:
    """The form that an `Accept` field asks for; None: JSON, which many programs name beside text (axios, by default)."""
    accept = accept.lower()
    if b"json" in accept:
        return None
    return next((form for form in FORMS if form.name in accept), None)
