"""Every failure that a caller can meet, on one page.

CorralError
├── InvalidRequest            the request cannot be read
│   ├── ModelRequired         it names no model, and there is no default
│   └── ContextTooLong        its newest messages alone do not fit into the model's context, or the budget
├── Unauthorized              key missing or wrong
├── NotFound
│   ├── ModelNotFound         no such model; the message names the nearest ones
│   ├── ProfileNotFound
│   └── SessionNotFound
├── MethodNotAllowed          the path is known, this method on it is not
├── ModelNotLoaded            a path that must not wake a model
├── SessionBusy               another turn of the session is under way, and took longer than `queueTimeout`
├── DrainTimeout              a switch was called off: what is in flight took longer than `drainTimeout`
├── BodyTooLarge
├── ConcurrencyLimit          the model's `concurrencyLimit` is reached
├── QueueFull                 `maxQueue` is reached
├── QueueTimeout              waited `queueTimeout` for room
├── ModelUnloaded             unloaded while the request waited for it
├── LoadFailed                the engine did not start
│   └── LoadTimeout           ... in time
├── UpstreamUnreachable       the engine died, or does not answer
├── UpstreamInvalid           the engine does not speak HTTP
├── UpstreamRefused           it answered with an error, when the client's answer had begun already
├── UpstreamTimeout           no byte in either direction for `timeouts.idle`
├── Cancelled                 somebody has ended the request
├── WebSocketUnavailable      whatever server corral runs under, its connections cannot be taken over
├── NotStored                 the disk does not take, or give, what a conversation is
├── ShuttingDown
└── ConfigError               every problem of a configuration at once

`code` is stable and machine readable; `server/responses.py` maps classes to statuses, `dialects/` to bodies. Messages are one line, for
people: what happened, then what to do. `retry_after` is in seconds, None where waiting does not help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class CorralError(Exception):
    """A failure with a stable `code`, a one-line message and, where waiting helps, `retry_after` seconds."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class InvalidRequest(CorralError):
    code = "invalid_request"


class ModelRequired(InvalidRequest):
    code = "model_required"


class ContextTooLong(InvalidRequest):
    code = "context_length_exceeded"


class Unauthorized(CorralError):
    code = "unauthorized"


class NotFound(CorralError):
    code = "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class ProfileNotFound(NotFound):
    code = "profile_not_found"


class SessionNotFound(NotFound):
    code = "session_not_found"


class SessionBusy(CorralError):
    code = "session_busy"


class DrainTimeout(CorralError):
    code = "drain_timeout"


class MethodNotAllowed(CorralError):
    """`allowed` are the path's methods."""

    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class ModelNotLoaded(CorralError):
    code = "model_not_loaded"


class BodyTooLarge(CorralError):
    code = "body_too_large"


class NotStored(CorralError):
    code = "not_stored"


class ConcurrencyLimit(CorralError):
    code = "concurrency_limit"


class QueueFull(CorralError):
    code = "queue_full"


class QueueTimeout(CorralError):
    code = "queue_timeout"


class ModelUnloaded(CorralError):
    code = "model_unloaded"


class LoadFailed(CorralError):
    """The engine did not start.

    `exit_code` is the process's (negative: the signal that ended it, as in `subprocess`), None when it never ran; `log_tail` its last
    lines, oldest first.
    """

    code = "model_load_failed"

    def __init__(
        self,
        message: str,
        *,
        exit_code: int | None = None,
        log_tail: Sequence[str] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.exit_code = exit_code
        self.log_tail = tuple(log_tail)


class LoadTimeout(LoadFailed):
    code = "model_load_timeout"


class UpstreamUnreachable(CorralError):
    code = "upstream_unreachable"


class UpstreamInvalid(CorralError):
    code = "upstream_invalid"


class UpstreamRefused(CorralError):
    code = "upstream_refused"


class UpstreamTimeout(CorralError):
    code = "upstream_timeout"


class Cancelled(CorralError):
    code = "cancelled"


class WebSocketUnavailable(CorralError):
    code = "websocket_unavailable"


class ShuttingDown(CorralError):
    code = "shutting_down"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a configuration. `line` and `column` count from 1; 0 when it has no place in the text."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        """`file:line:column path: message`, leaving out what is not known."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return " ".join(
            filter(None, (place, f"{self.path}: {self.message}" if self.path else self.message))
        )


class ConfigError(CorralError):
    """Every problem of a configuration, sorted by file and line. Never empty."""

    code = "invalid_config"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))
