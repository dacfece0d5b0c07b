"""What a launch gets so that its slots can be saved, and what tells one launch from another."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from corral.config.command import LaunchSpec
from corral.config.load import Source, load
from corral.host import abilities, slot_saving
from corral.host.lifeline import Lifeline
from corral.host.programs import Program
from corral.host.slot_files import SlotFiles
from corral.host.slot_saving import SlotSaving, identity_of
from corral.host.supervisor import Supervisor

BOUND = 60
HELP = "--slot-save-path PATH\\n--cache-idle-slots, --no-cache-idle-slots\\n"
FLAGS = ("--slot-save-path", "--no-cache-idle-slots")


@pytest.fixture
def run():
    """Run a scene to its end, bounded."""

    def go(scene):
        asyncio.run(asyncio.wait_for(scene, BOUND))

    return go


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    return path


def script(folder: Path, text: str, name: str = "llama-server") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def server(folder: Path, said: str = HELP) -> Path:
    """Counts how often it is asked."""
    return script(folder, f"echo asked >> {shlex.quote(str(folder))}/asked\nprintf '%b' '{said}'")


def asked(folder: Path) -> int:
    return (folder / "asked").read_text().count("asked") if (folder / "asked").exists() else 0


def spec(program, model, *more, **facts) -> LaunchSpec:
    argv = (str(program), "-m", str(model), "--port", "${PORT}", *more)
    return LaunchSpec("m", argv, "http://localhost:${PORT}", **facts)


def program_of(one: LaunchSpec) -> Program:
    return Program(one.filled(1234).argv)


@asynccontextmanager
async def saving(folder: Path, sessions: str = "sessions: {}", environment=None):
    """A `prepared(spec)` that gives what is added."""
    text = f'{sessions}\nmodels:\n  m: {{cmd: "true", proxy: "http://localhost:1"}}\n'
    config = load([Source("config.yaml", text)], {})
    async with (
        SlotFiles(folder, config) as files,
        Lifeline(folder).held() as lifeline,
    ):
        prepares = SlotSaving(files, environment or {})

        async def added(one: LaunchSpec, program: Program | None = None):
            program = program or program_of(one)
            if not prepares.concerns(one):
                return None
            found = await prepares.prepared(one, program, lifeline)
            return found.argv[len(program.argv) :]

        added.files, added.saving, added.lifeline = files, prepares, lifeline
        yield added


def test_a_llama_server_that_can_is_told_to(tmp_path, model, run):
    async def scene():
        async with saving(tmp_path) as added:
            one = spec(server(tmp_path), model)
            flag, folder, keep = await added(one)
            assert (flag, keep) == FLAGS
            place = added.files.place("m")
            assert str(place.folder) == folder
            assert place.folder.parent == tmp_path / "slots"
            assert await added(replace(one, argv=(*one.argv, "-c", "9"))) != (flag, folder, keep)
            assert asked(tmp_path) == 1  # once for the same program
            added.saving.ended("m")
            assert added.files.place("m") is None

    run(scene())


def test_another_program_in_its_place_is_asked_again(tmp_path, model, run):
    async def scene():
        async with saving(tmp_path) as added:
            one = spec(server(tmp_path, "--port N"), model)
            assert await added(one) == ()
            assert await added(one) == ()
            assert asked(tmp_path) == 1
            server(tmp_path)
            assert len(await added(one)) == 3
            assert asked(tmp_path) == 2

    run(scene())


def test_the_shipped_engine_need_not_be_asked(tmp_path, model, run):
    async def scene():
        async with saving(tmp_path) as added:
            argv = (sys.executable, "-m", "corral.engines.llama", "-m", str(model))
            program = Program(argv, shipped=True)
            flags = await added(spec("llama-server", model), program)
            assert (flags[0], flags[2]) == FLAGS

    run(scene())


@pytest.mark.parametrize(
    "does",
    [
        "exit 1",
        "echo --slot-save; exit 0",
        "sleep 60",
        "sleep 60 & exec sleep 60",
        "echo --slot-save-path; sleep 60",
        "exec cat /dev/zero",
    ],
)
def test_a_program_that_does_not_answer_is_launched_as_it_is(
    tmp_path, model, run, does, monkeypatch
):
    monkeypatch.setattr(abilities, "LIMIT", 0.5)

    async def scene():
        async with saving(tmp_path) as added:
            one = spec(script(tmp_path, f"echo asked >> {tmp_path}/asked\n{does}"), model)
            assert await added(one) == ()
            assert await added(one) == ()
            assert asked(tmp_path) <= 1  # none: it had no time to say so
            assert added.files.place("m") is None

    run(scene())


def test_one_that_cannot_be_launched(tmp_path, model, run):
    async def scene():
        async with saving(tmp_path) as added:
            program = tmp_path / "llama-server"
            assert await added(spec(program, model)) == ()
            program.write_bytes(b"\x7fELF")
            program.chmod(0o755)
            assert await added(spec(program, model)) == ()

    run(scene())


def test_what_is_none_of_its_business(tmp_path, model, run):
    async def scene():
        program = server(tmp_path)
        async with saving(tmp_path) as added:
            assert await added(spec(script(tmp_path, "", "vllm"), model)) is None
            assert await added(LaunchSpec("m", (), "http://x")) is None
            assert await added(LaunchSpec("m", (str(program),), "http://x")) is None  # a router
            by_name = LaunchSpec("m", (str(program), "-hf", "user/repo"), "http://x")
            assert await added(by_name) is None
            assert await added(spec(program, tmp_path / "missing.gguf")) == ()
        async with saving(tmp_path, "sessions: {parkKV: off}") as added:
            assert await added(spec(program, model)) is None
        async with saving(tmp_path, "") as added:
            assert await added(spec(program, model)) is None

    run(scene())


def test_what_the_command_or_its_environment_says_stands(tmp_path, model, run):
    async def scene():
        own = tmp_path / "own"
        own.mkdir()
        program = server(tmp_path)
        async with saving(tmp_path) as added:
            flags = await added(spec(program, model, "--slot-save-path", str(own)))
            assert flags == ("--no-cache-idle-slots",)
            assert added.files.place("m").folder == own
            env = {"LLAMA_ARG_SLOT_SAVE_PATH": str(own), "LLAMA_ARG_CACHE_IDLE_SLOTS": "1"}
            assert await added(spec(program, model, env=env)) == ()
            assert added.files.place("m").folder == own
        async with saving(tmp_path, environment=env) as added:
            assert await added(spec(program, model)) == ()
            assert added.files.place("m").folder == own

    run(scene())


def test_a_folder_that_cannot_be_written_to(tmp_path, model, run):
    async def scene():
        async with saving(tmp_path) as added:
            one = spec(server(tmp_path), model, "--slot-save-path", str(tmp_path / "nowhere"))
            assert await added(one) == ()
            assert added.files.place("m") is None

    run(scene())


def test_a_defect_costs_the_parking_and_not_the_launch(tmp_path, model, run, monkeypatch, caplog):
    monkeypatch.setattr(slot_saving, "identity_of", lambda *_: 1 / 0)

    async def scene():
        async with saving(tmp_path) as added:
            assert await added(spec(server(tmp_path), model)) == ()

    run(scene())
    assert "m: not parked" in caplog.text


def test_one_that_is_stopped_while_its_program_is_asked(tmp_path, model, run):
    """The launch goes on as it is; the stop is not held up."""

    class Reports:
        def __init__(self):
            self.gone = asyncio.Event()

        def ready(self, model):
            pass

        def exited(self, model, reason):
            self.gone.set()

    async def scene():
        program = script(tmp_path, f"echo asked >> {tmp_path}/asked\nsleep 600")
        async with saving(tmp_path) as added:
            reports = Reports()
            one = spec(program, model, check=None)
            async with Supervisor(
                {"m": one},
                reports,
                upstream_factory=Connections,
                runtime_dir=tmp_path,
                saving=added.saving,
            ) as processes:
                processes.start("m")
                while not asked(tmp_path):  # noqa: ASYNC110 - a program says it with a file
                    await asyncio.sleep(0.01)
                processes.stop("m", 0)
                await reports.gone.wait()

    run(scene())


class Connections:
    def __init__(self, proxy, model):
        pass

    async def aclose(self):
        pass


# --- identity ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def identity(tmp_path, model):
    """`identity(*more, env={}, environment={})` of a launch of the program there is."""
    program = server(tmp_path)

    def of(*more, model=model, env=None, environment=None, name="m"):
        one = replace(spec(program, model, *more, env=env or {}), model=name)
        return identity_of(one, program_of(one), {**(environment or {}), **(env or {})})

    return of


def test_the_same_launch_is_the_same(identity):
    assert identity() == identity()
    assert len(identity()) == 16
    assert identity() == identity("--log-verbosity", "5", "--host", "0.0.0.0")
    assert identity() == identity(environment={"LLAMA_ARG_PORT": "9", "HOME": "/elsewhere"})


def test_other_settings_are_another(identity):
    found = {
        identity(),
        identity(name="other"),
        identity("-c", "100"),
        identity("-ctk", "q8_0"),
        identity(env={"CUDA_VISIBLE_DEVICES": "1"}),
        identity(environment={"LLAMA_ARG_CTX_SIZE": "9"}),
    }
    assert len(found) == 6


def changed_in_place(path):
    path.write_bytes(path.read_bytes() + b"more")


def replaced_with_the_same_time(path):
    facts = path.stat()
    new = path.with_name("new")
    new.write_bytes(bytes(facts.st_size))
    os.utime(new, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    new.replace(path)


def touched(path):
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**9))


@pytest.mark.parametrize("change", [changed_in_place, replaced_with_the_same_time, touched])
@pytest.mark.parametrize(
    "which", ["model", "lora", "scaled", "mmproj", "variable", "program", "library", "wheel"]
)
def test_other_files_are_another(tmp_path, model, identity, change, which):
    made = {}
    for name in ("lora", "scaled", "mmproj", "variable", "library", "wheel"):
        made[name] = tmp_path / f"{name}.gguf"
    made["library"] = tmp_path / "libllama.so.0"
    site = tmp_path.parent / "lib" / "python3.99" / "site-packages" / "xllamacpp"
    site.mkdir(parents=True, exist_ok=True)
    made["wheel"] = site / f"{tmp_path.name}.abi3.so"
    for path in made.values():
        path.write_bytes(b"content")
    made |= {"model": model, "program": tmp_path / "llama-server"}
    options = ["--lora", f"x,{made['lora']}", "--lora-scaled", f"{made['scaled']}:0.5"]
    options += ["--mmproj", str(made["mmproj"])]
    environment = {"LLAMA_ARG_MODEL_DRAFT": str(made["variable"])}
    before = identity(*options, environment=environment)
    change(made[which])
    assert identity(*options, environment=environment) != before


def test_every_part_of_a_model_counts(tmp_path, identity):
    parts = [tmp_path / f"big[1]-{number:05}-of-00003.gguf" for number in (1, 2, 3)]
    for part in parts:
        part.write_bytes(b"part")
    before = identity(model=parts[0])
    touched(parts[2])
    assert identity(model=parts[0]) != before


@pytest.mark.parametrize("model", ["", "nowhere.gguf", ".", "x" * 5000, "a\0b"])
def test_without_a_file_there_is_none(identity, model):
    assert identity(model=model) == ""


def test_the_shipped_engine_is_its_wheel(model, monkeypatch):
    one = spec("llama-server", model)
    program = Program((sys.executable, "-m", "corral.engines.llama"), shipped=True)
    found = identity_of(one, program, {})
    assert found == identity_of(one, program, {})
    monkeypatch.setattr(slot_saving, "WHEEL", "no_such_wheel")
    assert identity_of(one, program, {}) != found
