"""The model list and the list of what runs, from plain values: the shapes that OpenAI's, OpenRouter's and llama-swap's clients read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from corral.config.model import Capabilities

STATUS: Final = {
    "unloaded": "unloaded",
    "loading": "loading",
    "ready": "loaded",
    "draining": "unloading",
    "unloading": "unloading",
}
"""A model's state -> the listing's word. Only a model that takes requests is `loaded`."""

STATE: Final = {
    "unloaded": "stopped",
    "loading": "starting",
    "ready": "ready",
    "draining": "stopping",
    "unloading": "stopping",
}
"""A model's state -> llama-swap's word, in `/running` and in events."""

BEST_FIRST: Final = ("loaded", "loading", "unloaded", "unloading", "failed")
"""What a name that stands for several models is: the first of these that one of them is."""

FLAGS: Final = (
    ("vision", "image", None),
    ("audio_transcriptions", "audio", "text"),
    ("audio_speech", "text", "audio"),
    ("image_generation", "text", "image"),
    ("image_to_image", "image", "image"),
)
"""What a model is good for that reads the one and (unless None) writes the other."""

RENDERED: Final = frozenset(
    {"architecture", "capabilities", "supported_parameters", "context_length"}
)
"""Keys that come from the capabilities, when a model has any: metadata of these names give way."""

_NOTHING: Final = Capabilities()

Kind = Literal["model", "alias", "peer", "selector", "profile"]


@dataclass(frozen=True, slots=True)
class Listed:
    """A name as the list needs it. `created` is epoch seconds and must not change; `about` says more of this kind of name."""

    id: str
    created: int
    kind: Kind = "model"
    status: str = "unloaded"
    name: str = ""
    description: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    capabilities: Capabilities = field(default_factory=Capabilities)


@dataclass(frozen=True, slots=True)
class Running:
    """A model as `/running` needs it. `ttl` is its configured seconds, 0 for never."""

    model: str
    state: str
    cmd: str = ""
    proxy: str = ""
    ttl: int = 0
    name: str = ""
    description: str = ""


def status(state: str, *, failed: bool = False) -> str:
    """The listing's word for a state. `failed`: its last load did."""
    return "failed" if failed and state == "unloaded" else STATUS[state]


def best(statuses: Iterable[str]) -> str:
    """The status of a name that stands for several."""
    return min(statuses, key=BEST_FIRST.index, default="unloaded")


def model(listed: Listed) -> dict[str, Any]:
    """One entry of the list: OpenAI's keys, `status`, and what the configuration adds."""
    entry: dict[str, Any] = {
        "id": listed.id,
        "object": "model",
        "created": listed.created,
        "owned_by": "corral",
        "status": {"value": listed.status},
    }
    entry |= {
        key: text for key in ("name", "description") if (text := getattr(listed, key).strip())
    }
    return entry | _rendered(listed.capabilities) | {"meta": _meta(listed)}


def models(listed: Iterable[Listed]) -> dict[str, Any]:
    """The whole list, sorted by id."""
    return {
        "object": "list",
        "data": [model(one) for one in sorted(listed, key=lambda one: one.id)],
    }


def _meta(listed: Listed) -> dict[str, Any]:
    """The key says llama-swap because its clients look for it there; `n_ctx` is where llama-server's do."""
    dropped = RENDERED if listed.capabilities != _NOTHING else frozenset()
    own = {key: value for key, value in listed.metadata.items() if key not in dropped}
    meta: dict[str, Any] = {"llamaswap": {**own, "type": listed.kind, **listed.about}}
    return meta | ({"n_ctx": n} if (n := listed.capabilities.context) else {})


def _rendered(capabilities: Capabilities) -> dict[str, Any]:
    reads, writes = list(capabilities.inputs), list(capabilities.outputs)
    architecture: dict[str, Any] = {
        key: value
        for key, value in (("input_modalities", reads), ("output_modalities", writes))
        if value
    }
    if reads and writes:
        architecture["modality"] = f"{'+'.join(reads)}->{'+'.join(writes)}"
    rendered = {
        "architecture": architecture,
        "capabilities": flags(capabilities),
        "supported_parameters": ["tools", "tool_choice"] if capabilities.tools else [],
        "context_length": capabilities.context,
    }
    return {key: value for key, value in rendered.items() if value}


def flags(capabilities: Capabilities) -> dict[str, bool]:
    """What a model is good for, in llama-swap's words."""
    good_for = [
        flag
        for flag, reads, writes in FLAGS
        if reads in capabilities.inputs and (writes is None or writes in capabilities.outputs)
    ]
    own = {"function_calling": capabilities.tools, "reranker": capabilities.reranker}
    return dict.fromkeys(good_for, True) | {flag: True for flag, there in own.items() if there}


def running(runs: Iterable[Running], *, names: bool = False) -> dict[str, Any]:
    """What is not unloaded, sorted by model: llama-swap's objects, or `names` only, as the guide shows them."""
    present = sorted((run for run in runs if run.state != "unloaded"), key=lambda run: run.model)
    return {"running": [run.model if names else _object(run) for run in present]}


def _object(run: Running) -> dict[str, Any]:
    return {
        "model": run.model,
        "state": STATE[run.state],
        "cmd": run.cmd,
        "proxy": run.proxy,
        "ttl": run.ttl,
        "name": run.name,
        "description": run.description,
    }
