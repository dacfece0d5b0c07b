"""The engines' own metrics: asked for without using, loading or waiting for anybody."""

from __future__ import annotations

import asyncio

import pytest

from corral.errors import UpstreamUnreachable
from corral.gateway import gathering
from corral.gateway.gathering import Gathering, Told

TEXT = b"# TYPE up gauge\nup 1\n"


def engines(world, **upstreams):
    """`connect=` for a house: these upstreams, and ones that answer 404 for everybody else."""
    return lambda model: upstreams.get(model) or world.Upstream(b"nothing here", status=404)


def test_ready_models_are_asked_and_nobody_else(play, world):
    a, b = world.Upstream(TEXT), world.Upstream(TEXT)

    async def scene(house):
        await house.use("a")
        gathered = Gathering(house.engine)
        assert await gathered.told() == [Told("a", TEXT.decode())]
        assert [(one.method, one.target) for one in a.asked] == [(b"GET", b"/metrics")]
        assert b.asked == []
        assert house.processes.running == {"a"}

    play(world.alone("a", "b"), scene, connect=engines(world, a=a, b=b))


def test_asking_is_no_use(play, world):
    async def scene(house):
        await house.use("a")
        deadline = house.machine.ttl_deadline("a")
        facts = len(house.machine.facts)
        house.clock.time += 10
        await Gathering(house.engine).told()
        assert house.machine.ttl_deadline("a") == deadline
        assert len(house.machine.facts) == facts

    play(
        world.alone("a", more="globalTTL: 60\n"),
        scene,
        connect=engines(world, a=world.Upstream(TEXT)),
    )


@pytest.mark.parametrize("status", [404, 401, 405, 301, 204, 501])
def test_an_engine_without_metrics_is_asked_once_in_its_life(play, world, status):
    made = []

    def connect(model):
        made.append(world.Upstream(b"no", status=status))
        return made[-1]

    async def scene(house):
        gathered = Gathering(house.engine)
        for life in (1, 2):
            await house.use("a")
            assert await gathered.told() == []
            assert await gathered.told() == []
            assert [len(upstream.asked) for upstream in made] == [1] * life
            await house.engine.unload(["a"])

    play(world.alone("a"), scene, connect=connect)


def test_one_that_has_metrics_and_fails_is_down_and_asked_again(play, world):
    upstream = world.Upstream(TEXT)

    async def scene(house):
        await house.use("a")
        gathered = Gathering(house.engine)
        upstream.status = 503  # not yet: whether it has any is not known
        assert await gathered.told() == []
        upstream.status = 200
        assert await gathered.told() == [Told("a", TEXT.decode())]
        upstream.status = 500
        assert await gathered.told() == [Told("a", None)]
        upstream.status = 200
        assert await gathered.told() == [Told("a", TEXT.decode())]

    play(world.alone("a"), scene, connect=engines(world, a=upstream))


def test_one_that_hangs_costs_only_its_own(play, world, monkeypatch):
    monkeypatch.setattr(gathering, "LIMIT", 0.05)
    a, b = world.Upstream(TEXT), world.Upstream(TEXT)

    async def scene(house):
        await house.use("a")
        await house.use("b")
        gathered = Gathering(house.engine)
        assert len(await gathered.told()) == 2
        a.gate.clear()
        monkeypatch.setattr(gathering, "LIMIT", 0.05)
        assert await gathered.told() == [Told("a", None), Told("b", TEXT.decode())]
        assert a.cancelled == 1
        a.gate.set()

    play(world.together("a", "b"), scene, connect=engines(world, a=a, b=b))


def test_all_are_asked_at_once(play, world):
    class Meeting(world.Upstream):
        """Answers once everybody has been asked."""

        present = 0

        async def exchange(self, request, answer, **limits):
            Meeting.present += 1
            if Meeting.present == 2:
                a.gate.set()
                b.gate.set()
            await super().exchange(request, answer, **limits)

    a, b = Meeting(TEXT), Meeting(TEXT)

    async def scene(house):
        await house.use("a")
        await house.use("b")
        a.gate.clear()
        b.gate.clear()
        assert len(await Gathering(house.engine).told()) == 2

    play(world.together("a", "b"), scene, connect=engines(world, a=a, b=b))


def test_one_that_cannot_be_reached(play, world):
    class Gone(world.Upstream):
        async def exchange(self, request, answer, **limits):
            raise UpstreamUnreachable("connection refused")

    async def scene(house):
        await house.use("a")
        assert await Gathering(house.engine).told() == []

    play(world.alone("a"), scene, connect=engines(world, a=Gone()))


def test_one_whose_process_has_just_gone(play, world):
    async def scene(house):
        await house.use("a")
        del house.processes._upstreams["a"]
        assert await Gathering(house.engine).told() == []

    play(world.alone("a"), scene)


def test_one_that_never_ends(play, world, monkeypatch):
    monkeypatch.setattr(gathering, "LONGEST", 1000)
    upstream = world.Upstream(*[b"x 1\n" * 100] * 10)

    async def scene(house):
        await house.use("a")
        assert await Gathering(house.engine).told() == []

    play(world.alone("a"), scene, connect=engines(world, a=upstream))


def test_bytes_that_are_no_text_are_no_problem(play, world):
    async def scene(house):
        await house.use("a")
        ((_, text),) = await Gathering(house.engine).told()
        assert text == "\ufffd\ufffd"

    play(world.alone("a"), scene, connect=engines(world, a=world.Upstream(b"\xff", b"\xfe")))


def test_one_that_makes_no_sense_is_not_asked_again_in_its_life(play, world, caplog):
    upstream = world.Upstream(b"<html>")

    async def scene(house):
        await house.use("a")
        gathered = Gathering(house.engine)
        await gathered.told()
        gathered.refuse("a", "no metrics")
        assert await gathered.told() == []
        assert len(upstream.asked) == 1
        gathered.refuse("a", "told twice")
        gathered.refuse("b", "never asked")

    play(world.alone("a", "b"), scene, connect=engines(world, a=upstream))
    assert [r.message for r in caplog.records] == ["a: its /metrics cannot be read: no metrics"]


def test_a_scrape_that_is_given_up_ends_its_questions(play, world):
    upstream = world.Upstream(TEXT)

    async def scene(house):
        await house.use("a")
        upstream.gate.clear()
        scraping = await house.begin(Gathering(house.engine).told())
        await house.until(lambda: upstream.asked)
        scraping.cancel()
        await asyncio.wait([scraping])
        assert upstream.cancelled == 1
        upstream.gate.set()

    play(world.alone("a"), scene, connect=engines(world, a=upstream))
