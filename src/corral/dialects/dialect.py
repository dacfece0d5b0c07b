"""What a dialect is: how one family of APIs says that something went wrong.

`code` is CorralError.code in every dialect, so that one table of errors (docs/errors.md) serves all clients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from corral.errors import ConfigError, CorralError, LoadFailed

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialect:
    """`shape(error, status)` is the JSON body of an error; `stream(error, status)` the same as the last event of a stream."""

    name: str
    shape: Callable[[CorralError, int], Body]
    stream: Callable[[CorralError, int], bytes]
    """For an answer that is `text/event-stream`; empty where the dialect has no such answers."""

    def body(self, error: CorralError, status: int, *, request_id: str = "") -> bytes:
        """The answer's body, as UTF-8 JSON."""
        shape = self.shape(error, status)
        return msgspec.json.encode(shape | {"request_id": request_id} if request_id else shape)


def details(error: CorralError) -> Mapping[str, Any]:
    """What an error knows beside its message: `exit_code` and `log` of a failed load, `problems` of a configuration."""
    match error:
        case LoadFailed():
            return {"exit_code": error.exit_code, "log": list(error.log_tail)}
        case ConfigError():
            return {"problems": [asdict(problem) for problem in error.problems]}
    return {}


def message(error: CorralError) -> str:
    """The message; a failed load's with the engine's last line, since some clients show their users nothing else."""
    if not isinstance(error, LoadFailed) or not error.log_tail:
        return error.message
    last = error.log_tail[-1].strip()[:200]
    return error.message if last in error.message else f"{error.message} (its last line: {last})"
