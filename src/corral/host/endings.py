"""How a process ended, in words: what happened, then what to do."""

from __future__ import annotations

import enum
import signal
from collections.abc import Sequence

from corral.config.command import LaunchSpec
from corral.errors import LoadFailed, LoadTimeout

_LINE = 200


class Ending(enum.Enum):
    """How the life of a process ended."""

    ASKED = "it was asked to stop"
    EARLY = "it exited before it was ready"
    LATE = "it was not ready in time"
    CRASHED = "it exited while it was serving"


def failure(
    ending: Ending,
    spec: LaunchSpec,
    code: int,
    tail: Sequence[str],
    check: str,
    what: str = "",
) -> LoadFailed | None:
    """What to report: `code` is the process's, `tail` its last lines, `check` what the health check last met; `what` it is, if not the
    model's own process."""
    see = f"see `corral logs {spec.model}`"
    if ending is Ending.ASKED:
        return None
    if ending is Ending.LATE:
        slow = f"{what} is " if what else ""
        text = f"{spec.model}: {slow}not ready after {spec.start_timeout:g} s: {check}; raise `healthCheckTimeout`, or {see}"
        return LoadTimeout(text, log_tail=tail)
    when = "before it was ready" if ending is Ending.EARLY else "while it was serving"
    said = f" (its last line: {tail[-1][:_LINE]})" if tail else ""
    who = what or "the process"
    text = f"{spec.model}: {who} {exit_text(code)} {when}{said}; {_advice(ending, code) or see}"
    return LoadFailed(text, exit_code=code, log_tail=tail)


def exit_text(code: int) -> str:
    """`exited with code 3`, `was ended by SIGKILL`."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _advice(ending: Ending, code: int) -> str:
    if ending is Ending.EARLY and code == 0:
        return "a command must stay in the foreground"
    if code == -9:
        return "if nobody did that, the system ran out of memory"
    return ""
