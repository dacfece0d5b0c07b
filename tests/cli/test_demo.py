"""The demo: its files, its child process, and the story, told to a server that keeps the matrix and to some that do not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from corral.cli.demo import files, server, story
from corral.cli.exits import Failure
from corral.config.load import Source, load

WAITS = [sys.executable, "-u", "-c", "import signal; print('up'); signal.pause()"]
STUBBORN = [sys.executable, "-u", "-c", "import signal; signal.signal(15, signal.SIG_IGN); print('up')\nwhile True: signal.pause()"]  # fmt: skip

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")


# --- files --------------------------------------------------------------------------------------


def test_the_demo_serves_seed_models_under_the_matrix(tmp_path):
    config = load([Source("demo", files.configuration(tmp_path))], {})
    assert list(config.models) == ["chat-small", "think-small", "think-big"]
    assert config.matrix is not None
    assert config.models["think-big"].ttl == 1800


def test_files_go_to_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.folder() == tmp_path / "corral" / "demo"
    assert files.folder().is_dir()


def test_models_are_written_once_and_leave_nothing_half_done(tmp_path):
    config = files.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "big.gguf",
        "config.yaml",
        "small.gguf",
    ]
    small = tmp_path / "small.gguf"
    assert small.read_bytes()[:4] == b"GGUF"
    assert small.read_bytes() != (tmp_path / "big.gguf").read_bytes()
    written = small.stat().st_mtime_ns
    assert files.write(tmp_path) == config
    assert small.stat().st_mtime_ns == written


# --- the child ----------------------------------------------------------------------------------


def test_the_first_free_port_is_taken(monkeypatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        first = taken.getsockname()[1]
        monkeypatch.setattr(server, "PORTS", range(first, first + 1))
        with pytest.raises(Failure, match=f"no free port from {first} to {first}"):
            server.free_port()
    assert server.free_port() == first


@posix
@pytest.mark.parametrize("program", [WAITS, STUBBORN])
@pytest.mark.parametrize("leaving", [None, KeyboardInterrupt, Failure("x")])
def test_the_server_is_gone_when_its_block_ends(tmp_path, monkeypatch, program, leaving):
    monkeypatch.setattr(server, "DRAIN", 0.2)
    monkeypatch.setattr(server, "STOP", 0.2)
    log = tmp_path / "log"
    with suppress(KeyboardInterrupt, Failure), server.running(program, log) as child:
        wait_for(log)
        if leaving is not None:
            raise leaving
    assert child.returncode == (-signal.SIGTERM if program is WAITS else -signal.SIGKILL)


@posix
def test_a_second_ctrl_c_asks_the_server_again(tmp_path):
    log = tmp_path / "log"
    twice = "import signal\nsignal.signal(15, lambda *_: (print('asked'), signal.signal(15, signal.SIG_DFL)))\nprint('up')\nwhile True: signal.pause()"
    with server.running([sys.executable, "-u", "-c", twice], log) as child:
        wait_for(log)

        def press_ctrl_c_when_asked() -> None:
            wait_for(log, "asked")
            os.kill(os.getpid(), signal.SIGINT)

        impatient = threading.Thread(target=press_ctrl_c_when_asked)
        impatient.start()
    impatient.join()
    assert child.returncode == -signal.SIGTERM


@posix
def test_signals_are_as_before_afterwards(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with server.running(WAITS, tmp_path / "log"):
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("text", "said"), [("", "it said nothing"), ("a\nb\n\n", "b"), ("\xff", "\xff")]
)
def test_last_words(tmp_path, text, said):
    log = tmp_path / "log"
    log.write_text(text, encoding="utf-8")
    assert server.last_words(log) == said


def wait_for(log, text="up"):
    reading = threading.Event()
    for _ in range(1000):
        if log.exists() and text in log.read_text():
            return
        reading.wait(0.01)
    raise AssertionError(f"{text!r} did not come")


# --- the story ----------------------------------------------------------------------------------

MATRIX = {
    "chat-small": {"think-big"},
    "think-small": {"think-big"},
    "think-big": {"chat-small", "think-small"},
}
"""Model → who has to leave for it."""


@contextmanager
def keeping(leave_for) -> Iterator[str]:
    """A server of three models, of which `leave_for[model]` leave when the model is asked for; its URL."""
    resident: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(
                {
                    "models": [
                        {"id": m, "state": "ready" if m in resident else "unloaded"} for m in MATRIX
                    ]
                }
            )

        def do_POST(self) -> None:
            model = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["model"]
            resident.difference_update(leave_for[model])
            resident.add(model)
            self.reply({"choices": []})

        def reply(self, value) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def told(url, tmp_path, program=WAITS):
    log = tmp_path / "log"
    with server.running(program, log) as child:
        asyncio.run(story.tell(url, child, log))


@posix
def test_the_story_in_four_steps(tmp_path, capsys):
    with keeping(MATRIX) as url:
        told(url, tmp_path)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1:] for line in lines if line[:1] == ["before"]] == [
        ["nothing", "runs"],
        ["chat-small"],
        ["chat-small", "+", "think-small"],
        ["think-big"],
    ]
    assert [line[1:] for line in lines if line[:1] == ["after"]] == [
        ["chat-small"],
        ["chat-small", "+", "think-small"],
        ["think-big"],
        ["chat-small"],
    ]


@posix
def test_a_server_that_evicts_nobody_spoils_the_story(tmp_path):
    nobody = {key: set() for key in MATRIX}
    with (
        keeping(nobody) as url,
        pytest.raises(Failure, match="step 3 went wrong: think-big should run now"),
    ):
        told(url, tmp_path)


@posix
def test_a_server_that_swaps_always_spoils_it_earlier(tmp_path):
    others = {model: MATRIX.keys() - {model} for model in MATRIX}
    with keeping(others) as url, pytest.raises(Failure, match="step 2 went wrong"):
        told(url, tmp_path)


def test_a_server_that_does_not_start_says_why(tmp_path):
    log = tmp_path / "log"
    dies = [sys.executable, "-c", "import sys; sys.exit('no such engine')"]
    with server.running(dies, log) as child:
        child.wait(20)
        with pytest.raises(Failure, match="the server did not start: no such engine"):
            asyncio.run(story.tell("http://127.0.0.1:9", child, log))


@posix
def test_a_server_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(story, "START", 0.1)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        nowhere = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(Failure, match="did not answer within"):
        told(nowhere, tmp_path)


@posix
def test_the_whole_demo_on_the_shipped_engine(corral, tmp_path):
    done = corral("demo", "--exit", XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("   after   ") == len(story.STORY)
