"""A bounded run of a play on either event loop, and the scripted world in `scripted.py`."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import pytest
import uvloop

_spec = importlib.util.spec_from_file_location(
    "corral_tests_scripted", Path(__file__).with_name("scripted.py")
)
scripted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scripted)


_spec = importlib.util.spec_from_file_location(
    "corral_tests_talking", Path(__file__).with_name("talking.py")
)
talking = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(talking)


@pytest.fixture
def talk():
    """The module `talking`."""
    return talking


@pytest.fixture
def world():
    """The module `scripted`."""
    return scripted


@pytest.fixture
def alone(world):
    """`alone(*models)`: a configuration in which one of them runs at a time."""
    return world.alone


@pytest.fixture
def together(world):
    """`together(*models)`: one in which they run side by side."""
    return world.together


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine to its end, on either loop, bounded; a task left behind is a failure."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    async def bounded(play):
        async with asyncio.timeout(scripted.BOUND):
            await play
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            await asyncio.wait(left, timeout=scripted.BOUND)
        assert [task for task in left if not task.done()] == []

    def go(play):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(bounded(play))

    return go


@pytest.fixture
def play(run):
    """`play(config, scene)`: run `scene(house)`, then see that every arrival has departed."""

    def go(text, scene, **options):
        async def whole():
            async with scripted.open_house(text, **options) as house:
                await scene(house)

        run(whole())

    return go
