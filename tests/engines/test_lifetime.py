"""How the engine ends: told to, orphaned, or unable to serve; with which status, and saying what."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from corral.engines import llama, preflight

SRC = str(Path(llama.__file__).parents[2])
LLAMA_SERVER = Path(sys.executable).with_name("corral-llama-server")
ENDLESS = {"prompt": "hi", "n_predict": -1, "ignore_eos": True, "stream": True}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_engine(engine, tiny, number):
    with engine("-m", tiny) as running:
        running.ready().close()
        status, last = running.tell(number)
    assert status == 0
    assert last.endswith(f"closed: {number.name}")


def test_a_signal_ends_an_engine_in_the_middle_of_an_answer(engine, tiny):
    with (
        engine("-m", tiny, "--context-shift") as running,
        running.ready() as client,
        client.stream("POST", "/completion", json=ENDLESS) as answer,
    ):
        next(answer.iter_lines())
        assert running.tell(signal.SIGTERM)[0] == 0


def test_a_signal_ends_a_load(engine, tmp_path):
    """The model is a pipe that nobody fills: llama.cpp waits in its load, holding the interpreter's lock."""
    model = tmp_path / "never.gguf"
    os.mkfifo(model)
    with engine("-m", model) as running:
        model.write_bytes(b"GGUF")
        running.hears("loading model")
        assert running.tell(signal.SIGTERM)[0] == -signal.SIGTERM


def test_a_signal_ends_an_engine_whose_log_nobody_reads(tiny, tmp_path):
    """Its stderr is a pipe that is full."""
    path = tmp_path / "engine.sock"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    command = [LLAMA_SERVER, "-m", tiny, "--host", path]
    with subprocess.Popen(command, stderr=writer) as process:
        while not healthy(path):
            assert process.poll() is None
        process.terminate()
        assert process.wait(60) in (0, -signal.SIGTERM)
    os.close(reader)
    os.close(writer)


def healthy(path):
    """Whether an engine answers by now; asking takes the time that waiting would."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        try:
            client.connect(str(path))
            client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            return b"200 OK" in client.recv(64)
        except OSError:
            return False


def test_a_signal_ends_an_engine_whose_log_has_no_reader_any_more(tiny):
    command = [LLAMA_SERVER, "-m", tiny, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert any(line.startswith("serving ") for line in process.stderr)
        process.stderr.close()
        process.terminate()
        assert process.wait(60) == 0


def test_a_hangup_ends_no_engine_whose_parent_lives(engine, tiny):
    with engine("-m", tiny) as running, running.ready() as client:
        running.process.send_signal(signal.SIGHUP)
        assert client.get("/health").status_code == 200
        assert running.tell(signal.SIGTERM)[0] == 0


def test_it_outlives_the_thread_that_spawned_it(engine, tiny):
    """The kernel tells of the thread's end as if it were the parent's."""
    with ExitStack() as scope:
        made, up, leave = [], threading.Event(), threading.Event()

        def spawn():
            made.append(scope.enter_context(engine("-m", tiny)))
            up.set()
            leave.wait()

        thread = threading.Thread(target=spawn)
        thread.start()
        assert up.wait(60)
        client = scope.enter_context(made[0].ready())
        leave.set()
        thread.join()
        assert client.get("/health").status_code == 200
        status, last = made[0].tell(signal.SIGTERM)
    assert (status, last.endswith("closed: SIGTERM")) == (0, True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_dies_with_its_parent(tiny, how):
    """The parent is a program that only waits. What the engine says last comes before the end of the pipe they share."""
    script = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"
    command = [sys.executable, "-c", script, LLAMA_SERVER, "-m", tiny, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as parent:
        assert any(line.startswith("serving ") for line in parent.stderr)
        parent.send_signal(how)
        assert parent.stderr.read().endswith("closed: its parent is gone\n")


def test_it_dies_with_its_parent_while_it_loads(tmp_path):
    model = tmp_path / "never.gguf"
    os.mkfifo(model)
    script = "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"
    command = [sys.executable, "-c", script, LLAMA_SERVER, "-m", model, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as parent:
        model.write_bytes(b"GGUF")
        assert any("loading model" in line for line in parent.stderr)
        parent.kill()
        assert "serving" not in parent.stderr.read()  # the pipe ends, as nobody holds it


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "error: the model cannot be read: {model}: No such file or directory"),
        (b"", "error: the model is not a GGUF file: {model}"),
        (b"MZ is not it", "error: the model is not a GGUF file: {model}"),
        (b"GGUF", "error: llama.cpp could not serve {model}; the lines above say why"),
    ],
    ids=["missing", "empty", "another format", "cut off"],
)
def test_a_model_that_cannot_be_loaded_is_told_last(engine, tmp_path, content, reason):
    model = tmp_path / "bad.gguf"
    if content is not None:
        model.write_bytes(content)
    with engine("-m", model) as running:
        assert running.ends() == (1, reason.format(model=model))


def test_a_model_that_is_cut_short_shows_llama_cpps_own_reason(engine, tiny, tmp_path):
    model = tmp_path / "half.gguf"
    model.write_bytes(tiny.read_bytes()[:200_000])
    with engine("-m", model) as running:
        assert running.ends()[0] == 1
        assert any("corrupted or incomplete" in line for line in running.lines)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--mmproj", "none.gguf"), "the projector cannot be read: none.gguf"),
        (("--lora", "none.gguf"), "the LoRA adapter cannot be read: none.gguf"),
        (("-md", "none.gguf"), "the draft model cannot be read: none.gguf"),
    ],
)
def test_files_besides_the_model_are_looked_for_too(engine, tiny, flags, reason):
    with engine("-m", tiny, *flags) as running:
        status, last = running.ends()
    assert status == 1
    assert reason in last


def test_a_port_that_is_taken_is_named(engine, tiny):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with engine("-m", tiny, "--port", port) as running:
            status, last = running.ends()
    assert status == 1
    assert last == f"error: cannot listen on 127.0.0.1:{port}: Address already in use"


def test_a_socket_left_by_a_dead_server_is_taken_over(engine, tiny, tmp_path):
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with engine("-m", tiny, "--host", path) as running:
        running.ready().close()


def test_a_socket_of_a_living_server_is_left_alone(engine, tiny, tmp_path):
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        with engine("-m", tiny, "--host", path) as running:
            assert running.ends() == (1, f"error: cannot listen on {path}: another server does")
    assert path.exists()


def test_a_file_where_the_socket_should_be_is_left_alone(engine, tiny, tmp_path):
    path = tmp_path / "precious.sock"
    path.write_text("mine")
    with engine("-m", tiny, "--host", path) as running:
        status, last = running.ends()
    assert (status, last) == (1, f"error: cannot listen on {path}: a file is there")
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--ctx-sise", "4"), "error: unknown argument: --ctx-sise (did you mean --ctx-size?)"),
        (("-c",), "error: -c needs a value: N"),
        ((), "error: no model: write -m FILE, -hf REPOSITORY or -mu URL"),
        (("-ot", "a=nowhere"), "error: -ot a=nowhere: unknown buffer type"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(arguments, line):
    told = subprocess.run([LLAMA_SERVER, *arguments], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (2, line + "\n")


def test_what_the_wheel_cannot_do_is_one_warning(engine, tiny):
    flags = "--log-file x.log --top-n-sigma 1.5 --rpc a:1,b:2 --spm-infill --override-kv a=int:1"
    with engine("-m", tiny, *flags.split()) as running:
        running.ready().close()
        warnings = [line for line in running.lines if line.startswith("WARNING: ignored")]
    assert len(warnings) == 1
    assert warnings[0].endswith(": --log-file, --top-n-sigma, --rpc, --spm-infill, --override-kv")


@pytest.mark.parametrize(
    ("layers", "warnings"),
    [
        (("-ngl", "99"), 1),
        (("--gpu-layers", "all"), 1),
        (("-ngl", "auto"), 1),
        (("-ngl", "0"), 0),
        ((), 0),
    ],
)
def test_a_gpu_that_is_not_there_is_one_loud_warning(engine, tiny, layers, warnings):
    if llama.has_gpu(llama.load_wheel()):
        pytest.skip("this llama.cpp has a GPU")
    with engine("-m", tiny, *layers) as running:
        running.ready().close()
        assert sum("WARNING:" in line and "GPU" in line for line in running.lines) == warnings


def test_without_the_wheel_it_says_what_to_install():
    code = f"import sys; sys.path.insert(0, {SRC!r}); from corral.engines.llama import main; sys.exit(main(['-m', 'x']))"
    told = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert told.returncode == 1
    assert (
        told.stderr
        == "error: xllamacpp is not installed; install it with: pip install 'corral[llama]'\n"
    )


@pytest.mark.parametrize(
    ("flag", "says"),
    [("--help", "-c, --ctx-size N"), ("--version", "xllamacpp"), ("--list-devices", "MiB free")],
)
def test_it_tells_about_itself(flag, says):
    told = subprocess.run([LLAMA_SERVER, flag], capture_output=True, text=True, check=True)
    assert says in told.stdout
    assert told.stderr == ""


def test_nothing_is_in_the_way_of_a_free_address():
    params = llama.load_wheel().CommonParams()
    params.hostnames = ["127.0.0.1", "::1", "/nowhere/x.sock"]
    assert preflight.address(params) == ""
