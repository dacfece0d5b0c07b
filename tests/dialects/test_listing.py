"""The model list and the list of what runs, as their clients read them."""

import pytest
from openai.types import Model

from corral.config.model import Capabilities
from corral.dialects.listing import (
    BEST_FIRST,
    STATE,
    STATUS,
    Listed,
    Running,
    best,
    model,
    models,
    running,
    status,
)

STATES = ["unloaded", "loading", "ready", "draining", "unloading"]


def test_an_entry_has_what_openai_promises_and_what_is_configured():
    full = Listed(
        "qwen",
        1700000000,
        status="loaded",
        name=" Qwen ",
        description="small",
        metadata={"vram": 3, "tags": ["a"], "type": "theirs"},
        about={"aliases": ["q"]},
    )
    assert model(full) == {
        "id": "qwen",
        "object": "model",
        "created": 1700000000,
        "owned_by": "corral",
        "status": {"value": "loaded"},
        "name": "Qwen",
        "description": "small",
        "meta": {"llamaswap": {"vram": 3, "tags": ["a"], "type": "model", "aliases": ["q"]}},
    }
    assert Model.model_validate(model(full), strict=True).id == "qwen"


def test_what_is_not_configured_is_left_out():
    assert model(Listed("m", 1, "alias", description="  ")) == {
        "id": "m",
        "object": "model",
        "created": 1,
        "owned_by": "corral",
        "status": {"value": "unloaded"},
        "meta": {"llamaswap": {"type": "alias"}},
    }


def capable(**options):
    own = {"inputs": options.pop("reads", ()), "outputs": options.pop("writes", ())}
    return Listed("m", 1, capabilities=Capabilities(**own, **options))


@pytest.mark.parametrize(
    ("reads", "writes", "flags"),
    [
        (["text"], ["text"], []),
        (["text", "image"], ["text"], ["vision"]),
        (["image"], [], ["vision"]),
        (["audio"], ["text"], ["audio_transcriptions"]),
        (["text"], ["audio"], ["audio_speech"]),
        (["text"], ["image"], ["image_generation"]),
        (["text", "image"], ["image"], ["vision", "image_generation", "image_to_image"]),
        ([], ["image"], []),
    ],
)
def test_what_it_reads_and_writes(reads, writes, flags):
    entry = model(capable(reads=reads, writes=writes))
    assert list(entry.get("capabilities", {})) == flags
    assert entry["architecture"].get("input_modalities", []) == reads
    assert entry["architecture"].get("output_modalities", []) == writes
    modality = "+".join(reads) + "->" + "+".join(writes)
    assert entry["architecture"].get("modality") == (modality if reads and writes else None)


def test_tools_ranking_and_context():
    entry = model(capable(tools=True, reranker=True, context=8192))
    assert entry["capabilities"] == {"function_calling": True, "reranker": True}
    assert entry["supported_parameters"] == ["tools", "tool_choice"]
    assert entry["context_length"] == 8192
    assert entry["meta"] == {"llamaswap": {"type": "model"}, "n_ctx": 8192}
    assert "architecture" not in entry


def test_metadata_gives_way_to_capabilities_and_stays_without_any():
    metadata = {"architecture": "x", "context_length": 1, "size": "4B"}
    plain = Listed("m", 1, metadata=metadata)
    assert model(plain)["meta"]["llamaswap"] == {**metadata, "type": "model"}
    rich = Listed("m", 1, metadata=metadata, capabilities=Capabilities(tools=True))
    assert model(rich)["meta"]["llamaswap"] == {"size": "4B", "type": "model"}


@pytest.mark.parametrize(
    ("state", "word", "swaps"),
    [
        ("unloaded", "unloaded", "stopped"),
        ("loading", "loading", "starting"),
        ("ready", "loaded", "ready"),
        ("draining", "unloading", "stopping"),
        ("unloading", "unloading", "stopping"),
    ],
)
def test_words_for_a_state(state, word, swaps):
    assert status(state) == word
    assert STATE[state] == swaps


def test_every_state_has_both_words():
    assert list(STATUS) == list(STATE) == STATES
    assert set(BEST_FIRST) == {*STATUS.values(), "failed"}


def test_a_failed_load_shows_until_the_next_one_begins():
    assert status("unloaded", failed=True) == "failed"
    assert status("loading", failed=True) == "loading"


def test_a_name_for_several_models_is_as_good_as_the_best_of_them():
    assert best(["failed", "unloading", "loading", "unloaded"]) == "loading"
    assert best(["failed", "unloaded"]) == "unloaded"
    assert best([]) == "unloaded"


def test_the_list_is_sorted():
    listed = models([Listed("b", 1), Listed("a", 2)])
    assert listed["object"] == "list"
    assert [entry["id"] for entry in listed["data"]] == ["a", "b"]
    assert models([]) == {"object": "list", "data": []}


def test_running_leaves_out_what_does_not_run():
    runs = [Running(name, state) for name, state in zip("edcba", STATES, strict=True)]
    assert [(run["model"], run["state"]) for run in running(runs)["running"]] == [
        ("a", "stopping"),
        ("b", "stopping"),
        ("c", "ready"),
        ("d", "starting"),
    ]
    assert running(runs, names=True) == {"running": ["a", "b", "c", "d"]}


def test_running_has_llama_swaps_keys():
    run = Running("m", "ready", "llama-server -m x", "http://localhost:5800", 60, "Name", "Text")
    assert running([run]) == {
        "running": [
            {
                "model": "m",
                "state": "ready",
                "cmd": "llama-server -m x",
                "proxy": "http://localhost:5800",
                "ttl": 60,
                "name": "Name",
                "description": "Text",
            }
        ]
    }
