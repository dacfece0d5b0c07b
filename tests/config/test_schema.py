"""Every key is explained, and what explains it is fresh."""

import subprocess
import sys
from pathlib import Path

import pytest

from corral.config import reference
from corral.config.schema import json_schema, rows
from corral.config.section import Section

ROOT = Path(__file__).parents[2]
ROWS = list(rows())


def sections(kind=Section):
    for section in kind.__subclasses__():
        yield section
        yield from sections(section)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_key_has_help(row):
    assert row.help.strip().endswith((".", "!")), f"{row} has no help, or it is no sentence"


def test_every_section_of_the_file_is_in_the_schema():
    titles = set(json_schema()["$defs"])
    effective = {"Config", "Scheduling"}
    assert {section.__name__ for section in sections()} - effective - {"File"} == titles


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_key_has_a_line_on_the_reference_page(row):
    assert f"| `{row.path[-1]}` | " in reference.reference_page()


@pytest.mark.parametrize(
    ("file", "make"),
    [
        ("docs/configuration.md", reference.reference_page),
        ("examples/config.example.yaml", reference.example_file),
    ],
)
def test_the_generated_files_are_fresh(file, make):
    command = "python -m corral.config.reference"
    assert (ROOT / file).read_text() == make(), f"{file} is stale: see `{command}`"


@pytest.mark.parametrize(
    ("word", "make"), [("page", reference.reference_page), ("example", reference.example_file)]
)
def test_a_command_prints_them(word, make):
    command = [sys.executable, "-m", "corral.config.reference", word]
    printed = subprocess.run(command, capture_output=True, check=True)
    assert printed.stdout.decode() == make()


def test_the_command_says_how_it_is_used():
    command = [sys.executable, "-m", "corral.config.reference"]
    refused = subprocess.run(command, capture_output=True, check=False)
    assert refused.returncode == 1
    assert b"page|example" in refused.stderr


def test_the_example_loads(loaded):
    config = loaded(reference.example_file())
    row = config.models["qwen"]
    assert row.cmd == "llama-server --host 127.0.0.1 --port ${PORT} -m models/qwen.gguf -c 32768"
    assert config.groups["assistants"].members == ("qwen",)
    assert config.notes == ()


def test_the_example_has_every_key_that_has_an_effect(loaded):
    text = reference.example_file()
    twice = ("routing", "router", "settings")
    for row in ROWS:
        if row.path[:3] != twice:
            assert f"{row.path[-1]}:" in text


def test_the_schema_is_one_for_editors():
    schema = json_schema()
    assert schema["$schema"].endswith("/2020-12/schema")
    assert schema["additionalProperties"] is False
    assert "kept" in schema["properties"]["sessions"]["description"]
    assert schema["$defs"]["Selector"]["required"] == ["strategy", "targets"]
    assert "cmd" in schema["$defs"]["Model"]["properties"]
    assert schema["$defs"]["Model"]["properties"]["filters"]
    assert schema["properties"]["maxBody"]["type"] == ["integer", "string"]
