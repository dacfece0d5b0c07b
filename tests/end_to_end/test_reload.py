"""A running corral whose configuration is edited: by SIGHUP, by `--watch`, by `POST /api/reload`, by `corral reload`."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

ENGINE = Path(__file__).parent / "scripted_engine.py"
PYTHON = f"{sys.executable} -S {ENGINE} --port ${{PORT}}"
KEY = {"Authorization": "Bearer one"}


def model(name: str, ways: str = "", **keys: object) -> str:
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return f'  {name}: {{cmd: "{PYTHON} {ways}", proxy: "http://127.0.0.1:${{PORT}}"{more}}}\n'


def together(*models: str, names: str) -> str:
    return "models:\n" + "".join(models) + f"groups: {{all: {{swap: false, members: [{names}]}}}}\n"


@contextlib.contextmanager
def streaming(house, name):
    """A stream that has begun and goes on until the block ends; yields its pieces."""
    body = {"model": name, "stream": True}
    with house.http.stream("POST", "/v1/chat/completions", json=body) as stream:
        pieces = stream.iter_bytes()
        assert b"choices" in next(pieces)
        yield pieces


def edit(house, text):
    """As editors save: another file under the same name."""
    fresh = house.folder / "config.yaml.new"
    fresh.write_text(text)
    fresh.replace(house.folder / "config.yaml")


def reload(house, text=None, **how):
    if text is not None:
        edit(house, text)
    return house.http.post("/api/reload", **how)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def command(house, *arguments):
    """`corral reload` and the like, against it."""
    return subprocess.run(
        [sys.executable, "-m", "corral", *arguments, "--url", house.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=house.folder,
    )


def test_only_what_changed_is_touched(corral):
    before = together(model("talker", "--do trickle"), model("other"), names="talker, other")
    house = corral(before)
    assert house.chat("other").status_code == 200
    pids = {name: house.state(name)["pid"] for name in ("other",)}
    with streaming(house, "talker") as pieces:
        pids["talker"] = house.state("talker")["pid"]
        done = reload(house, before.replace(model("other"), model("other", env="[X=1]"))).json()
        assert (done["ok"], done["restarted"], done["kept"]) == (True, ["other"], ["talker"])
        house.until(lambda: not psutil.pid_exists(pids["other"]))
        for _ in range(5):
            assert b"choices" in next(pieces)
        assert house.chat("other").status_code == 200
        assert house.state("other")["pid"] not in (None, pids["other"])
        assert house.state("talker")["pid"] == pids["talker"]
        assert house.state("talker")["in_flight"] == 1


def test_a_changed_model_finishes_its_stream_and_its_next_request_meets_the_new_one(corral):
    house = corral("models:\n" + model("a", "--do trickle"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with streaming(house, "a") as pieces:
            old = house.state("a")["pid"]
            assert reload(house, "models:\n" + model("a")).json()["restarted"] == ["a"]
            waiting = pool.submit(house.chat, "a")
            house.until(lambda: house.state("a")["waiting"] == 1)
            for _ in range(5):
                assert b"choices" in next(pieces)
            assert house.state("a")["pid"] == old
            assert house.state("a")["state"] == "draining"
        assert waiting.result(30).json()["choices"]
    assert house.state("a")["pid"] != old
    house.said("unloading a: its configuration changed")


def test_a_removed_model_finishes_its_stream_and_is_gone(corral):
    text = together(model("a", "--do trickle"), model("b"), names="a, b")
    house = corral(text)
    with streaming(house, "a") as pieces:
        pid = house.state("a")["pid"]
        assert reload(house, "models:\n" + model("b")).json()["removed"] == ["a"]
        answer = house.chat("a")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
        assert [one["id"] for one in house.http.get("/v1/models").json()["data"]] == ["b"]
        for _ in range(5):
            assert b"choices" in next(pieces)
    house.until(lambda: not psutil.pid_exists(pid))
    assert house.chat("b").status_code == 200


def test_who_waits_for_a_removed_model_is_told(corral, tmp_path):
    house = corral("models:\n" + model("a", f"--gate {tmp_path / 'gate'}") + model("b"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(house.chat, "a")
        house.until(lambda: house.state("a")["state"] == "loading")
        reload(house, "models:\n" + model("b"))
        answer = waiting.result(30)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert "removed from the configuration" in answer.json()["error"]["message"]


def test_a_new_model_is_there_at_once(corral):
    house = corral("models:\n" + model("a"))
    assert reload(house, "models:\n" + model("a") + model("b")).json()["added"] == ["b"]
    assert house.chat("b").status_code == 200


def test_a_bad_file_changes_nothing_and_is_told_everywhere(corral):
    text = "models:\n" + model("a")
    house = corral(text)
    assert house.chat("a").status_code == 200
    pid = house.state("a")["pid"]
    with house.http.stream("GET", "/api/events") as events:
        lines = (json.loads(x[5:]) for x in events.iter_lines() if x.startswith("data:"))
        next(lines)
        answer = reload(house, text.replace("models:", "modles: {}\nmodels:") + "logLevel: loud\n")
        message = next(line for line in lines if line["type"] == "config")
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid_config"
    assert [problem["line"] for problem in error["problems"]] == [1, 4]
    told = json.loads(message["data"])
    assert told["ok"] is False
    assert len(told["problems"]) == 2
    assert "config.yaml:1:1" in told["problems"][0]
    house.said(r"config.yaml:1:1 modles: unknown key")
    assert house.chat("a").status_code == 200
    assert house.state("a")["pid"] == pid
    assert reload(house, text).json()["kept"] == ["a"]


@pytest.mark.parametrize("broken", ["gone", "binary", "a folder"])
def test_a_file_that_cannot_be_read_changes_nothing(corral, broken):
    house = corral("models:\n" + model("a"))
    path = house.folder / "config.yaml"
    path.unlink()
    if broken == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    elif broken == "a folder":
        path.mkdir()
    answer = reload(house)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_config")
    assert "config.yaml" in answer.json()["error"]["message"]
    assert house.chat("a").status_code == 200


def test_two_quick_edits_and_the_last_one_counts(corral):
    house = corral("models:\n" + model("a"))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for ttl in range(1, 20):
            edit(house, "models:\n" + model("a", ttl=1000 + ttl))
            asked = [pool.submit(reload, house) for _ in range(4)]
        assert {one.result(30).status_code for one in asked} == {200}
    assert house.state("a")["ttl"] == 1019


def test_a_macro_that_changes(corral):
    macro = 'macros: {ways: "%s"}\nmodels:\n' + model("a", "${ways}") + model("b")
    house = corral(macro % "")
    assert house.chat("a").json()["choices"]
    done = reload(house, macro % "--do half").json()
    assert (done["restarted"], done["kept"]) == (["a"], ["b"])
    with streaming(house, "a"):
        pass


def test_other_groups_hold_for_what_runs(corral):
    both = model("a", "--do trickle") + model("b")
    house = corral("models:\n" + both)
    with concurrent.futures.ThreadPoolExecutor(1) as pool, streaming(house, "a") as pieces:
        waiting = pool.submit(house.chat, "b")
        house.until(lambda: house.state("b")["waiting"] == 1)
        text = "models:\n" + both + "groups: {g: {swap: false, members: [a, b]}}\n"
        done = reload(house, text).json()
        assert (done["settings"], done["kept"]) == (["groups"], ["a", "b"])
        assert waiting.result(30).status_code == 200  # while the stream goes on
        assert b"choices" in next(pieces)
        assert house.running() == {"a", "b"}


def test_keys_count_from_the_next_request_on(corral):
    text = "models:\n" + model("a")
    house = corral(text)
    assert reload(house, text + "apiKeys: [one]\n").status_code == 200
    assert house.http.get("/v1/models").status_code == 401
    assert house.http.get("/v1/models", headers=KEY).status_code == 200
    assert reload(house, text).status_code == 401
    assert reload(house, text, headers=KEY).json()["settings"] == ["apiKeys"]
    assert house.http.get("/v1/models").status_code == 200


def test_peers(corral):
    """A model moves to another machine, and back."""
    here = corral("models:\n" + model("a"))
    with contextlib.ExitStack() as scope:
        port = free_port()
        argv = [sys.executable, "-S", str(ENGINE), "--port", str(port)]
        far = scope.enter_context(subprocess.Popen(argv, stdout=subprocess.DEVNULL))
        scope.callback(far.kill)
        peer = f'peers: {{far: {{proxy: "http://127.0.0.1:{port}", models: [b]}}}}\n'
        assert reload(here, "models:\n" + model("a") + peer).json()["settings"] == ["peers"]
        here.until(lambda: here.chat("b").status_code == 200)
        assert reload(here, "models:\n" + model("a")).json()["settings"] == ["peers"]
        assert here.chat("b").status_code == 404


def test_the_log_level(corral):
    text = "models:\n" + model("a")
    house = corral(text + "logLevel: error\n")
    assert reload(house, text + "logLevel: info\n").status_code == 200
    house.said("reloaded: settings logLevel")


def test_preloads(corral):
    text = together(model("a"), model("b"), names="a, b")
    house = corral(text)
    reload(house, text + "hooks: {on_startup: {preload: [b]}}\n")
    house.until(lambda: house.running() == {"b"})


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_sighup(corral):
    house = corral("models:\n" + model("a"))
    edit(house, "models:\n" + model("a", ttl=77) + model("b"))
    os.kill(house.process.pid, signal.SIGHUP)
    house.said("reloaded: added b; updated a")
    assert house.state("a")["ttl"] == 77
    edit(house, "models: 5\n")
    os.kill(house.process.pid, signal.SIGHUP)
    house.said("not reloaded, everything stays as it was:\nconfig.yaml|not reloaded(.|\n)*models")
    assert house.state("a")["ttl"] == 77


def test_watching_a_file(corral):
    house = corral("models:\n" + model("a"), "--watch")
    edit(house, "models:\n" + model("a") + model("b"))
    house.said("reloaded: added b")
    (house.folder / "config.yaml").write_text("models:\n" + model("c"))  # in place
    house.said("reloaded: added c; removed a, b")
    edit(house, "models: [\n")
    house.said("not reloaded")
    edit(house, "models:\n" + model("d"))
    house.said("reloaded: added d; removed c")
    assert house.chat("d").status_code == 200


def test_without_watch_nobody_looks(corral):
    house = corral("models:\n" + model("a"))
    edit(house, "models:\n" + model("b"))
    assert house.chat("a").status_code == 200
    assert reload(house).json()["added"] == ["b"]


def test_watching_a_folder(corral, tmp_path):
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "a.yaml").write_text("models:\n" + model("a"))
    house = corral("models: {}\n", "--config-dir", "conf.d", "--watch")
    (folder / "b.yml").write_text("models:\n" + model("b"))
    house.said("reloaded: added b")
    (folder / "a.yaml").unlink()
    house.said("reloaded: removed a")


def test_a_reload_while_requests_come(corral):
    """Ten edits under steady traffic: nobody who asks for a model that is always there notices."""
    names = "a, b, c"

    def text(n):
        extra = model("c") if n % 2 else ""
        known = model("a", ttl=100 + n) + model("b", env=f"[N={n // 2}]") + extra
        return together(known, names=names if extra else "a, b")

    house = corral(text(0))
    going = threading.Event()

    def client(name):
        seen = set()
        while not going.is_set():
            seen.add(house.chat(name).status_code)
        return seen

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, name) for name in "abab"]
        done = [reload(house, text(n)).status_code for n in range(1, 11)]
        going.set()
        assert {status for one in clients for status in one.result(60)} == {200}
    assert done == [200] * 10


def test_the_command(corral):
    text = "models:\n" + model("a")
    house = corral(text)
    edit(house, "models:\n" + model("a", ttl=5) + model("b"))
    done = command(house, "reload")
    assert (done.returncode, done.stdout) == (0, "added: b\nupdated: a\nsettings: groups\n")
    done = command(house, "reload")
    assert (done.returncode, done.stdout) == (0, "reloaded; nothing has changed\n")
    assert json.loads(command(house, "reload", "--json").stdout)["kept"] == ["a", "b"]
    edit(house, "modles: {}\n" + text + "logLevel: loud\n")
    done = command(house, "reload")
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith("config.yaml:1:1 ") or "config.yaml:1:1 " in first
    assert "logLevel" in second
