"""Has a model's router what it needs on this machine? Asked of programs that only print."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from corral.config.command import LaunchSpec, Routed
from corral.host import abilities
from corral.host.abilities import known_options, options
from corral.host.lifeline import Lifeline
from corral.host.router_mode import learn, problem_at_router, runs_alone, who_run_alone

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")

NEW = 'echo "--models-preset PATH  an INI file"'
OLD = 'echo "-m, --model FNAME"'


@pytest.fixture
def server(tmp_path, monkeypatch):
    """`server(text)`: what `llama-server` does on this machine; without a text there is none."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin{os.pathsep}/usr/bin")

    def make(text: str, name: str = "llama-server") -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def asked(tmp_path):
    """`asked(question)`: what `question(lifeline)` finds out."""

    async def found(question):
        sockets = tmp_path / "sockets"  # it goes with the guardian
        sockets.mkdir()
        async with Lifeline(sockets).held() as lifeline:
            return await question(lifeline)

    return lambda question: asyncio.run(found(question))


@pytest.fixture
def alone(asked):
    """`alone(spec)`: whether it runs alone, when its program has been asked."""

    def told(spec):
        asked(lambda lifeline: learn([spec], lifeline))
        return runs_alone(spec)

    return told


def at_router(*argv: str, command: tuple[str, ...] = ("llama-server",), **changes) -> LaunchSpec:
    launch = LaunchSpec("r", command, "http://h:1", **changes)
    return LaunchSpec("m", argv, "http://h:2", routed=Routed("r", "m", launch=launch))


@pytest.mark.parametrize(
    ("text", "is_alone"), [(NEW, False), (OLD, True), ("exit 1", False), ("kill -9 $$", False)]
)
def test_the_help_tells(server, alone, text, is_alone):
    server(text)
    spec = at_router()
    assert not runs_alone(spec)  # nobody knows
    assert alone(spec) is is_alone
    assert who_run_alone([spec]) == ({"m"} if is_alone else set())


def test_another_file_is_asked_again(server, alone):
    server(OLD)
    assert alone(at_router())
    server(NEW + "; true")
    assert not alone(at_router())


def test_a_server_that_is_not_there_has_none_nor_has_the_shipped_engine(server, alone):
    assert alone(at_router(command=("/nowhere/llama-server",)))
    server(NEW, "corral-llama-server")
    assert alone(at_router(command=("corral-llama-server",)))


def test_other_programs_and_other_places_are_believed(server, alone):
    assert not alone(at_router(command=("my-router",)))
    assert not alone(LaunchSpec("m", (), "", routed=Routed("r", "m", url="http://h:1")))
    assert not alone(LaunchSpec("m", ("llama-server",), ""))


def test_a_program_that_never_answers_is_believed(server, alone, monkeypatch, caplog):
    monkeypatch.setattr(abilities, "LIMIT", 0.2)
    server("exec sleep 60")
    assert not alone(at_router())
    assert "llama-server --help: no answer in 0.2 s" in caplog.text


def test_the_routers_environment_is_the_helps(server, asked):
    path = str(server('[ "$WISH" = new ] && ' + NEW))
    wish = {"WISH": "new"}
    assert asked(lambda lifeline: options(path, wish, lifeline)) == {"--models-preset"}
    assert known_options(path) == {"--models-preset"}
    assert asked(lambda lifeline: options("/nowhere", {}, lifeline)) == frozenset()
    assert known_options("/nowhere") is None


def test_what_a_router_needs_is_looked_for_before_anybody_goes(server, tmp_path):
    server(NEW)
    assert problem_at_router(at_router()) is None
    presets = tmp_path / "m.ini"
    missing = problem_at_router(at_router(files=(str(presets),)))
    assert (
        missing.message == f"m: there is no file '{presets}'; correct `cmd`, or put the file there"
    )
    presets.touch()
    assert problem_at_router(at_router(files=(str(presets),))) is None
    nothing = problem_at_router(at_router(command=("my-router",)))
    assert nothing.message.startswith("m: there is no program 'my-router' on the PATH")
    assert problem_at_router(LaunchSpec("m", (), "", routed=Routed("r", "m", url="u"))) is None


def test_who_runs_alone_needs_a_command(server, alone):
    server(OLD)
    assert alone(at_router())
    assert problem_at_router(at_router("sh")) is None
    assert "no program 'nope'" in problem_at_router(at_router("nope")).message
    assert problem_at_router(at_router()).message == (
        "m: no llama-server with a router mode for its router `r`; install a llama.cpp whose `llama-server --help` lists "
        "`--models-preset`, or give the model a `cmd` of its own"
    )
