"""Corral is killed, and nothing of it stays."""

from __future__ import annotations

import asyncio
import io
import marshal
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from corral.host import guardian
from corral.host.lifeline import MARK, Lifeline

BOUND = 30

# A corral reduced to its supervisor: starts every model, says who runs, waits for its end.
CORRAL = """
import asyncio, os, signal, sys, uvloop
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import Connections, Reports
from corral.config.command import LaunchSpec
from corral.host.supervisor import Supervisor
specs = {specs!r}

async def main():
    reports = Reports()
    async with Supervisor(
        {{spec.model: spec for spec in specs}}, reports, upstream_factory=Connections, runtime_dir=Path({runtime!r})
    ) as corral:
        for spec in specs:
            corral.start(spec.model)
        if {wait!r}:
            for _ in specs:
                await reports.next()
        else:
            while not any(corral.status(spec.model).pid for spec in specs):
                await asyncio.sleep(0)
        print(corral._shared.lifeline.pid, *(corral.status(spec.model).pid for spec in specs), flush=True)
        for spec in specs:
            async for piece in corral.log(spec.model).follow():
                pass

uvloop.run(main())
"""


@pytest.fixture
def corral(stage):
    """`corral(*specs)`: another process that runs them, as (process, guardian's pid, the engines' pids)."""
    started = []

    def start(*specs, wait=True):
        code = CORRAL.format(
            specs=specs, tests=str(Path(__file__).parent), runtime=str(stage.runtime), wait=wait
        )
        process = subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE, text=True)
        started.append(process)
        keeper, *pids = process.stdout.readline().split()
        return process, int(keeper), [int(pid) for pid in pids if pid != "None"]

    yield start
    for process in started:
        process.kill()
        process.wait(30)
        process.stdout.close()


def test_it_needs_less_than_two_seconds():
    assert guardian.PATIENCE + guardian.SWEEPING < 2


@pytest.mark.parametrize("wish", ["", "stubborn", "daemon quiet", "daemon stubborn", "fork"])
def test_engines_descendants_and_the_guardian_are_gone_after_corral_was_killed(
    stage, corral, gone, wish
):
    spec = stage.engine("200", wish=wish)
    process, keeper, pids = corral(spec, replace(spec, model="n"))
    marked = marked_by(keeper)
    assert set(marked) >= set(pids)
    assert len(marked) == (4 if "fork" in wish or "daemon" in wish else 2)
    process.kill()
    assert all(gone(pid) for pid in [*marked, keeper])
    assert [path.name for path in stage.runtime.iterdir()] == ["ports"]  # its sockets' folder too


def test_a_stop_command_is_run_for_what_it_alone_can_stop(stage, corral, gone, tmp_path):
    note = tmp_path / "stopped"
    code = "import os, sys; open(sys.argv[1], 'w').write(f'{sys.argv[2]} {os.environ[\"WISH\"]}'); os.kill(int(sys.argv[2]), 9)"
    stop = stage.python(code, str(note), "${PID}")
    process, keeper, (pid,) = corral(stage.engine("200", wish="stubborn", stop_argv=stop))
    process.kill()
    assert gone(pid)
    assert gone(keeper)
    assert note.read_text() == f"{pid} stubborn"


def test_a_stop_command_that_hangs_or_is_not_there_does_not_keep_the_engine(stage, corral, gone):
    hangs = stage.engine("200", stop_argv=stage.python("import signal; signal.pause()"))
    missing = replace(hangs, model="n", stop_argv=("corral-no-such-program",))
    process, keeper, pids = corral(hangs, missing)
    process.kill()
    assert all(gone(pid) for pid in [*pids, keeper])


def test_corral_killed_in_the_moment_of_a_launch(stage, corral, gone):
    process, keeper, pids = corral(stage.engine("-", wish="stubborn"), wait=False)
    process.kill()
    assert all(gone(pid) for pid in [*pids, keeper])


def test_a_child_that_was_never_registered_is_found_by_its_mark(stage, gone):
    """Corral was killed between launching it and saying so: what is left of the launch is the environment."""
    reading, writing = os.pipe()
    mark = f"{MARK}=0123456789abcdef"
    child = subprocess.Popen(
        stage.python("import signal; signal.pause()"), env={MARK: "0123456789abcdef.7"}
    )
    code = f"import sys; sys.path.append({source()!r}); from corral.host.guardian import main; main(*sys.argv[1:])"
    argv = (sys.executable, "-I", "-S", "-c", code, mark, str(stage.folder / "none"))
    keeper = subprocess.Popen(argv, stdin=reading)
    os.close(reading)
    os.close(writing)
    assert keeper.wait(30) == 0
    assert child.wait(30) == -signal.SIGKILL


def ignored(pid, signals):
    """Whether the process ignores them, once it has had the time to say so."""
    wanted = sum(1 << (number - 1) for number in signals)
    deadline = time.monotonic() + BOUND
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        if int(re.search(r"SigIgn:\s*(\w+)", status)[1], 16) & wanted == wanted:
            return True
    return False


def test_signals_to_everyone_do_not_end_it(stage, corral, gone):
    everyone = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    process, keeper, (pid,) = corral(stage.engine("200"))
    assert ignored(keeper, everyone)  # one that still starts would be ended, and replaced
    for number in everyone:
        os.kill(keeper, number)
    process.kill()
    assert gone(pid)
    assert gone(keeper)


def test_a_guardian_that_was_killed_is_replaced_and_knows_everything(stage, gone, until, caplog):
    async def scene(corral, reports):
        corral.start("m")
        await reports.next()
        lifeline = corral._shared.lifeline  # white box: who the guardian is, is nobody's business
        first = lifeline.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: lifeline.pid not in (None, first))
        corral.stop("m", 20)
        assert await reports.next() == ("exited", "m", None)

    stage.run(scene, stage.engine("200"))
    assert "launching another" in caplog.text


def test_a_guardian_that_does_not_read_is_replaced_before_its_pipe_is_closed(
    stage, gone, until, tmp_path, caplog
):
    async def main():
        async with Lifeline(tmp_path / "none").held() as lifeline:
            first = lifeline.pid
            os.kill(first, signal.SIGSTOP)
            for group in range(10_000_000, 10_010_000):  # no such processes
                lifeline.tell(group)
                if lifeline.pid is None:
                    break
                lifeline.forget(group)
            await until(lambda: lifeline.pid not in (None, first))
            return first

    with asyncio.Runner(loop_factory=stage.loop_factory) as runner:
        assert gone(runner.run(main()))


def test_it_goes_when_corral_leaves(stage, gone):
    seen = []

    async def scene(corral, reports):
        seen.append(corral._shared.lifeline.pid)

    stage.run(scene)
    assert gone(seen[0], 0)


def test_it_imports_next_to_nothing():
    code = f"import sys; sys.path.append({source()!r}); import corral.host.guardian; print(*sys.modules)"
    argv = (sys.executable, "-I", "-S", "-c", code)
    modules = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert not {"asyncio", "typing", "pathlib", "subprocess", "json", "socket", "re"} & set(modules)


# --- what it hears ---


def test_what_was_said_and_not_taken_back_is_left():
    told = [(5, (), {}), (6, ("stop", "6"), {"A": "b"}), (5,), (7, (), {}), (9,)]
    assert heard(b"".join(map(marshal.dumps, told))) == {
        6: (6, ("stop", "6"), {"A": "b"}),
        7: (7, (), {}),
    }


def test_a_sentence_cut_off_at_any_byte_leaves_those_before_it():
    first, second = marshal.dumps((5, (), {})), marshal.dumps((6, ("stop",), {"A": "b"}))
    for length in range(len(second)):
        assert set(heard(first + second[:length])) == {5}


def heard(said: bytes) -> dict:
    return guardian.listen(io.BytesIO(said))


def source() -> str:
    return str(Path(guardian.__file__).parents[2])


def marked_by(keeper: int) -> list[int]:
    """Every process with the mark that this guardian looks for."""
    words = Path(f"/proc/{keeper}/cmdline").read_bytes().split(b"\0")
    mark = next(word for word in words if word.startswith(MARK.encode()))
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found
