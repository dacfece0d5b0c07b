"""Engines that come up, crash, hang, refuse to die, and what is said about it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from dataclasses import replace

import psutil
import pytest

from corral.config.command import LaunchSpec
from corral.errors import LoadFailed, LoadTimeout, UpstreamUnreachable

# --- coming up ---


def test_an_engine_that_answers_200_is_ready_and_stops_when_asked(stage, said, gone):
    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        status = corral.status("m")
        assert status.proxy == f"http://localhost:{status.port}" == corral.upstream("m").proxy
        assert f" {status.port} 200" in status.cmd
        assert status.rss > 0
        assert int(await said(corral.log("m"), b"engine")) == status.pid
        connections = corral.upstream("m")
        corral.stop("m", 20)
        assert await reports.next() == ("exited", "m", None)
        assert gone(status.pid, 0)
        assert connections.closed
        assert corral.status("m") == replace(status, rss=None)

    assert len(stage.run(scene, stage.engine("200")).all) == 2


def test_a_model_that_was_never_started_shows_what_would_run(stage):
    async def scene(corral, reports):
        status = corral.status("m")
        assert (status.pid, status.port, status.rss) == (None, None, None)
        assert status.cmd.endswith("'${PORT}' 200")

    stage.run(scene, stage.engine("200"))


def test_503_means_still_loading(stage, said):
    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        assert corral.log("m").history().count(b"asked /health") == 4

    stage.run(scene, stage.engine("503", "503", "404", "200"))


@pytest.mark.parametrize("first", ["hang", "junk", "301"])
def test_a_try_that_hangs_or_babbles_or_redirects_is_followed_by_another(stage, first):
    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        assert b"elsewhere" not in corral.log("m").history()

    stage.run(scene, stage.engine(first, "200"))


def test_the_check_goes_below_the_proxys_path(stage, said):
    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        assert await said(corral.log("m"), b"asked") == b"/base/up?x=1"

    stage.run(scene, stage.engine("200", proxy="http://127.0.0.1:${PORT}/base/", check="/up?x=1"))


def test_an_engine_may_listen_on_a_private_socket(stage):
    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        path = corral.upstream("m").proxy.removeprefix("unix:")
        assert len(path) < 100
        assert corral.status("m").cmd.endswith(f"{path} 200")
        assert corral.status("m").port is None

    spec = stage.engine("200")
    argv = tuple(word.replace("${PORT}", "${SOCKET}") for word in spec.argv)
    stage.run(scene, replace(spec, argv=argv, proxy="unix:${SOCKET}", port=None))


def test_without_a_check_it_is_ready_as_soon_as_it_runs(stage):
    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")

    stage.run(scene, stage.engine("-", check=None))


def test_starting_twice_is_starting_once(stage):
    async def scene(corral, reports):
        corral.start("m")
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        corral.start("m")
        corral.stop("m", 20)
        assert await reports.next() == ("exited", "m", None)

    assert len(stage.run(scene, stage.engine("200")).all) == 2


def test_starting_again_from_the_report_of_its_exit(stage):
    async def scene(corral, reports):
        again = iter([True])
        reports.on_exit = lambda model: next(again, None) and corral.start(model)
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        first = corral.status("m").pid
        corral.stop("m", 20)
        assert await reports.next() == ("exited", "m", None)
        assert await reports.next() == ("ready", "m")
        assert corral.status("m").pid != first

    stage.run(scene, stage.engine("200"))


# --- failing to ---


def test_a_crash_at_once_gives_the_code_and_the_last_lines(stage):
    async def scene(corral, reports):
        corral.start("m")
        _, _, reason = await reports.next()
        assert type(reason) is LoadFailed
        assert reason.exit_code == 3
        assert reason.log_tail == ("loading", "error: bad flag")
        assert reason.message.startswith(
            "m: the process exited with code 3 before it was ready (its last line: error: bad flag); see"
        )
        with pytest.raises(UpstreamUnreachable):
            corral.upstream("m")

    code = "import sys; print('loading', flush=True); print('error: bad flag', file=sys.stderr); sys.exit(3)"
    stage.run(scene, stage.engine(argv=stage.python(code)))


def test_the_last_lines_are_this_runs_and_not_the_one_befores(stage):
    async def scene(corral, reports):
        for _ in range(2):
            corral.start("m")
            _, _, reason = await reports.next()
            assert reason.log_tail == ("only me",)

    stage.run(scene, stage.engine(argv=stage.python("raise SystemExit('only me')")))


def test_an_engine_that_a_signal_ends_says_which(stage):
    async def scene(corral, reports):
        corral.start("m")
        _, _, reason = await reports.next()
        assert reason.exit_code == -9
        assert "SIGKILL" in reason.message
        assert "memory" in reason.message

    stage.run(scene, stage.engine(argv=stage.python("import os; os.kill(os.getpid(), 9)")))


def test_an_engine_that_dies_while_serving_is_reported(stage):
    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        port = corral.status("m").port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /die HTTP/1.1\r\n\r\n")
        _, _, reason = await reports.next()
        writer.close()
        assert reason.exit_code == 7
        assert "while it was serving" in reason.message

    stage.run(scene, stage.engine("200", "die"))


def test_an_engine_that_never_gets_healthy_is_ended_and_says_what_it_last_answered(stage, gone):
    async def scene(corral, reports):
        corral.start("m")
        _, _, reason = await reports.next()
        assert type(reason) is LoadTimeout
        assert "not ready after 0.5 s" in reason.message
        assert "/health answered 503" in reason.message
        assert reason.log_tail[-1] == "asked /health"
        assert gone(corral.status("m").pid, 0)

    stage.run(scene, stage.engine("503", start_timeout=0.5))


def test_an_engine_that_never_listens_says_so(stage):
    async def scene(corral, reports):
        corral.start("m")
        _, _, reason = await reports.next()
        assert "has nobody who listens" in reason.message

    stage.run(scene, stage.engine("-", start_timeout=0.3))


def test_a_daemon_is_an_early_exit_and_does_not_stay_behind(stage, said, gone):
    async def scene(corral, reports):
        corral.start("m")
        pid = int(await said(corral.log("m"), b"descendant"))
        _, _, reason = await reports.next()
        assert reason.exit_code == 0
        assert "a command must stay in the foreground" in reason.message
        assert gone(pid, 0)

    stage.run(scene, stage.engine("-", wish="daemon leave"))


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("corral-no-such-program", "no program 'corral-no-such-program' on the PATH"),
        ("/nowhere/engine", "no program '/nowhere/engine'"),
        ("", "the command is empty"),
    ],
)
def test_a_program_that_is_not_there(stage, program, words):
    async def scene(corral, reports):
        problem = await corral.check("m")
        assert words in problem.message
        corral.start("m")
        _, _, reason = await reports.next()
        assert words in reason.message

    stage.run(scene, stage.engine(argv=(program,) if program else ()))


def test_a_program_that_the_system_cannot_run(stage):
    script = stage.folder / "script"
    script.write_text("#!/nowhere/interpreter\n")
    script.chmod(0o700)

    async def scene(corral, reports):
        assert await corral.check("m") is None
        corral.start("m")
        _, _, reason = await reports.next()
        assert f"{script} could not be launched: No such file" in reason.message
        assert reason.exit_code is None

    stage.run(scene, stage.engine(argv=(str(script),)))


def test_a_proxy_that_is_no_address(stage):
    async def scene(corral, reports):
        corral.start("m")
        _, _, reason = await reports.next()
        assert "'nonsense'" in reason.message
        assert "correct `proxy`" in reason.message

    stage.run(scene, stage.engine("200", proxy="nonsense"))


def test_a_missing_model_file_is_found_before_anything_runs(stage):
    async def scene(corral, reports):
        problem = await corral.check("m")
        assert "no file '/nowhere/model.gguf'" in problem.message
        assert await corral.check("good") is None

    spec = stage.engine("200", files=("/nowhere/model.gguf",))
    good = replace(spec, model="good", files=(str(stage.folder / "engine.py"),))
    stage.run(scene, spec, good)


def test_one_model_failing_leaves_the_others_serving(stage):
    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        corral.start("bad")
        assert (await reports.next())[:2] == ("exited", "bad")
        assert corral.upstream("m").proxy.endswith(str(corral.status("m").port))

    stage.run(
        scene,
        stage.engine("200"),
        LaunchSpec("bad", stage.python("raise SystemExit(1)"), "http://x:1"),
    )


# --- ports ---


def test_a_port_that_somebody_else_listens_on_is_passed_over(stage):
    with socket.create_server(("127.0.0.1", 0)) as orphan:
        taken = orphan.getsockname()[1]

        async def scene(corral, reports):
            corral.start("m")
            assert await reports.next() == ("ready", "m")
            assert corral.status("m").port > taken

        stage.run(scene, stage.engine("200", port=taken))


def test_two_corrals_that_count_from_the_same_port_get_different_ones(stage):
    spec = stage.engine("200", "200")

    async def scene(one, reports_of_one):
        async with stage.supervised(spec) as (two, reports_of_two):
            one.start("m")
            two.start("m")
            assert await reports_of_one.next() == ("ready", "m")
            assert await reports_of_two.next() == ("ready", "m")
            assert one.status("m").port != two.status("m").port

    stage.run(scene, spec)


# --- stopping ---


def test_an_engine_that_ignores_sigterm_is_killed_when_its_grace_is_over(stage, gone):
    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        corral.stop("m", 0.2)
        assert await reports.next() == ("exited", "m", None)
        assert gone(corral.status("m").pid, 0)

    stage.run(scene, stage.engine("200", wish="stubborn"))


def test_a_second_stop_may_shorten_the_grace_but_not_lengthen_it(stage):
    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        corral.stop("m", 10_000)
        corral.stop("m", 0.1)
        corral.stop("m", 10_000)
        assert await reports.next() == ("exited", "m", None)
        corral.stop("m", 0)  # nothing runs

    assert len(stage.run(scene, stage.engine("200", wish="stubborn")).all) == 2


@pytest.mark.parametrize("answer", ["-", "503", "hang"])
def test_a_stop_while_loading_ends_it_and_is_no_failure(stage, said, gone, answer):
    async def scene(corral, reports):
        corral.start("m")
        pid = int(await said(corral.log("m"), b"engine"))
        corral.stop("m", 20)
        assert await reports.next() == ("exited", "m", None)
        assert gone(pid, 0)

    assert len(stage.run(scene, stage.engine(answer)).all) == 1


def test_a_stop_right_after_the_start(stage):
    async def scene(corral, reports):
        corral.start("m")
        corral.stop("m", 20)
        assert await reports.next() == ("exited", "m", None)

    assert len(stage.run(scene, stage.engine("200")).all) == 1


def test_the_memory_is_that_of_the_whole_group(stage, said):
    async def scene(corral, reports):
        corral.start("m")
        pid = int(await said(corral.log("m"), b"descendant"))
        assert await reports.next() == ("ready", "m")
        least = psutil.Process(pid).memory_info().rss
        assert corral.status("m").rss > 1.5 * least

    stage.run(scene, stage.engine("200", wish="fork"))


@pytest.mark.parametrize("wish", ["fork", "daemon", "daemon quiet"])
def test_descendants_that_would_survive_are_killed_too(stage, said, gone, wish):
    async def scene(corral, reports):
        corral.start("m")
        pid = int(await said(corral.log("m"), b"descendant"))
        assert await reports.next() == ("ready", "m")
        corral.stop("m", 20)
        assert await reports.next() == ("exited", "m", None)
        assert gone(pid, 0)

    stage.run(scene, stage.engine("200", wish=wish))


def test_a_descendant_out_of_reach_that_keeps_the_pipe_open_does_not_hold_up_the_stop(
    stage, said, gone
):
    escape = """
import os, signal, subprocess, sys
code = "import os, signal; print('escaped', os.getpid(), flush=True); signal.sigwait([signal.SIGUSR1])"
subprocess.Popen([sys.executable, "-S", "-c", code], env={}, start_new_session=True)
signal.pause()
"""

    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        pid = int(await said(corral.log("m"), b"escaped"))
        try:
            corral.stop("m", 20)
            assert await reports.next() == ("exited", "m", None)
            assert not gone(pid, 0)
        finally:
            os.kill(pid, 9)
        assert gone(pid)

    stage.run(scene, stage.engine(argv=stage.python(escape), check=None))


# --- cmdStop ---


def test_the_stop_command_is_told_the_pid_and_the_port_and_has_the_models_environment(stage, said):
    stop = "import os, sys; print('stopping', *sys.argv[1:], os.environ['WISH'], flush=True); os.kill(int(sys.argv[1]), 15)"

    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        corral.stop("m", 20)
        assert await reports.next() == ("exited", "m", None)
        status = corral.status("m")
        expected = f"{status.pid} {status.port} hello".encode()
        assert await said(corral.log("m"), b"stopping") == expected

    spec = stage.engine("200", wish="hello")
    stage.run(scene, replace(spec, stop_argv=stage.python(stop, "${PID}", "${PORT}")))


def test_with_a_stop_command_sigterm_is_not_sent_as_well(stage, said):
    child = """
import signal, sys
def heard(number, frame):
    print("heard", signal.Signals(number).name, flush=True)
    if number == signal.SIGUSR1:
        sys.exit(0)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, heard)
print("engine", flush=True)
while True:
    signal.pause()
"""
    stop = stage.python("import os, sys; os.kill(int(sys.argv[1]), 10)", "${PID}")

    async def scene(corral, reports):
        corral.start("m")
        await said(corral.log("m"), b"engine")
        corral.stop("m", 20)
        assert await reports.next() == ("ready", "m")
        assert await reports.next() == ("exited", "m", None)
        assert corral.log("m").tail(5) == ("engine", "heard SIGUSR1")

    stage.run(scene, stage.engine(argv=stage.python(child), check=None, stop_argv=stop))


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ((sys.executable, "-S", "-c", "raise SystemExit(4)"), b"cmdStop exited with code 4"),
        (("corral-no-such-program",), b"cmdStop could not be launched"),
    ],
)
def test_a_stop_command_that_fails_is_noted_and_sigterm_does_it(stage, stop, words, caplog):
    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        corral.stop("m", 10_000)
        assert await reports.next() == ("exited", "m", None)
        assert words in corral.log("m").history()

    stage.run(scene, stage.engine("200", stop_argv=stop))
    assert words.decode() in caplog.text


def test_a_stop_command_that_hangs_is_killed_with_the_engine(stage, said, gone):
    stop = "import os, signal; print('stopper', os.getpid(), flush=True); signal.pause()"

    async def scene(corral, reports):
        corral.start("m")
        assert await reports.next() == ("ready", "m")
        corral.stop("m", 10_000)
        stopper = int(await said(corral.log("m"), b"stopper"))
        corral.stop("m", 0)
        assert await reports.next() == ("exited", "m", None)
        assert gone(stopper, 0)
        assert gone(corral.status("m").pid, 0)

    stage.run(scene, stage.engine("200", stop_argv=stage.python(stop)))


# --- output ---


def test_a_flood_of_output_does_not_wait_for_a_slow_reader(stage):
    flood = "import os\nfor n in range(64): os.write(1, b'x' * 65536)\nos.write(1, b'done')"

    async def scene(corral, reports):
        ring = corral.log("m")
        reader = ring.follow()
        corral.start("m")
        _, _, reason = await reports.next()
        assert reason.exit_code == 0
        assert ring.history().endswith(b"xdone")
        assert len(ring.history()) == 100 * 1024
        notice = await anext(reader)
        lost = int(notice.split()[1])
        ring.close()
        kept = b"".join([piece async for piece in reader])
        assert lost + len(kept) == 64 * 65536 + 4

    stage.run(scene, stage.engine(argv=stage.python(flood)))


# --- leaving ---


def test_leaving_the_scope_ends_everything_and_reports_it(stage, gone):
    pids = []

    async def scene(corral, reports):
        for model in ("m", "n"):
            corral.start(model)
        assert {await reports.next(), await reports.next()} == {("ready", "m"), ("ready", "n")}
        pids.extend(corral.status(model).pid for model in ("m", "n"))

    spec = stage.engine("200")
    reports = stage.run(scene, spec, replace(spec, model="n"))
    assert sorted(reports.all[2:]) == [("exited", "m", None), ("exited", "n", None)]
    assert all(gone(pid, 0) for pid in pids)
    assert [path.name for path in stage.runtime.iterdir()] == ["ports"]


def test_leaving_by_an_error_ends_everything(stage, gone):
    pids = []

    async def scene(corral, reports):
        corral.start("m")
        await reports.next()
        pids.append(corral.status("m").pid)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stage.run(scene, stage.engine("200"))
    assert gone(pids[0], 0)


def test_a_cancellation_while_leaving_means_now(stage, gone):
    async def leave(entered, pids):
        async with stage.supervised(stage.engine("200", wish="stubborn")) as (corral, reports):
            corral.start("m")
            await reports.next()
            pids.append(corral.status("m").pid)
            reports.on_exit = lambda _model: pids.append("reported")
            entered.set()

    async def main():
        entered, pids = asyncio.Event(), []
        task = asyncio.get_running_loop().create_task(leave(entered, pids), name="leave")
        await asyncio.wait_for(entered.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pids

    with asyncio.Runner(loop_factory=stage.loop_factory) as runner:
        pid, reported = runner.run(main())
    assert gone(pid, 0)
    assert reported == "reported"


def test_a_start_after_leaving_is_refused_by_a_report(stage):
    async def main():
        async with stage.supervised(stage.engine("200")) as (corral, reports):
            pass
        corral.start("m")
        assert reports.all == []
        return await reports.next()

    with asyncio.Runner(loop_factory=stage.loop_factory) as runner:
        _, _, reason = runner.run(main())
    assert "corral is stopping" in reason.message
