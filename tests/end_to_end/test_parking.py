"""Parking on the real engine: what a model has read of a conversation outlives its process, and nothing else is ever taken for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import stat
from pathlib import Path

import pytest

from corral.config.command import launch_specs
from corral.config.load import Source, load
from corral.dialects.usage import UsageTap
from corral.engines import tiny
from corral.gateway.asking import ask
from corral.gateway.engine import Engine
from corral.gateway.parking import Parking
from corral.host.files import runtime_folder
from corral.host.slot_files import SlotFiles
from corral.host.slot_saving import SlotSaving
from corral.host.supervisor import Supervisor
from corral.host.upstream import Engine as Upstream
from corral.scheduler.rules import machine_for

BOUND = 60.0
LONG = "Tell me about horses, and leave nothing out. " * 33
"""Some 1 500 tokens: the tiny models read byte by byte."""
CONFIG = """
sessions: {{parkQuota: {quota}}}
models:
  a: {{cmd: "llama-server -m {folder}/a.gguf --host ${{SOCKET}} -t 1 -c 8192 {flags}"}}
  b: {{cmd: "llama-server -m {folder}/b.gguf --host ${{SOCKET}} -t 1 -c 8192"}}
"""


class Stable:
    """Two models that are never loaded side by side, on real engines, with parking. `state` is the folder for corral's state."""

    def __init__(self, config, engine, parking, processes):
        self.config, self.engine = config, engine
        self.parking, self.processes = parking, processes

    async def turn(self, session, model, messages, **more):
        """The answer's text, its timings, and the slot."""
        async with self.engine.lease(model) as lease:
            seat = await self.parking.seat(session, model, lease.upstream)
            usage = None
            try:
                pinned = {"id_slot": seat.slot} if seat else {}
                said = await self.asked(lease.upstream, messages, **pinned, **more)
                tap = UsageTap("application/json")
                tap.feed(json.dumps(said).encode())
                usage = tap.usage()
            finally:
                if seat:
                    seat.left(usage)
        return said["choices"][0]["message"]["content"], said["timings"], seat and seat.slot

    async def asked(self, upstream, messages, **more):
        body = {"messages": messages, "max_tokens": 12, "temperature": 0} | more
        told = await ask(
            upstream, b"POST", b"/v1/chat/completions", json.dumps(body).encode(), within=BOUND
        )
        assert told.status == 200, told.body
        return json.loads(told.body)

    def command(self, model):
        return self.processes.status(model).cmd


@contextlib.asynccontextmanager
async def stable(folder: Path, *, flags="", quota="1GiB", config=None):
    config = config or CONFIG.format(folder=folder, flags=flags, quota=quota)
    read = load([Source("config.yaml", config)], {})
    engine = Engine(machine_for(read))
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    async with (
        SlotFiles(state, read) as files,
        Supervisor(
            launch_specs(read),
            engine,
            upstream_factory=lambda proxy, model: Upstream(proxy, name=model),
            runtime_dir=runtime_folder(),
            saving=SlotSaving(files),
        ) as processes,
    ):
        engine.processes = processes
        try:
            yield Stable(read, engine, Parking(engine, files), processes)
        finally:
            await engine.close(asyncio.Event(), BOUND)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parking")
    tiny.write(folder / "a.gguf", seed=3)
    tiny.write(folder / "b.gguf", seed=2)
    return folder


@pytest.fixture
def folder(models, tmp_path):
    for model in ("a.gguf", "b.gguf"):
        shutil.copy(models / model, tmp_path / model)
    return tmp_path


@pytest.fixture
def run():
    """Run a scene to its end, bounded."""

    def go(scene):
        async def bounded():
            async with asyncio.timeout(4 * BOUND):
                await scene

        asyncio.run(bounded())

    return go


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def parked(folder):
    return sorted((folder / "state" / "slots").glob("*/*.kv"))


async def first_turn(house, session="s", model="a"):
    """The history after it."""
    history = [user(f"I am {session}. {LONG}")]
    text, timings, _ = await house.turn(session, model, history)
    assert timings["prompt_n"] > 1400
    return [*history, assistant(text), user("Go on.")]


def test_there_and_back_again_reads_the_new_tokens_only(folder, run):
    async def scene():
        async with stable(folder) as house:
            history = await first_turn(house)
            await house.turn("stays", "a", history[:1])
            without_switch = await house.turn("stays", "a", history)

            await house.turn("s", "b", history)
            assert not house.engine.machine.is_loaded("a")
            assert house.parking.parked("s").keys() == {"a"}

            text, timings, _ = await house.turn("s", "a", history)
            total = timings["cache_n"] + timings["prompt_n"]
            assert total > 1500
            assert timings["prompt_n"] <= 0.05 * total
            assert text == without_switch[0]
            reuse = house.parking.reused("s")
            assert (reuse.model, reuse.tokens) == ("a", timings["cache_n"])
            assert reuse.of >= reuse.tokens

    run(scene())


def test_files_are_private_and_outlive_corral(folder, run):
    async def before():
        async with stable(folder) as house:
            run.history = await first_turn(house)
            assert "--slot-save-path" in house.command("a")
            assert "--no-cache-idle-slots" in house.command("a")
        # Leaving is an unload like any other.
        (file,) = parked(folder)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        for parent in (file.parent, file.parent.parent):
            assert stat.S_IMODE(parent.stat().st_mode) == 0o700

    async def after():
        async with stable(folder) as house:
            assert house.parking.parked("s") == {"a": parked(folder)[0].stat().st_size}
            _, timings, _ = await house.turn("s", "a", run.history)
            assert timings["cache_n"] > 1400

    run(before())
    run(after())


async def left_parked(folder, session="s", **options):
    """A house in which the session had a turn, closed again; the history, and the answer that is to come."""
    async with stable(folder, **options) as house:
        history = await first_turn(house, session)
    async with stable(folder, **options) as house:
        return history, (await house.turn("nobody", "a", history))[0]


async def comes_back(folder, history, session="s", **options):
    """The next turn of the session in a new house: text and reused tokens."""
    async with stable(folder, **options) as house:
        text, timings, _ = await house.turn(session, "a", history)
        return text, timings["cache_n"]


def cut_in_half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def wrong_numbers(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-100_000:-90_000] = b"\xff" * 10_000
    file.write_bytes(content)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut_in_half, wrong_numbers, emptied, Path.unlink])
def test_a_file_that_is_not_what_was_saved_is_not_used(folder, run, damage):
    async def scene():
        history, expected = await left_parked(folder)
        for file in parked(folder):
            damage(file)
        assert await comes_back(folder, history) == (expected, 0)
        # And that turn was parked in its place.
        text, reused = await comes_back(folder, history)
        assert (text, reused > 1400) == (expected, True)

    run(scene())


def test_one_that_is_damaged_while_corral_runs(folder, run):
    async def scene():
        async with stable(folder) as house:
            history = await first_turn(house)
            await house.engine.unload(["a"])
            (file,) = parked(folder)
            cut_in_half(file)  # llama.cpp would abort on it
            _, timings, _ = await house.turn("s", "a", history)
            assert timings["cache_n"] == 0
            assert not file.exists()

    run(scene())


def test_another_model_under_the_same_name_never_sees_its_files(folder, run):
    async def scene():
        history, _ = await left_parked(folder)
        facts = (folder / "a.gguf").stat()
        shutil.copy(folder / "b.gguf", folder / "new.gguf")
        os.utime(folder / "new.gguf", ns=(facts.st_atime_ns, facts.st_mtime_ns))
        (folder / "new.gguf").replace(folder / "a.gguf")
        assert (folder / "a.gguf").stat().st_size == facts.st_size
        _, reused = await comes_back(folder, history)
        assert reused == 0

    run(scene())


def test_other_settings_never_see_its_files_and_the_old_ones_do_again(folder, run):
    async def scene():
        history, _ = await left_parked(folder)
        _, reused = await comes_back(folder, history, flags="-ctk q8_0 -fa on")
        assert reused == 0
        _, reused = await comes_back(folder, history, flags="--log-verbosity 2")
        assert reused > 1400

    run(scene())


def test_a_half_written_file_is_nothing(folder, run):
    async def scene():
        history, expected = await left_parked(folder)
        (file,) = [one for one in parked(folder) if one.stat().st_size > 10_000][:1]
        for one in parked(folder):
            half = one.with_name("-".join(one.name.split("-")[:4]) + ".new")
            one.rename(half)  # as it is called until the engine has said that it is complete
        assert await comes_back(folder, history) == (expected, 0)
        assert not list(file.parent.glob("*.new"))

    run(scene())


def test_sessions_beside_each_other_have_slots_of_their_own(folder, run):
    async def scene():
        async with stable(folder) as house:
            histories = {}
            for session in ("one", "two"):
                histories[session] = await first_turn(house, session)
            one, two = await asyncio.gather(
                *(house.turn(session, "a", histories[session]) for session in histories)
            )
            assert one[2] != two[2]
            assert min(one[1]["cache_n"], two[1]["cache_n"]) > 1400
            await house.engine.unload(["a"])
            assert len(parked(folder)) == 2
            one, two = await asyncio.gather(
                *(house.turn(session, "a", histories[session]) for session in histories)
            )
            assert min(one[1]["cache_n"], two[1]["cache_n"]) > 1400

    run(scene())


def test_more_sessions_than_slots_take_turns(folder, run):
    async def scene():
        async with stable(folder, flags="-np 1") as house:
            one, two = [await first_turn(house, session) for session in ("one", "two")]
            for session, history in (("one", one), ("two", two), ("one", one)):
                _, timings, slot = await house.turn(session, "a", history)
                assert (slot, timings["cache_n"] > 1400) == (0, True)
            # Who finds no slot is served without.
            upstream = house.processes.upstream("a")
            seat = await house.parking.seat("one", "a", upstream)
            assert await house.parking.seat("two", "a", upstream) is None
            seat.left(None)

    run(scene())


def test_what_others_leave_in_a_slot_is_not_kept_as_the_sessions(folder, run):
    async def scene():
        async with stable(folder, flags="-np 1") as house:
            history = await first_turn(house)
            await house.engine.unload(["a"])
            (file,) = parked(folder)
            await house.turn("s", "a", history)
            async with house.engine.lease("a") as lease:  # without a session
                await house.asked(lease.upstream, [user("What is the weather like?")])
            await house.engine.unload(["a"])
            assert parked(folder) == [file]  # what was there before is still worth something
            _, timings, _ = await house.turn("s", "a", history)
            assert timings["cache_n"] > 1400

    run(scene())


def test_a_command_with_a_folder_of_its_own(folder, run):
    async def scene():
        own = folder / "own"
        own.mkdir()
        flags = f"--slot-save-path {own}"
        history, _ = await left_parked(folder, flags=flags)
        files = list(own.glob("corral-*.kv"))
        assert files
        assert parked(folder) == []
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        _, reused = await comes_back(folder, history, flags=flags)
        assert reused > 1400

    run(scene())


def test_the_quota_holds(folder, run):
    async def scene():
        async with stable(folder) as house:
            await first_turn(house)
        (file,) = parked(folder)
        size = file.stat().st_size
        quota = f"{size * 5 // 2}"
        async with stable(folder, quota=quota) as house:
            for session in ("two", "three"):  # room for two
                await first_turn(house, session)
            await house.engine.unload(["a"])
            assert len(parked(folder)) == 2
            assert not file.exists()
            assert house.parking.parked("s") == {}
            assert house.parking.parked("three").keys() == {"a"}
        async with stable(folder, quota="1") as house:
            assert parked(folder) == []

    run(scene())


def test_what_belongs_to_nobody_any_more_goes(folder, run):
    async def scene():
        async with stable(folder) as house:
            await first_turn(house, "s")
            await first_turn(house, "t")
            await house.engine.unload(["a"])
            assert len(parked(folder)) == 2
            house.parking.forgotten("t")
        (file,) = parked(folder)  # leaving waits for it
        only_b = CONFIG.format(folder=folder, flags="", quota="1GiB")
        only_b = "".join(line for line in only_b.splitlines(True) if not line.startswith("  a:"))
        async with stable(folder, config=only_b):
            assert not file.exists()
            assert not file.parent.exists()

    run(scene())


def test_without_parking_nothing_is_added_and_nothing_written(folder, run):
    async def scene():
        config = CONFIG.format(folder=folder, flags="", quota="1GiB")
        off = config.replace("parkQuota: 1GiB", "parkKV: off")
        for text in (off, "".join(config.splitlines(True)[2:])):
            async with stable(folder, config=text) as house:
                history = await first_turn(house)
                assert "slot" not in house.command("a")
                await house.engine.unload(["a"])
                _, timings, slot = await house.turn("s", "a", history)
                assert (timings["cache_n"], slot) == (0, None)
            assert not (folder / "state" / "slots").exists()

    run(scene())


def test_two_corrals_do_not_share_the_files(folder, run, caplog):
    async def scene():
        async with stable(folder) as house:
            history = await first_turn(house)
            await house.engine.unload(["a"])
            async with SlotFiles(folder / "state", house.config) as other:
                assert not other.enabled
                assert other.place("a") is None
            _, timings, _ = await house.turn("s", "a", history)
            assert timings["cache_n"] > 1400

    run(scene())
    assert "another corral" in caplog.text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_what_every_api_counts_is_understood(folder, run, path):
    """Some count what was cached among the input, some beside it: neither looks as if somebody else had used the slot."""

    async def scene():
        async with stable(folder) as house:
            for _ in range(2):  # the second time nearly all of it is cached
                async with house.engine.lease("a") as lease:
                    api = "anthropic" if "messages" in path else "chat"
                    seat = await house.parking.seat("s", "a", lease.upstream, api)
                    body = {"id_slot": seat.slot, "max_tokens": 12, "model": "a"}
                    body |= {"input": LONG} if "responses" in path else {"messages": [user(LONG)]}
                    told = await ask(
                        lease.upstream,
                        b"POST",
                        path.encode(),
                        json.dumps(body).encode(),
                        within=BOUND,
                    )
                    assert told.status == 200, told.body
                    tap = UsageTap("application/json")
                    tap.feed(told.body)
                    seat.left(tap.usage())
            assert tap.usage().cache_tokens > 1400
            await house.engine.unload(["a"])
            assert house.parking.parked("s").keys() == {"a"}

    run(scene())


SERVED = """
sessions: {more}
models:
  a: {{cmd: "llama-server -m a.gguf --port ${{PORT}} -t 1 -c 8192"}}
  b: {{cmd: "llama-server -m b.gguf --port ${{PORT}} -t 1 -c 8192"}}
"""


@pytest.fixture
def served(corral, folder):
    """`served(more="{}")`: corral over the two models."""
    return lambda more="{}": corral(SERVED.format(more=more))


def says(one, model, text, session="s"):
    """A turn of a client that sends only its new message: the text, and the timings."""
    said = one.chat(model, text, session_id=session, max_tokens=12, temperature=0)
    assert said.status_code == 200, said.text
    return said.json()["choices"][0]["message"]["content"], said.json()["timings"]


def test_a_conversation_that_goes_to_another_model_and_comes_back(served):
    one = served()
    for session in ("s", "stays"):
        _, timings = says(one, "a", LONG, session)
        assert timings["prompt_n"] > 1400
    expected, _ = says(one, "a", "Go on.", "stays")
    says(one, "b", "Go on.", "other")  # which unloads a
    text, timings = says(one, "a", "Go on.")
    total = timings["cache_n"] + timings["prompt_n"]
    assert total > 1500
    assert timings["prompt_n"] <= 0.05 * total
    assert text == expected
    shown = one.http.get("/api/sessions/s").json()
    assert shown["parked"]["a"] > 100_000


def test_corral_is_killed_and_earlier_unloads_are_still_worth_something(served):
    one = served()
    says(one, "a", LONG)
    says(one, "b", "Hello.", "other")
    one.stop(signal.SIGKILL)
    one = served()
    _, timings = says(one, "a", "Go on.")
    assert timings["cache_n"] > 1400


def test_parking_is_counted(served):
    one = served()
    says(one, "a", LONG)
    says(one, "b", "Hello.", "other")
    says(one, "a", "Go on.")
    page = one.http.get("/metrics").text
    assert 'corral_parked_restores_total{model="a",result="reused"} 1' in page
    assert 'corral_parked_bytes{model="a"}' in page
