"""Other launches for models while their processes run."""

from __future__ import annotations

from dataclasses import replace

import pytest

EXITED = ("exited", "m", None)
TOLD = "import os, sys; print('by', sys.argv[1], flush=True); os.kill(int(sys.argv[2]), 15)"


async def up(corral, reports):
    corral.start("m")
    assert await reports.next() == ("ready", "m")
    return corral.status("m").pid


def test_what_runs_stays_as_it_is_and_the_next_one_is_another(stage):
    old = stage.engine("200")
    new = replace(old, argv=(*old.argv, "404"), env={"WISH": "new"})

    async def scene(corral, reports):
        pid = await up(corral, reports)
        corral.adopt({"m": new})
        assert corral.status("m").pid == pid
        assert corral.status("m").cmd.endswith(" 200")
        corral.stop("m", 20)
        assert await reports.next() == EXITED
        status = corral.status("m")  # what would run
        assert (status.pid, status.cmd.endswith("200 404")) == (None, True)
        assert await up(corral, reports) != pid
        assert corral.status("m").cmd.endswith("200 404")

    stage.run(scene, old)


def test_what_is_the_same_keeps_what_is_known_of_it(stage):
    spec = stage.engine("200")

    async def scene(corral, reports):
        pid = await up(corral, reports)
        corral.stop("m", 20)
        assert await reports.next() == EXITED
        corral.adopt({"m": replace(spec, port=spec.port + 50)})
        assert corral.status("m").pid == pid

    stage.run(scene, spec)


def test_a_running_process_keeps_its_port_and_is_stopped_in_the_new_way(stage, said):
    spec = stage.engine("200")

    async def scene(corral, reports):
        await up(corral, reports)
        port = corral.status("m").port
        stop = stage.python(TOLD, "${PORT}", "${PID}")
        corral.adopt({"m": replace(spec, stop_argv=stop, port=spec.port + 50)})
        assert corral.status("m").port == port
        corral.stop("m", 20)
        assert await said(corral.log("m"), b"by") == str(port).encode()
        assert await reports.next() == EXITED

    stage.run(scene, spec)


def test_one_that_is_to_be_started_anew_is_stopped_as_it_was_started(stage):
    spec = stage.engine("200")
    new = replace(spec, env={"WISH": "x"}, stop_argv=stage.python("print('the new way')"))

    async def scene(corral, reports):
        await up(corral, reports)
        corral.adopt({"m": new})
        corral.stop("m", 20)
        assert await reports.next() == EXITED
        assert b"the new way" not in corral.log("m").history()

    stage.run(scene, spec)


def test_between_the_order_to_start_and_the_launch(stage, said):
    spec = stage.engine("200")

    async def scene(corral, reports):
        corral.start("m")
        corral.adopt({"m": replace(spec, stop_argv=stage.python(TOLD, "corral", "${PID}"))})
        assert await reports.next() == ("ready", "m")
        corral.stop("m", 20)
        assert await said(corral.log("m"), b"by") == b"corral"
        assert await reports.next() == EXITED

    stage.run(scene, spec)


def test_a_model_that_is_gone_is_forgotten_with_its_process(stage):
    async def scene(corral, reports):
        pid = await up(corral, reports)
        log = corral.log("m")
        corral.adopt({})
        assert corral.status("m").pid == pid
        assert corral.log("m") is log
        assert not log.closed
        assert await corral.check("m") is None
        corral.stop("m", 20)
        assert await reports.next() == EXITED
        assert log.closed
        for ask in (corral.log, corral.status):
            with pytest.raises(KeyError):
                ask("m")

    stage.run(scene, stage.engine("200"))


def test_one_that_did_not_run_is_forgotten_at_once(stage):
    async def scene(corral, reports):
        log = corral.log("m")
        corral.adopt({})
        assert log.closed

    stage.run(scene, stage.engine("200"))


def test_a_model_that_comes_back_while_it_leaves_keeps_its_log(stage):
    spec = stage.engine("200")

    async def scene(corral, reports):
        await up(corral, reports)
        log = corral.log("m")
        corral.adopt({})
        corral.adopt({"m": spec})
        corral.stop("m", 20)
        assert await reports.next() == EXITED
        assert corral.log("m") is log
        await up(corral, reports)

    stage.run(scene, spec)


def test_a_new_model_can_be_started_at_once(stage):
    spec = stage.engine("200")

    async def scene(corral, reports):
        corral.adopt({"m": spec, "n": replace(spec, model="n")})
        corral.start("n")
        assert await reports.next() == ("ready", "n")
        assert b"engine" in corral.log("n").history()

    stage.run(scene, spec)
