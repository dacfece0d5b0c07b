"""The command line itself: help, wrong use."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMANDS = [
    "serve",
    "check",
    "convert",
    "schema",
    "simulate",
    "demo",
    "ps",
    "models",
    "explain",
    "load",
    "switch",
    "unload",
    "reload",
    "logs",
    "version",
    "sessions",
]


def test_help_names_every_command(corral):
    done = corral("--help")
    assert done.returncode == 0
    _, listing = done.stdout.split("Commands:\n")
    lines = listing.split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == COMMANDS
    assert not [line for line in lines if line.endswith("...")], "a command's first line is cut"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_explains_itself_with_an_example(corral, command):
    done = corral(command, "--help")
    assert done.returncode == 0
    assert f"Example: corral {command}" in done.stdout


def test_without_a_command_the_help_comes(corral):
    done = corral()
    assert "Commands:" in done.stdout + done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["feed"], "No such command 'feed'"),
        (["load"], "Missing argument 'MODEL'"),
        (["check"], "Missing argument 'FILE'"),
        (["ps", "--fast"], "No such option: --fast"),
        (["serve", "--log-level", "loud"], "'loud' is not one of"),
    ],
)
def test_wrong_use_is_told_and_exits_2(corral, arguments, said):
    done = corral(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_imports_no_server_and_no_client():
    heavy = ["uvicorn", "starlette", "pydantic", "httpx", "rich", "asyncio", "corral.config"]
    probe = (
        "import sys\nfrom corral.cli import commands\n"
        "try: commands.app(['--help'])\nexcept SystemExit: pass\n"
        f"print('loaded:', [name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_version_names_all_three(corral):
    done = corral("version")
    assert done.returncode == 0
    corral_line, python, engine = done.stdout.splitlines()
    assert corral_line.startswith("corral ")
    assert python == f"python {sys.version.split()[0]}"
    assert engine.startswith("llama.cpp engine: ")
