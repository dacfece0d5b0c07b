"""From what was asked for to the wheel's `CommonParams`.

Where llama-server decides something between its command line and its start, it is decided here in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from corral.engines.command_line import Asked, Misuse
from corral.engines.flags.kinds import put

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

# llama-server's own defaults, where the wheel's are another program's.
DEFAULTS: tuple[tuple[str, Any], ...] = (
    ("port", 8080),
    ("n_parallel", -1),
    ("default_template_kwargs", {"preserve_reasoning": "true"}),
)
_ESCAPES = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\'": "'", '\\"': '"', "\\\\": "\\"}


def build(wheel: ModuleType, asked: Sequence[Asked]) -> Any:
    """The parameters for `wheel.Server`. Raises Misuse where the wheel does not accept a value."""
    params = wheel.CommonParams()
    for path, value in DEFAULTS:
        put(wheel, params, path, value)
    for one in asked:
        try:
            _apply(wheel, params, one)
        except (ValueError, TypeError, OverflowError, AssertionError) as error:
            raise Misuse(f"{one.said}: {error}") from None
    _conclude(params)
    return params


def _apply(wheel: ModuleType, params: Any, asked: Asked) -> None:
    flag = asked.flag
    for path in flag.to.split():
        flag.kind.put(wheel, params, path, asked.value)
    for path, value in flag.also if asked.value == flag.value else ():
        put(wheel, params, path, value)
    if flag.mark:
        mark = wheel.common_params_sampling_config["COMMON_PARAMS_SAMPLING_CONFIG_" + flag.mark]
        params.sampling.user_sampling_config |= mark.value


def _conclude(params: Any) -> None:
    if params.escape:
        params.antiprompt = [_unescape(text) for text in params.antiprompt]
    if _runs_tools(params) and not params.cors_origins_explicit:
        params.cors_origins = "localhost"
    if not params.model.path:
        params.model.path = _download_path(params)


def _runs_tools(params: Any) -> bool:
    return bool(params.server_tools or params.mcp_servers_config or params.mcp_servers_json)


def _unescape(text: str) -> str:
    """`\\n` and the like, and `\\xHH`, as llama-server understands them; anything else stays."""
    import re  # noqa: PLC0415 - rarely needed

    def meant(match: re.Match[str]) -> str:
        code = match[0]
        return bytes.fromhex(code[2:]).decode("latin-1") if code[1] == "x" else _ESCAPES[code]

    return re.sub(r"\\(?:x[0-9a-fA-F]{2}|[nrt'\"\\])", meant, text)


def _download_path(params: Any) -> str:
    """Where a model without a path comes to lie; empty when none is named.

    llama.cpp finds its own place for what comes from a repository, and is not told to start without a path: the
    repository's name stands for it then, in the log and as the model's name.
    """
    if params.model.hf_repo or params.model.docker_repo:
        return str(params.model.hf_repo or params.model.docker_repo)
    if not params.model.url:
        return ""
    folder = os.environ.get("LLAMA_CACHE") or os.path.expanduser("~/.cache/llama.cpp")  # noqa: PTH111 - as above
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - pathlib costs a start-up 5 ms
    return f"{folder.rstrip('/')}/{params.model.url.partition('#')[0].rpartition('/')[2]}"
