"""Commands that ask a running corral, as real processes against a scripted one."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing
from functools import partial

import pytest

CHAT = {
    "id": "chat-small", "state": "ready", "since": 0.0, "in_flight": 1, "waiting": 0, "pid": 4711, "port": 10001,
    "ttl_left": 90.0, "last_load_seconds": 0.4, "last_failure": None, "memory": 5 * 2**20, "shipped": True,
    "description": "voice", "something_new": [1],
}  # fmt: skip
FAILED = {
    "id": "think-big", "state": "unloaded", "since": 0.0, "in_flight": 0, "waiting": 0,
    "last_failure": {"code": "model_load_failed", "message": "exit code 1", "exit_code": 1, "log": ["no file"]},
}  # fmt: skip
WAITED_FOR = {"id": "think-small", "state": "unloaded", "waiting": 2}


def ask(corral, script, *arguments):
    return corral(*arguments, "--url", script.url)


# --- what there is ------------------------------------------------------------------------------


def test_ps_shows_what_runs_or_is_waited_for(corral, script):
    script.on("GET /api/models", {"models": [CHAT, FAILED, WAITED_FOR]})
    done = ask(corral, script, "ps")
    assert (done.returncode, done.stderr) == (0, "")
    heading, *rows = [line.split() for line in done.stdout.splitlines() if line.strip(" ─")]
    assert heading[:2] == ["MODEL", "STATE"]
    assert [row[0] for row in rows] == ["chat-small", "think-small"]
    assert {"4711", "10001", "shipped"} <= set(rows[0])


def test_ps_says_why_a_model_left(corral, script):
    left = {"why": "makes room for chat-small: set voice", "for": "chat-small", "at": 0.0}
    gone = {"id": "think-big", "state": "unloaded", "last_eviction": left}
    script.on("GET /api/models", {"models": [CHAT, gone]})
    last = ask(corral, script, "ps").stdout.splitlines()[-1]
    assert last.startswith("think-big left ")
    assert last.endswith(" ago: makes room for chat-small: set voice")


def test_ps_for_machines_is_what_the_server_said(corral, script):
    script.on("GET /api/models", {"models": [CHAT, FAILED]})
    assert json.loads(ask(corral, script, "ps", "--json").stdout) == [CHAT]


def test_ps_when_nothing_runs(corral, script):
    script.on("GET /api/models", {"models": [FAILED]})
    done = ask(corral, script, "ps")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "nothing is loaded; see `corral models` for what there is\n"
    assert json.loads(ask(corral, script, "ps", "--json").stdout) == []


def test_models_shows_all_and_why_one_failed(corral, script):
    script.on("GET /api/models", {"models": [CHAT, FAILED]})
    _, *rows = [r for r in ask(corral, script, "models").stdout.splitlines() if r.strip(" ─")]
    assert rows[0].split() == ["chat-small", "ready", "0.40s", "voice"]
    assert rows[1].split() == ["think-big", "failed", "exit", "code", "1"]


def test_models_for_machines(corral, script):
    script.on("GET /api/models", {"models": [CHAT, FAILED]})
    assert json.loads(ask(corral, script, "models", "--json").stdout) == [CHAT, FAILED]


# --- load and unload ----------------------------------------------------------------------------


def test_load_waits_until_the_model_is_ready(corral, script):
    script.on("POST /api/models/load/chat-small", {"model": "chat-small", "load_seconds": 0.4})
    done = ask(corral, script, "load", "chat-small")
    assert done.returncode == 0
    assert done.stdout.startswith("chat-small is ready (")


def test_load_for_machines_is_the_servers_report(corral, script):
    script.on("POST /api/models/load/chat-small", {"model": "chat-small", "load_seconds": 0.4})
    done = ask(corral, script, "load", "chat-small", "--json")
    assert json.loads(done.stdout) == {"model": "chat-small", "load_seconds": 0.4}
    assert done.stderr == ""


def test_load_that_fails_says_why_on_one_line(corral, script):
    why = "big did not start: exit code 1\n  no such file"
    script.refuse("POST /api/models/load/big", why, "model_load_failed", 503)
    done = ask(corral, script, "load", "big")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "corral: big did not start: exit code 1 no such file\n"


def test_load_on_a_terminal_shows_state_and_last_log_line(terminal, script):
    script.on("GET /api/models/big", {"id": "big", "state": "loading"})
    script.on("GET /logs/stream/big?no-history=", "one\nreading tensors\n")
    both_drawn = partial(terminal.until, b"loading", b"reading tensors")
    script.on("POST /api/models/load/big", {}, after=both_drawn)
    stdout = terminal.run("load", "big", "--url", script.url)
    assert stdout.startswith("big is ready (")


@pytest.mark.parametrize(
    ("arguments", "request_line", "said"),
    [
        (["chat-small"], "POST /api/models/unload/chat-small", "chat-small is unloaded\n"),
        (["org/m 1"], "POST /api/models/unload/org/m%201", "org/m 1 is unloaded\n"),
        ([], "POST /api/models/unload", "everything is unloaded\n"),
        (["--force"], "POST /api/models/unload?force=true", "everything is unloaded\n"),
        (["a", "--force"], "POST /api/models/unload/a?force=true", "a is unloaded\n"),
    ],
)
def test_unload_one_or_all(corral, script, arguments, request_line, said):
    script.on(request_line, "OK")
    done = ask(corral, script, "unload", *arguments)
    assert (done.returncode, done.stdout) == (0, said)
    assert script.asked == [request_line]


# --- logs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "request_line"),
    [
        ([], "GET /logs"),
        (["chat-small"], "GET /logs/chat-small"),
        (["-f"], "GET /logs/stream"),
        (["chat-small", "--follow"], "GET /logs/stream/chat-small"),
    ],
)
def test_logs_are_printed_as_they_are(corral, script, arguments, request_line):
    script.on(request_line, "grüße\nlast line without end")
    done = ask(corral, script, "logs", *arguments)
    assert (done.returncode, done.stdout) == (0, "grüße\nlast line without end")
    assert script.asked == [request_line]


def test_following_the_log_of_an_unknown_model_fails(corral, script):
    script.refuse("GET /logs/stream/x", "no model `x`; did you mean `y`?", "model_not_found", 404)
    done = ask(corral, script, "logs", "-f", "x")
    assert (done.returncode, done.stderr) == (1, "corral: no model `x`; did you mean `y`?\n")


# --- what goes wrong ----------------------------------------------------------------------------


def test_an_unknown_model_is_one_line(corral, script):
    script.refuse(
        "POST /api/models/load/chat",
        "no model `chat`; did you mean `chat-small`?",
        "model_not_found",
        404,
    )
    done = ask(corral, script, "load", "chat")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "corral: no model `chat`; did you mean `chat-small`?\n"


def test_a_missing_key_names_the_option(corral, script):
    script.refuse("GET /api/models", "a key is needed", "unauthorized", 401)
    done = ask(corral, script, "ps")
    assert (done.returncode, done.stderr) == (1, "corral: a key is needed (--key, CORRAL_KEY)\n")


def test_the_key_and_the_url_come_from_the_environment_too(corral, script):
    script.on("GET /api/models", {"models": []})
    assert corral("ps", CORRAL_URL=script.url + "/", CORRAL_KEY="from-env").returncode == 0
    assert corral("ps", "--key", "from-option", CORRAL_URL=script.url).returncode == 0
    assert corral("ps", CORRAL_URL=script.url).returncode == 0
    assert script.keys == ["Bearer from-env", "Bearer from-option", None]


def test_a_proxy_for_the_outside_is_not_asked_about_this_machine(corral, script):
    script.on("GET /api/models", {"models": []})
    nowhere = f"http://127.0.0.1:{free_port()}"
    done = corral("ps", "--url", script.url, HTTP_PROXY=nowhere, ALL_PROXY=nowhere)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "command", [["ps"], ["models"], ["load", "m"], ["unload"], ["logs"], ["logs", "-f"]]
)
def test_no_server_is_exit_3(corral, command):
    url = f"http://127.0.0.1:{free_port()}"
    done = corral(*command, "--url", url)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"corral: cannot reach {url}: ")
    assert done.stderr.endswith("is `corral serve` running? (--url, CORRAL_URL)\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "127.0.0.1:8080", "", "http://[::1", "http://h:port"]
)
def test_what_is_no_url_is_exit_2(corral, url):
    done = corral("ps", "--url", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"corral: {url} is not an http(s) address\n"


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", "<html>hello</html>", [], {}, {"models": 3}, {"models": [{"id": "no state"}]},
     {"models": [{"id": 1, "state": "ready"}]}],
)  # fmt: skip
def test_an_answer_that_is_not_corrals(corral, script, body):
    script.on("GET /api/models", body)
    done = ask(corral, script, "ps")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f"corral: {script.url} does not answer like corral; is it something else's address?\n"
    )


@pytest.mark.parametrize(
    "body", ["", "<h1>Bad Gateway</h1>", {"error": "text"}, {"error": {}}, ["error"]]
)
def test_an_error_without_a_message_shows_the_status(corral, script, body):
    script.on("GET /api/models", body, 502)
    done = ask(corral, script, "ps")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"corral: 502 Bad Gateway from {script.url}/api/models\n"


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-OpenSSH_9.6\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]
)
def test_a_connection_that_breaks_is_exit_3(corral, said):
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        talking = threading.Thread(target=talk, args=(listener, said))
        talking.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = corral("ps", "--url", url)
        talking.join()
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"corral: lost {url}: ")
    assert done.stderr.count("\n") == 1


def talk(listener: socket.socket, said: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(said)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return listener.getsockname()[1]
