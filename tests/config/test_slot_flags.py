"""The flags for saving slots, and what of a command decides on what is in them."""

from __future__ import annotations

import pytest

from corral.config import slot_flags

BOTH = {"--port", "--slot-save-path", "--cache-idle-slots", "--no-cache-idle-slots"}
ADDED = ("--slot-save-path", "/kv", "--no-cache-idle-slots")


@pytest.mark.parametrize(
    ("command", "environment", "listed", "expected"),
    [
        ("llama-server -m x", {}, BOTH, ADDED),
        ("llama-server -m x", {}, set(), ()),
        ("llama-server -m x", {}, {"--no-cache-idle-slots"}, ()),
        ("llama-server -m x", {}, {"--slot-save-path"}, ADDED[:2]),
        ("llama-server --slot-save-path /own", {}, BOTH, ADDED[2:]),
        ("llama-server --slot_save_path /own --no_cache_idle_slots", {}, BOTH, ()),
        ("llama-server --cache-idle-slots", {}, BOTH, ADDED[:2]),
        ("llama-server --no-cache-idle-slots", {}, BOTH, ADDED[:2]),
        ("llama-server", {"LLAMA_ARG_SLOT_SAVE_PATH": "/own"}, BOTH, ADDED[2:]),
        ("llama-server", {"LLAMA_ARG_CACHE_IDLE_SLOTS": "1"}, BOTH, ADDED[:2]),
        ("llama-server", {"LLAMA_ARG_NO_CACHE_IDLE_SLOTS": "1"}, BOTH, ADDED[:2]),
    ],
)
def test_what_the_command_says_stands_and_only_what_is_listed_is_added(
    command, environment, listed, expected
):
    assert slot_flags.added(command.split(), environment, listed, "/kv") == expected


@pytest.mark.parametrize(
    ("command", "environment", "expected"),
    [
        ("llama-server", {}, ""),
        (
            "llama-server --slot-save-path a --slot-save-path b",
            {"LLAMA_ARG_SLOT_SAVE_PATH": "c"},
            "b",
        ),
        ("llama-server --slot-save-path", {}, ""),
        ("llama-server", {"LLAMA_ARG_SLOT_SAVE_PATH": "c"}, "c"),
    ],
)
def test_a_folder_of_its_own(command, environment, expected):
    assert slot_flags.own_folder(command.split(), environment) == expected


@pytest.mark.parametrize(
    ("command", "environment", "expected"),
    [
        ("llama-server -m a.gguf", {}, "a.gguf"),
        ("llama-server --model a.gguf", {"LLAMA_ARG_MODEL": "b.gguf"}, "a.gguf"),
        ("llama-server", {"LLAMA_ARG_MODEL": "b.gguf"}, "b.gguf"),
        ("llama-server -hf user/repo", {}, ""),
    ],
)
def test_the_models_file(command, environment, expected):
    assert slot_flags.model_file(command.split(), environment) == expected


@pytest.mark.parametrize(
    "command",
    [
        "llama-server -m x --port 1 -c 9",
        "/other/llama-server -m x --host a --port 2 -c 9",
        "llama-server -m x -v -c 9",
        "llama-server -m x --log_file f --log-prefix --no-log-jsonl -lv 3 --verbose -c 9 --log-disable",
        "llama-server -m x --log-colors off --log-verbosity 3 -c 9 --port",
    ],
)
def test_where_it_listens_and_what_it_logs_shapes_nothing(command):
    assert slot_flags.shaping(command.split()) == ("-m", "x", "-c", "9")


@pytest.mark.parametrize("more", ["-c 10", "--rope-scale 2", "-ctk q8_0", "--lora y", "-np 2"])
def test_everything_else_does(more):
    assert slot_flags.shaping(["llama-server", "-m", "x", *more.split()]) != ("-m", "x")


def test_variables():
    environment = {
        "LLAMA_ARG_CTX_SIZE": "9",
        "LLAMA_ARG_PORT": "1",
        "LLAMA_ARG_HOST": "h",
        "LLAMA_ARG_LOG_FILE": "f",
        "LLAMA_LOG_COLORS": "1",
        "GGML_CUDA_FORCE_MMQ": "1",
        "PATH": "/bin",
    }
    expected = {"LLAMA_ARG_CTX_SIZE": "9", "GGML_CUDA_FORCE_MMQ": "1"}
    assert slot_flags.variables(environment) == expected


def test_what_may_be_a_file():
    argv = ["llama-server", "-m", "a.gguf", "--lora-scaled", "b.gguf:0.5,c.gguf:1"]
    found = set(slot_flags.perhaps_files(argv, {"LLAMA_ARG_MMPROJ": "d.gguf", "HOME": "e"}))
    assert {"a.gguf", "b.gguf", "c.gguf", "d.gguf"} <= found
    assert "e" not in found
    assert "llama-server" not in found
