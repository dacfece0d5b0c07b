"""Models that are loaded through a router: one that behaves, and one that does not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from corral.config.command import LaunchSpec, Routed
from corral.errors import LoadFailed, LoadTimeout, UpstreamUnreachable
from corral.host.load_times import fingerprint

PROGRAM = str(Path(__file__).parent / "scripted_router.py")
PORTS = 29000 + os.getpid() % 1000 * 8
BOUND = 30.0


def router(*models: str, wishes: tuple[str, ...] = (), **changes) -> list[LaunchSpec]:
    """Specs of these models, loaded through one scripted router."""
    words = [word for wish in wishes for word in ("--wish", wish)]
    argv = (sys.executable, "-S", PROGRAM, "${PORT}", *models, *words)
    launch = LaunchSpec(
        "r", argv, "http://127.0.0.1:${PORT}", port=PORTS, start_timeout=BOUND, unload_timeout=BOUND
    )
    launch = replace(launch, **changes)
    return [spec(model, Routed("r", model, launch=launch)) for model in models]


def spec(model: str, routed: Routed, **changes) -> LaunchSpec:
    return LaunchSpec(model, (), "", routed=routed, **({"start_timeout": BOUND} | changes))


def ask(corral, model: str, path: str, body: object = None) -> dict:
    url = corral.status(model).proxy + path
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(url, data, timeout=BOUND) as answer:
        return json.load(answer)


async def order(corral, model: str, verb: str, there: str) -> None:
    """Somebody else asks the router for something."""
    await asyncio.to_thread(ask, corral, model, f"/models/{verb}", {"model": there})


def listed(corral, model: str) -> dict[str, str]:
    """How the router's models stand."""
    return {one["id"]: one["status"]["value"] for one in ask(corral, model, "/models")["data"]}


async def pid_of(said, corral, model: str) -> int:
    """Of the server of a model."""
    line = await said(corral.log(model), b"[")
    return int(line.split(b"pid=")[1])


# --- a life ---


@pytest.mark.parametrize("wishes", [(), ("deaf",), ("gappy",), ("mute",)])
def test_a_model_is_loaded_and_unloaded(stage, said, gone, wishes):
    async def scene(corral, reports):
        assert corral.routers() == {"r": False}
        assert corral.status("a").cmd.startswith(sys.executable)
        corral.start("a")
        assert await reports.next() == ("ready", "a")
        assert corral.routers() == {"r": True}
        status = corral.status("a")
        assert corral.upstream("a").proxy == status.proxy == f"http://127.0.0.1:{status.port}"
        assert f"{PROGRAM} {status.port} a b" in status.cmd
        assert psutil.pid_exists(status.pid)
        server = await pid_of(said, corral, "a")
        assert listed(corral, "a") == {"a": "loaded", "b": "unloaded"}
        connections = corral.upstream("a")
        corral.stop("a", 20)
        assert await reports.next() == ("exited", "a", None)
        assert connections.closed
        assert gone(server, 0)
        assert psutil.pid_exists(status.pid)

    assert len(stage.run(scene, *router("a", "b", wishes=wishes)).all) == 2


def test_two_models_share_a_router_and_speak_in_their_own_logs(stage, said):
    async def scene(corral, reports):
        corral.start("a")
        corral.start("b")
        assert {await reports.next(), await reports.next()} == {("ready", "a"), ("ready", "b")}
        assert corral.status("a").pid == corral.status("b").pid
        for model in ("a", "b"):
            await said(corral.log(model), b"[")
            assert f"name={model} on".encode() in corral.log(model).history()
        assert b"name=b on" not in corral.log("a").history()
        assert b"router" in corral.log("a").history()  # which it was started for
        assert b"router" not in corral.log("b").history()

    stage.run(scene, *router("a", "b"))


def test_nothing_asked_ever_loads_a_model(stage, said):
    async def scene(corral, reports):
        corral.start("a")
        assert await reports.next() == ("ready", "a")
        asked = [line for line in corral.log("a").tail(100) if line.startswith("asked")]
        assert asked
        assert all("autoload=false" in line for line in asked)

    stage.run(scene, *router("a"))


def test_a_model_may_be_known_by_an_alias(stage, said):
    async def scene(corral, reports):
        corral.start("double")
        assert await reports.next() == ("ready", "double")
        assert b"name=twin on" in corral.log("double").history()
        corral.stop("double", 20)
        assert await reports.next() == ("exited", "double", None)
        assert listed(corral, "double") == {"twin": "unloaded"}

    [one] = router("twin")
    stage.run(scene, spec("double", replace(one.routed, model="double")))


def test_a_router_that_is_ended_is_gone_with_all_it_launched(stage, said, gone):
    pids = []

    async def scene(corral, reports):
        corral.start("a")
        assert await reports.next() == ("ready", "a")
        pids.extend([corral.status("a").pid, await pid_of(said, corral, "a")])

    stage.run(scene, *router("a"))
    assert all(gone(pid, 0) for pid in pids)


# --- what is, counts ---


def test_a_model_that_runs_already_is_taken_over(stage):
    async def scene(corral, reports):
        corral.start("a")
        assert await reports.next() == ("ready", "a")

    stage.run(scene, *router("a", wishes=("startup=a",)))


def test_one_of_ours_that_runs_unasked_goes_before_another_is_loaded(stage):
    async def scene(corral, reports):
        corral.start("b")
        assert await reports.next() == ("ready", "b")
        assert listed(corral, "b") == {"a": "unloaded", "b": "loaded"}

    stage.run(scene, *router("a", "b", wishes=("startup=a",)))


def test_one_of_somebody_else_s_stays(stage):
    async def scene(corral, reports):
        corral.start("b")
        assert await reports.next() == ("ready", "b")
        assert listed(corral, "b")["b"] == "loaded"
        assert listed(corral, "b")["a"] != "unloaded"

    stage.run(scene, router("a", "b", wishes=("startup=a",))[1])


def test_a_model_that_is_gone_already_is_unloaded(stage):
    async def scene(corral, reports):
        corral.start("a")
        assert await reports.next() == ("ready", "a")
        url = corral.status("a").proxy
        corral.stop("a", 20)
        await asyncio.to_thread(_unload, url, "a")
        assert await reports.next() == ("exited", "a", None)

    stage.run(scene, *router("a"))


def _unload(url: str, model: str) -> None:
    data = json.dumps({"model": model}).encode()
    try:
        urllib.request.urlopen(f"{url}/models/unload", data, timeout=BOUND).close()
    except urllib.error.HTTPError as error:
        error.close()


# --- failing to load ---


@pytest.mark.parametrize("wishes", [(), ("deaf",)])
def test_a_server_that_dies_while_loading_gives_its_code_and_last_lines(stage, wishes):
    async def scene(corral, reports):
        corral.start("broken")
        _, _, reason = await reports.next()
        assert type(reason) is LoadFailed
        assert reason.exit_code == 3
        assert reason.message.startswith(
            "broken: the process exited with code 3 before it was ready (its last line: [40000] error: no such file"
        )
        assert reason.message.endswith("; see `corral logs broken`")
        corral.start("broken")  # what it said before is no news
        assert (await reports.next())[2].exit_code == 3

    stage.run(scene, *router("broken", wishes=wishes))


def test_a_router_that_says_nothing_of_the_end_costs_a_moment(stage):
    async def scene(corral, reports):
        corral.start("broken")
        assert (await reports.next())[2].exit_code == 3

    stage.run(scene, *router("broken", wishes=("quiet",)))


def test_a_model_that_never_loads_is_given_up_and_unloaded(stage):
    async def scene(corral, reports):
        corral.start("never")
        _, _, reason = await reports.next()
        assert type(reason) is LoadTimeout
        assert "never: not ready after 0.5 s: its router `r` says: loading" in reason.message
        assert listed(corral, "never") == {"never": "unloaded"}

    [one] = router("never")
    stage.run(scene, replace(one, start_timeout=0.5))


def test_a_model_that_the_router_does_not_have_names_those_it_has(stage):
    async def scene(corral, reports):
        corral.start("c")
        _, _, reason = await reports.next()
        assert reason.message == (
            "c: its router `r` has no model `c`; it has a, b: correct `routerModel`, or add it there"
        )
        assert (await corral.check("c")).message == reason.message
        assert await corral.check("a") is None

    one, two = router("a", "b")
    stage.run(scene, one, two, spec("c", replace(one.routed, model="c")))


@pytest.mark.parametrize(
    ("wishes", "why"),
    [((), "model limit reached, try again later"), (("mute",), "it answered 500")],
)
def test_a_refusal_is_told(stage, wishes, why):
    async def scene(corral, reports):
        corral.start("full")
        _, _, reason = await reports.next()
        assert reason.message == f"full: its router `r` refused to load it: {why}"

    stage.run(scene, *router("full", wishes=wishes))


def test_what_is_no_router_is_told(stage):
    async def scene(corral, reports):
        corral.start("a")
        _, _, reason = await reports.next()
        assert "is it a llama-server in router mode?" in reason.message

    stage.run(scene, *router("a", wishes=("plain",)))


def test_a_router_that_does_not_come_up_says_so_as_the_models_reason(stage):
    async def scene(corral, reports):
        corral.start("a")
        corral.start("b")
        reasons = dict([(await reports.next())[1:], (await reports.next())[1:]])
        said = "its router `r` exited with code 4 before it was ready (its last line: no such option); see `corral logs a`"
        assert {model: why.message for model, why in reasons.items()} == {
            "a": f"a: {said}",
            "b": f"b: {said}",
        }
        assert reasons["b"].exit_code == 4
        assert corral.routers() == {"r": False}

    code = "import sys; print('no such option', flush=True); sys.exit(4)"
    stage.run(scene, *router("a", "b", argv=stage.python(code, "${PORT}")))


def test_a_router_that_never_answers_is_given_up(stage):
    async def scene(corral, reports):
        corral.start("a")
        _, _, reason = await reports.next()
        assert type(reason) is LoadTimeout
        assert reason.message.startswith("a: its router `r` is not ready after 0.5 s: ")

    code = "import time; time.sleep(3600)"
    stage.run(scene, *router("a", argv=stage.python(code, "${PORT}"), start_timeout=0.5))


def test_a_port_that_is_somebody_else_s_is_not_taken_for_the_router(stage):
    async def scene(corral, reports):
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        specs = router("a", proxy=f"http://127.0.0.1:{port}", port=None)
        corral.adopt({"a": specs[0]})
        corral.start("a")
        _, _, reason = await reports.next()
        assert reason.message.startswith(
            f"a: port {port}, where its router `r` is to listen, is somebody else's; "
        )
        server.close()

    stage.run(scene, *router("a"))


def test_its_load_times_are_those_of_this_model_of_this_router():
    one, two = router("a", "b")
    again = replace(one, routed=replace(one.routed, launch=replace(one.routed.launch, port=1)))
    assert fingerprint(one) == fingerprint(again)
    other = router("a", wishes=("deaf",))[0]
    elsewhere = spec("a", Routed("r", "a", url="http://h"))
    assert len({fingerprint(each) for each in (one, two, other, elsewhere)}) == 4


# --- dying ---


def test_a_server_that_dies_is_reported_and_can_be_loaded_again(stage, said):
    async def scene(corral, reports):
        corral.start("a")
        assert await reports.next() == ("ready", "a")
        os.kill(await pid_of(said, corral, "a"), signal.SIGKILL)
        _, _, reason = await reports.next()
        assert reason.exit_code == 9
        assert "while it was serving" in reason.message
        with pytest.raises(UpstreamUnreachable):
            corral.upstream("a")
        corral.start("a")
        assert await reports.next() == ("ready", "a")

    stage.run(scene, *router("a"))


def test_a_model_that_somebody_else_unloads_is_gone(stage):
    async def scene(corral, reports):
        corral.start("a")
        assert await reports.next() == ("ready", "a")
        await order(corral, "a", "unload", "a")
        _, _, reason = await reports.next()
        assert (
            reason.message == "a: its router `r` has unloaded it, because somebody else wanted that"
        )

    stage.run(scene, *router("a"))


def test_when_the_router_dies_all_its_models_are_gone_and_the_next_load_starts_it_again(
    stage, said
):
    async def scene(corral, reports):
        corral.start("a")
        assert await reports.next() == ("ready", "a")
        corral.start("b")
        assert await reports.next() == ("ready", "b")
        first = corral.status("a").pid
        os.kill(first, signal.SIGKILL)
        reasons = dict([(await reports.next())[1:], (await reports.next())[1:]])
        for model in ("a", "b"):
            assert reasons[model].message.startswith(
                f"{model}: its router `r` was ended by SIGKILL while it was serving"
            )
        assert corral.routers() == {"r": False}
        corral.start("b")
        assert await reports.next() == ("ready", "b")
        assert corral.status("b").pid != first

    stage.run(scene, *router("a", "b"))


def test_a_router_that_dies_while_it_loads(stage, said):
    async def scene(corral, reports):
        corral.start("never")
        await said(corral.log("never"), b"[")
        os.kill(corral.status("never").pid, signal.SIGKILL)
        _, _, reason = await reports.next()
        assert "its router `r` was ended by SIGKILL" in reason.message

    stage.run(scene, *router("never"))


# --- stopping ---


def test_stopping_while_it_loads_unloads_it(stage, said, gone):
    async def scene(corral, reports):
        corral.start("never")
        server = await pid_of(said, corral, "never")
        corral.stop("never", 20)
        assert await reports.next() == ("exited", "never", None)
        assert gone(server, 0)

    stage.run(scene, *router("never"))


def test_stopping_at_once_leaves_nothing(stage):
    async def scene(corral, reports):
        corral.start("a")
        corral.stop("a", 20)
        assert await reports.next() == ("exited", "a", None)
        corral.start("a")
        assert await reports.next() == ("ready", "a")

    stage.run(scene, *router("a"))


@pytest.mark.parametrize("grace", [0, 0.3])
def test_a_server_that_is_not_unloaded_in_time_is_killed(stage, said, gone, grace):
    async def scene(corral, reports):
        corral.start("heavy")
        assert await reports.next() == ("ready", "heavy")
        server = await pid_of(said, corral, "heavy")
        corral.stop("heavy", grace)
        assert await reports.next() == ("exited", "heavy", None)
        assert gone(server, 0)
        assert listed(corral, "heavy") == {"heavy": "unloaded"}

    stage.run(scene, *router("heavy"))


def test_a_server_that_does_not_let_go_of_a_request_is_killed(stage, said, gone):
    async def scene(corral, reports):
        corral.start("busy")
        assert await reports.next() == ("ready", "busy")
        server = await pid_of(said, corral, "busy")
        corral.stop("busy", 1000)
        assert await reports.next() == ("exited", "busy", None)
        assert gone(server, 0)

    stage.run(scene, *router("busy"))


def test_a_router_that_hangs_does_not_hold_up_the_end_for_ever(stage, said):
    async def scene(corral, reports):
        corral.start("a")
        assert await reports.next() == ("ready", "a")
        os.kill(corral.status("a").pid, signal.SIGSTOP)
        corral.stop("a", 0)
        assert await reports.next() == ("exited", "a", None)

    stage.run(scene, *router("a"))


def test_stopping_while_the_router_starts(stage):
    async def scene(corral, reports):
        corral.start("a")
        corral.stop("a", 20)
        assert await reports.next() == ("exited", "a", None)

    stage.run(scene, *router("a", wishes=("stuck",)))


# --- reloading ---


def test_a_router_that_is_launched_in_another_way_begins_when_the_old_one_is_gone(stage, gone):
    async def scene(corral, reports):
        corral.start("a")
        assert await reports.next() == ("ready", "a")
        first = corral.status("a").pid
        new = {one.model: one for one in router("a", "b", "c")}
        corral.adopt(new)
        corral.start("b")
        corral.stop("a", 20)
        assert await reports.next() == ("exited", "a", None)
        assert await reports.next() == ("ready", "b")
        assert gone(first, 0)
        assert listed(corral, "b") == {"a": "unloaded", "b": "loaded", "c": "unloaded"}

    stage.run(scene, *router("a", "b"))


def test_a_router_that_is_named_no_more_ends_with_its_last_model(stage, gone):
    async def scene(corral, reports):
        corral.start("a")
        assert await reports.next() == ("ready", "a")
        pid = corral.status("a").pid
        corral.adopt({})
        assert psutil.pid_exists(pid)
        corral.stop("a", 20)
        assert await reports.next() == ("exited", "a", None)
        assert await asyncio.to_thread(gone, pid)

    stage.run(scene, *router("a"))


def test_an_idle_router_that_is_named_no_more_ends(stage, gone):
    async def scene(corral, reports):
        corral.start("a")
        assert await reports.next() == ("ready", "a")
        pid = corral.status("a").pid
        corral.stop("a", 20)
        assert await reports.next() == ("exited", "a", None)
        corral.adopt({})
        assert corral.routers() == {}
        assert await asyncio.to_thread(gone, pid)

    stage.run(scene, *router("a"))


# --- one that corral did not start ---


def test_a_router_elsewhere(stage, gone):
    async def scene(corral, reports):
        corral.start("a")  # this one stands for somebody else's
        assert await reports.next() == ("ready", "a")
        url, pid = corral.status("a").proxy, corral.status("a").pid
        corral.adopt({"a": router("a", "b")[0], "far": spec("far", Routed("far", "b", url=url))})
        assert await corral.check("far") is None
        corral.start("far")
        assert await reports.next() == ("ready", "far")
        assert corral.status("far") == replace(corral.status("far"), pid=None, proxy=url, cmd="")
        assert corral.routers() == {"r": True, "far": True}
        corral.stop("far", 20)
        assert await reports.next() == ("exited", "far", None)
        assert listed(corral, "a") == {"a": "loaded", "b": "unloaded"}
        corral.start("far")
        assert await reports.next() == ("ready", "far")
        os.kill(pid, signal.SIGKILL)
        reasons = dict([(await reports.next())[1:], (await reports.next())[1:]])
        assert reasons["far"].message.startswith("far: its router `far` does not answer: ")
        assert "nobody listens there" in (await corral.check("far")).message
        corral.adopt({})

    stage.run(scene, *router("a", "b"))


def test_a_router_elsewhere_that_is_not_there(stage):
    async def scene(corral, reports):
        assert "nobody listens there" in (await corral.check("far")).message
        corral.start("far")
        _, _, reason = await reports.next()
        assert reason.message.startswith("far: its router `far` does not answer: ")

    stage.run(scene, spec("far", Routed("far", "b", url="http://127.0.0.1:1")))
