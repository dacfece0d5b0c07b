"""Chat templates, reasoning, and what is done to a prompt."""

from __future__ import annotations

import json

from corral.engines.flags.kinds import (
    CONTENT,
    INTEGER,
    JSON_OBJECT,
    SWITCH,
    TEXT,
    Kind,
    chosen,
    extend,
    merge,
    put,
    truth,
)
from corral.engines.flags.row import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_KWARGS = "default_template_kwargs"


def _reasoning(text: str) -> bool | None:
    return None if text in ("auto", "-1") else truth(text)


def _set_reasoning(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    """Tell the server, and the template too."""
    put(wheel, params, path, -1 if value is None else int(value))
    if value is not None:
        merge(wheel, params, _KWARGS, {"enable_thinking": json.dumps(value)})


def _effort(text: str) -> dict[str, str]:
    return {} if text == "default" else {"reasoning_effort": json.dumps(text)}


def _preserve(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    merge(wheel, params, path, {"preserve_reasoning": json.dumps(value)})
    put(wheel, params, "preserve_reasoning_specified", value=True)


REASONING = Kind("on|off|auto", _reasoning, _set_reasoning)
EFFORT = Kind("LEVEL", _effort, merge)
PRESERVE = Kind(put=_preserve)
FORMAT = chosen(
    {
        word: "COMMON_REASONING_FORMAT_" + word.upper().replace("-", "_")
        for word in ("none", "auto", "deepseek", "deepseek-legacy")
    }
)

# A table is read in rows.
# fmt: off
CHAT: tuple[Flag, ...] = (
    Flag("--jinja", "use the Jinja engine for chat templates", "use_jinja", SWITCH, "LLAMA_ARG_JINJA", off="--no-jinja"),
    Flag("--chat-template", "the chat template: one of llama.cpp's by name, or its text", "chat_template", TEXT, "LLAMA_ARG_CHAT_TEMPLATE"),
    Flag("--chat-template-file", "the chat template, from a file", "chat_template", CONTENT, "LLAMA_ARG_CHAT_TEMPLATE_FILE"),
    Flag("--chat-template-kwargs", "what the template is told besides", _KWARGS, JSON_OBJECT, "LLAMA_ARG_CHAT_TEMPLATE_KWARGS"),
    Flag("--skip-chat-parsing", "leave reasoning and tool calls in the text", "force_pure_content_parser", SWITCH, "LLAMA_ARG_SKIP_CHAT_PARSING", off="--no-skip-chat-parsing"),
    Flag("--prefill-assistant", "go on where a last message of the assistant's ends", "prefill_assistant", SWITCH, "LLAMA_ARG_PREFILL_ASSISTANT", off="--no-prefill-assistant"),
    Flag("-rea --reasoning", "let the model reason (auto: as its template says)", "enable_reasoning", REASONING, "LLAMA_ARG_REASONING"),
    Flag("--reasoning-format", "where reasoning is returned", "reasoning_format", FORMAT, "LLAMA_ARG_THINK"),
    Flag("--reasoning-effort", "how hard to reason: minimal, low, medium, high, ...", _KWARGS, EFFORT, "LLAMA_ARG_REASONING_EFFORT"),
    Flag("--reasoning-budget", "tokens for reasoning, -1 without limit, 0 for none", "sampling.reasoning_budget_tokens", INTEGER, "LLAMA_ARG_THINK_BUDGET"),
    Flag("--reasoning-budget-message", "what is said when that budget is spent", "sampling.reasoning_budget_message", TEXT, "LLAMA_ARG_THINK_BUDGET_MESSAGE"),
    Flag("--reasoning-preserve", "keep the reasoning of earlier turns", _KWARGS, PRESERVE, "LLAMA_ARG_REASONING_PRESERVE", off="--no-reasoning-preserve"),
    Flag("-r --reverse-prompt", "stop where the model says this", "antiprompt", Kind("TEXT", lambda text: [text], extend)),
    Flag("-sp --special", "show special tokens", "special", SWITCH),
    Flag("--spm-infill", "suffix, prefix, middle: the order for infill", "", SWITCH),
    Flag("-e --escape", r"understand \n and the like on this command line", "escape", SWITCH, off="--no-escape"),
)
# fmt: on
