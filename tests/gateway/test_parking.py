"""Parking with engines that do what a test says: who gets which slot, what is saved and restored when, and what happens when an engine
does not play along."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re

import pytest

from corral.dialects.usage import Usage
from corral.errors import UpstreamUnreachable
from corral.gateway import slot_calls
from corral.gateway.parking import Parking
from corral.host.slot_disk import Place
from corral.host.slot_files import SlotFiles

MORE = "sessions: {ttl: 0}\n"
ACTION = re.compile(r"/slots/(\d+)\?action=(save|restore)")


@pytest.fixture
def stable(play, world, tmp_path):
    """`stable(scene, slots=2, models=("a", "b"), **wrong)`: `scene(here)` with one scripted llama-server for each process of a model."""

    def go(scene, *, slots=2, models=("a", "b"), more=MORE, **wrong):
        made = []

        def connect(model):
            made.append(server_of(world)(slots, tmp_path / "slots" / identity(model), **wrong))
            return made[-1]

        async def whole(house):
            async with SlotFiles(tmp_path, house.config) as files:
                for model in models:
                    place = Place(model, identity(model), files.own_folder(identity(model)))
                    assert await files.opened(place)
                    files.use(model, place)
                await scene(Here(house, files, made))
                for model in models:  # while there still are files
                    await house.engine.unload([model])

        play(world.alone(*models, more=more), whole, connect=connect)

    return go


def identity(model):
    return (model.encode().hex() * 8)[:16].ljust(16, "0")


def server_of(world):  # noqa: C901 - a class, of the module that the fixture loads
    class Server(world.Upstream):
        """A llama-server's answers about its slots. `tokens` is what is in them, `did` what it was told to do."""

        def __init__(self, slots, folder, **wrong):
            super().__init__()
            self.tokens = dict.fromkeys(range(slots), 0)
            self.folder, self.wrong = folder, wrong
            self.working = set()
            self.did = []

        async def exchange(self, request, answer, *, connect, idle):
            target = request.target.decode()
            said = ACTION.fullmatch(target)
            name = said[2] if said else target.strip("/")
            self.did.append((name, int(said[1])) if said else name)
            if name == self.wrong.get("hangs"):
                self.gate.clear()
            await self.gate.wait()
            if name in self.wrong.get("gone", ()):
                raise UpstreamUnreachable("it has ended")
            status, body = self.wrong.get(name) or (200, self.answer(said, name, request))
            answer.head(status, [], self)
            answer.body(body if isinstance(body, bytes) else json.dumps(body).encode())

        def answer(self, said, name, request):
            if name == "props":
                return {"total_slots": len(self.tokens), "build_info": "b1"}
            if name == "slots":
                return [self.seen(slot) for slot in self.tokens]
            slot, file = int(said[1]), self.folder / json.loads(request.body)["filename"]
            return self.saved(slot, file) if name == "save" else self.restored(slot, file)

        def seen(self, slot):
            said = {"id": slot, "is_processing": slot in self.working}
            return (
                said if self.wrong.get("silent") else said | {"n_prompt_tokens": self.tokens[slot]}
            )

        def saved(self, slot, file):
            file.write_bytes(b"%0100d" % self.tokens[slot])
            return {"n_saved": self.tokens[slot], "n_written": 100}

        def restored(self, slot, file):
            self.tokens[slot] = int(file.read_bytes())
            return {"n_restored": self.tokens[slot], "n_read": 100}

        def moved(self):
            """What was saved and restored, in order; asked for once."""
            moved = [did for did in self.did if isinstance(did, tuple)]
            self.did.clear()
            return moved

    return Server


class Here:
    """The scene's world."""

    def __init__(self, house, files, made):
        self.house, self.files, self.made = house, files, made
        self.parking = Parking(house.engine, files)

    @contextlib.asynccontextmanager
    async def seated(self, session, model="a", api="chat"):
        async with self.house.engine.lease(model) as lease:
            yield await self.parking.seat(session, model, lease.upstream, api), lease.upstream

    async def turn(self, session, model="a", tokens=1000, reused=None, **more):
        """A turn after which the slot holds this many tokens; its slot. It reuses what is there, unless it is said."""
        async with self.seated(session, model, **more) as (seat, server):
            if seat is None:
                return None
            before = server.tokens[seat.slot] if reused is None else reused
            server.tokens[seat.slot] = tokens
            seat.left(Usage(tokens - before - 10, 10, before))
            return seat.slot

    async def unload(self, model="a"):
        await self.house.engine.unload([model])

    async def settled(self):
        """The files' thread has done all that it was told by now."""
        assert await self.files.identified(lambda: "so far")


def test_a_session_keeps_its_slot_and_others_get_others(stable):
    async def scene(here):
        assert [await here.turn(session) for session in ("s", "t", "s", "t")] == [0, 1, 0, 1]
        (server,) = here.made
        assert server.did == ["props"]  # nothing else is asked for in a turn

    stable(scene)


def test_before_its_model_is_unloaded_a_session_is_saved_and_then_restored(stable):
    async def scene(here):
        await here.turn("s")
        await here.turn("s", "b")  # which takes a's room
        assert here.made[0].moved() == [("save", 0)]
        assert here.parking.parked("s") == {"a": 100}
        await here.turn("s", tokens=1200)
        assert here.made[2].moved() == [("restore", 0)]
        reuse = here.parking.reused("s")
        assert (reuse.model, reuse.tokens, reuse.of) == ("a", 1000, 1000)
        await here.turn("s", tokens=1300)
        assert here.made[2].moved() == []
        assert here.parking.parked("s") == {"a": 100, "b": 100}

    stable(scene)


def test_what_was_used_last_is_saved_first(stable):
    async def scene(here):
        for session in ("s", "t", "s"):
            await here.turn(session)
        await here.unload()
        assert here.made[0].moved() == [("save", 0), ("save", 1)]

    stable(scene)


def test_what_has_not_changed_is_not_saved_again(stable):
    async def scene(here):
        await here.turn("s")
        await here.turn("t")
        await here.unload()
        await here.turn("s", tokens=1100)
        await here.unload()
        assert here.made[1].moved() == [("restore", 0), ("save", 0)]

    stable(scene)


def test_a_slot_that_changes_owner_is_saved_first(stable):
    async def scene(here):
        assert [await here.turn("s"), await here.turn("t")] == [0, 0]
        assert await here.turn("s", tokens=1200) == 0
        moved = here.made[0].moved()
        assert moved == [("save", 0), ("save", 0), ("restore", 0)]
        assert here.parking.reused("s").tokens == 1000

    stable(scene, slots=1)


def test_who_comes_while_its_slot_is_being_saved_waits_for_it(stable):
    async def scene(here):
        await here.turn("s")
        await here.turn("t")
        (server,) = here.made
        server.gate.clear()
        third = await here.house.begin(here.turn("u"))  # gets the slot of s
        await here.house.until(lambda: ("save", 0) in server.did)
        back = await here.house.begin(here.turn("s"))
        await here.house.until(lambda: ("save", 1) in server.did)
        server.gate.set()
        assert (await third, await back) == (0, 1)
        assert ("restore", 1) in server.moved()
        assert here.parking.reused("s").tokens == 1000

    stable(scene)


def test_who_finds_no_slot_is_served_without(stable):
    async def scene(here):
        async with here.seated("s") as (seat, _):
            assert await here.turn("t") is None
            seat.left(None)
            seat.left(None)  # once more is nothing
        assert await here.turn("t") == 0

    stable(scene, slots=1)


def test_slots_that_others_use_are_left_to_them(stable):
    async def scene(here):
        await here.turn("s")
        (server,) = here.made
        async with here.house.using("a"):  # without a session
            server.working = {1}
            assert await here.turn("t") == 0  # s makes room
            server.working = {0, 1}
            server.tokens[0] = 5  # somebody else is at it
            assert await here.turn("t") is None
        server.working = set()

    stable(scene)


def test_a_session_whose_answer_was_cut_off_stays_where_it_is(stable):
    async def scene(here):
        async with here.seated("s") as (seat, server):
            seat.left(None)
        async with here.house.using("a"):
            server.working = {seat.slot}  # the engine has not noticed yet
            async with here.seated("s") as (again, _):
                assert again.slot == seat.slot
                again.left(None)

    stable(scene)


def test_what_others_have_left_in_a_slot_is_not_kept(stable):
    async def scene(here):
        await here.turn("s")
        here.made[0].tokens[0] = 300
        await here.unload()
        assert here.parking.parked("s") == {}
        assert here.made[0].moved() == []

    stable(scene)


def test_where_the_engine_does_not_say_what_it_holds_the_file_does(stable):
    async def scene(here):
        await here.turn("s")
        here.made[0].tokens[0] = 300
        await here.unload()
        assert here.made[0].moved() == [("save", 0)]
        assert here.parking.parked("s") == {}

    stable(scene, silent=True)


def test_a_turn_that_the_engine_put_elsewhere_is_found(stable):
    """llama-server drops `id_slot` of Anthropic's API."""

    async def scene(here):
        async with here.seated("s", api="anthropic") as (seat, server):
            server.tokens[1] = 1000  # not in 0
            seat.left(Usage(990, 10, 0))
        assert seat.slot == 0
        assert await here.turn("t") == 0
        assert server.moved() == []  # s is not there
        await here.unload()
        assert server.moved() == [("save", 0), ("save", 1)]
        assert here.parking.parked("s") == {"a": 100}

    stable(scene)


def test_a_forgotten_session_leaves_nothing(stable):
    async def scene(here):
        await here.turn("s")
        await here.unload()
        await here.turn("s", tokens=1100)
        here.parking.forgotten("s")
        assert here.parking.reused("s") is None
        await here.unload()
        assert here.made[1].moved() == [("restore", 0)]
        await here.settled()
        assert here.parking.parked("s") == {}

    stable(scene)


def test_one_that_is_forgotten_while_it_is_being_saved(stable):
    async def scene(here):
        await here.turn("s")
        (server,) = here.made
        server.gate.clear()
        leaving = await here.house.begin(here.unload())
        await here.house.until(lambda: ("save", 0) in server.did or "slots" in server.did)
        server.gate.set()
        await here.house.until(lambda: ("save", 0) in server.did)
        here.parking.forgotten("s")
        await leaving
        await here.settled()
        assert here.parking.parked("s") == {}

    stable(scene)


@pytest.mark.parametrize(
    "answer",
    [
        (404, b"no such path"),
        (501, b"{}"),
        (500, b"{}"),
        (200, b"not json"),
        (200, b"[]"),
        (200, {}),
        (200, {"total_slots": 0}),
        (200, {"total_slots": True}),
        (200, {"total_slots": "many"}),
    ],
)
def test_an_engine_that_does_not_tell_its_slots(stable, answer):
    async def scene(here):
        assert await here.turn("s") is None
        assert await here.turn("s") is None
        assert here.made[0].did == ["props"]  # asked once
        await here.unload()
        assert here.made[0].did == ["props"]

    stable(scene, props=answer)


@pytest.mark.parametrize("status", [404, 501])
def test_an_engine_that_cannot_save(stable, status):
    async def scene(here):
        await here.turn("s")
        assert await here.turn("t") is None  # that turns out when s should make room
        assert await here.turn("s") is None
        assert here.made[0].moved() == [("save", 0)]
        await here.unload()
        assert here.parking.parked("s") == {}

    stable(scene, slots=1, save=(status, b"{}"))


@pytest.mark.parametrize("answer", [(500, b"{}"), (200, b"[]"), (200, {"n_saved": 0})])
def test_a_slot_that_cannot_be_saved(stable, answer, tmp_path):
    async def scene(here):
        await here.turn("s")
        await here.unload()
        assert here.parking.parked("s") == {}
        assert await here.turn("s") == 0

    stable(scene, save=answer)
    assert list(tmp_path.rglob("corral-*")) == []


def test_a_save_that_hangs_does_not_hold_the_unload_up_beyond_its_grace(stable):
    async def scene(here):
        await here.turn("s")
        await here.unload()
        (order,) = [order for order in here.house.processes.orders if order[0] == "stop"]
        assert order == ("stop", "a", 0)
        assert here.parking.parked("s") == {}

    stable(scene, hangs="save", more=MORE + "unloadTimeout: 1\n")


def test_a_forced_unload_does_not_wait_for_a_slot_in_use(stable):
    async def scene(here):
        await here.turn("s")
        async with here.seated("t") as (seat, server):
            unloading = await here.house.begin(here.house.engine.unload(["a"], force=True))
            await here.house.until(lambda: here.house.processes.orders[-1][0] == "stop")
            assert server.moved() == [("save", 0)]
            seat.left(None)
        await unloading

    stable(scene)


def test_a_model_that_ends_by_itself_loses_what_it_had(stable):
    async def scene(here):
        await here.turn("s")
        here.house.processes.exit("a")
        assert here.parking._before_stop("a") is None
        assert here.made[0].moved() == []

    stable(scene)


@pytest.mark.parametrize("answer", [(400, b"{}"), (500, b"{}"), (200, b"junk")])
def test_a_file_that_is_not_taken_is_dropped(stable, answer):
    async def scene(here):
        await here.turn("s")
        await here.unload()
        assert await here.turn("s") == 0
        assert here.parking.reused("s") is None
        await here.settled()
        assert here.parking.parked("s") == {}
        assert counted(here) == {("a", "failed"): 1}

    stable(scene, restore=answer)


def test_a_restore_that_hangs_is_given_up(stable, monkeypatch):
    monkeypatch.setattr(slot_calls, "MOVED_WITHIN", 0.05)

    async def scene(here):
        await here.turn("s")
        await here.unload()
        async with here.seated("s") as (seat, server):
            assert seat.slot == 0
            server.gate.set()
            seat.left(None)
        assert counted(here) == {("a", "failed"): 1}

    stable(scene, hangs="restore")


def test_an_engine_that_ends_over_files_gets_no_more_of_them(stable):
    async def scene(here):
        for _ in range(2):
            await here.turn("s")
            await here.unload()
            async with here.seated("s") as (seat, _):
                seat.left(None)
            here.house.processes.exit("a")
        assert here.files.place("a") is None
        assert await here.turn("s") is None

    stable(scene, gone=("restore",), more=MORE + "healthCheckTimeout: 15\n")


def test_where_restoring_is_of_no_use_it_is_given_up(stable, caplog):
    async def scene(here):
        for _ in range(2):
            await here.turn("s")
            await here.unload()
            await here.turn("s", tokens=1200, reused=5)
        assert counted(here) == {("a", "useless"): 2}
        assert await here.turn("s") is None
        await here.unload()
        assert await here.turn("s") is None
        assert here.made[-1].did == []
        assert await here.turn("s", "b") == 0

    stable(scene)
    assert "a: what is restored is of no use to it" in caplog.text


def test_a_prompt_that_was_cut_says_nothing_of_the_model(stable):
    async def scene(here):
        for _ in range(3):
            await here.turn("s", tokens=1000)
            await here.unload()
            await here.turn("s", tokens=500, reused=5)  # a budget has dropped the oldest messages
            await here.unload()
        assert await here.turn("s") == 0

    stable(scene)


def test_one_use_is_enough_to_go_on(stable):
    async def scene(here):
        for reused in (900, 5, 5, 5):
            await here.turn("s")
            await here.unload()
            await here.turn("s", tokens=1200, reused=reused)
            await here.unload()
        assert await here.turn("s") == 0

    stable(scene)


def test_an_answer_that_does_not_tell_is_believed(stable):
    async def scene(here):
        async with here.seated("s") as (seat, server):
            server.tokens[seat.slot] = 700
            seat.left(None)
        await here.unload()
        assert here.parking.parked("s") == {"a": 100}
        async with here.seated("s") as (seat, _):
            seat.left(Usage())
        assert here.parking.reused("s") is None

    stable(scene)


def test_models_that_are_not_parked_are_left_alone(stable):
    async def scene(here):
        here.files.use("a", None)
        assert await here.turn("s") is None
        assert here.made[0].did == []

    stable(scene)


def test_a_defect_costs_the_slot_and_not_the_turn(stable, caplog):
    async def scene(here):
        async with here.house.engine.lease("a") as lease:
            here.files.place = lambda model: 1 / 0
            assert await here.parking.seat("s", "a", lease.upstream) is None
            del here.files.place

    stable(scene)
    assert "without its slot" in caplog.text


def test_a_client_that_leaves_while_its_slot_is_made_ready(stable):
    async def scene(here):
        await here.turn("s")
        (server,) = here.made
        server.gate.clear()
        turn = await here.house.begin(here.turn("t"))
        await here.house.until(lambda: ("save", 0) in server.did)
        turn.cancel()
        await asyncio.wait([turn])
        server.gate.set()
        assert await here.turn("t") == 0

    stable(scene, slots=1)


def test_what_is_counted(stable):
    async def scene(here):
        await here.turn("s")
        await here.unload()
        await here.turn("s", tokens=1100)
        parked, restores = here.parking.families()
        assert (parked[0].name, parked[1]) == ("corral_parked_bytes", [(("a",), 100)])
        assert restores[1] == [(("a", "reused"), 1)]
        assert "1 seated" not in repr(here.parking)

    stable(scene)


def counted(here):
    return dict(here.parking.families()[1][1])
