"""What a plain answer tells about its turn, in a member beside its own: `corral`, and under hotmodel's format `hotmodel` as well.

hotmodel has other words for what a prompt's cost counts: `llama_tokens` is what the engine has counted, and where no tokens are a limit it
counts messages, the system prompt among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from corral.gateway.incoming import Incoming
from corral.gateway.prompting import Prompt

_HOTMODEL: Final = {"tokens": "llama_tokens", "estimated_tokens": "estimated_tokens"}
"""hotmodel's units."""


def members(
    incoming: Incoming, prompt: Prompt, model: str, form: str
) -> Mapping[str, Mapping[str, object]]:
    """`model` answers; `form` is the configuration's format."""
    told = _told(incoming, prompt, model)
    if form != "hotmodel":
        return {"corral": told}
    return {"corral": told, "hotmodel": {**told, "prompt_budget": _as_hotmodel(prompt)}}


def _told(incoming: Incoming, prompt: Prompt, model: str) -> dict[str, object]:
    told: dict[str, object] = {
        "session_id": incoming.session_id,
        "active_model": model,
        "prompt_messages": prompt.messages,
        "prompt_budget": _budget(prompt.budget.cost, prompt.budget.unit, prompt),
    }
    if (choices := incoming.request.asked.choices) > 1:
        told["kept_choice"] = {"index": 0, "of": choices}
    if branch := incoming.branch:
        told["branched"] = {"after": branch.at} | (
            {"kept_as": branch.new} if branch.cut else {"from": branch.session}
        )
    return told


def _as_hotmodel(prompt: Prompt) -> dict[str, object]:
    unit = _HOTMODEL.get(prompt.budget.unit)
    return _budget(prompt.budget.cost if unit else prompt.messages, unit or "messages", prompt)


def _budget(cost: int, unit: str, prompt: Prompt) -> dict[str, object]:
    return {"cost": cost, "unit": unit, "dropped_messages": prompt.dropped}
