"""The commands of the voice example run as they stand, on tiny models."""

import shlex
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

EXAMPLE = Path(__file__).parents[2] / "examples" / "voice-matrix.yaml"
MODELS = YAML(typ="safe").load(EXAMPLE)["models"]


@pytest.fixture
def folder(tiny, tmp_path):
    """A folder in which `models/small.gguf` and `models/big.gguf` are."""
    (tmp_path / "models").mkdir()
    for name in ("small", "big"):
        shutil.copy(tiny, tmp_path / "models" / f"{name}.gguf")
    return tmp_path


@pytest.mark.parametrize("name", MODELS)
def test_a_command_of_the_voice_example_serves(engine, folder, name):
    program, *arguments = shlex.split(MODELS[name]["cmd"].replace("${PORT}", "0"))
    assert program == "llama-server"
    with engine(*arguments, folder=folder) as running, running.ready() as client:
        body = {"model": name, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
        answer = client.post("/v1/chat/completions", json=body).json()
        props = client.get("/props").json()
    assert answer["model"] == name
    assert props["total_slots"] == 1
    assert not [line for line in running.lines if "ignored" in line]
