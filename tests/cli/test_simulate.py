"""`corral simulate`, as a person uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from corral.cli.commands import Shape
from corral.simulator.generators import SHAPES

CONFIG = """\
models:
  qwen:
    cmd: engine --port ${PORT}
    aliases: [gpt-4o]
  llama:
    cmd: engine --port ${PORT}
routing:
  scheduler:
    settings:
      fair: {maxWait: 20}
"""
TRACE = """\
arrival,model,caller,service
0,qwen,ann,5
0.5,gpt-4o,bob,5
1,llama,ann,
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "trace.csv").write_text(TRACE)
    return tmp_path


@pytest.fixture
def simulate(corral, files):
    """In the folder of `files`."""
    return lambda *arguments: corral("simulate", *arguments, cwd=files)


def numbers(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_shapes_are_those_that_there_are():
    assert [shape.value for shape in Shape] == list(SHAPES)


def test_one_setting_is_shown_in_full(simulate):
    done = simulate("trace.csv", "--config", "config.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "3 requests for 2 models from 2 callers within 1s (trace.csv)" in done.stdout
    assert "assumed of every model: load 10 s, stop 1 s, service 2 s" in done.stdout
    assert "as configured 1 2 25.0% 75.0% 0.0% 10.0s 25.0s 25.0s 3 0 0 28s" in lines
    assert "qwen 2 1 9.5s 10.0s 10.0s 2 0 0" in lines
    assert "llama 1 1 25.0s 25.0s 25.0s 1 0 0" in lines
    assert "ann 2 10.0s 25.0s 25.0s 2 0 0" in lines


def test_json_has_every_number(simulate):
    known = numbers(simulate("trace.csv", "--config", "config.yaml", "--json"))
    assert known["trace"] == {
        "requests": 3, "models": 2, "callers": 2, "seconds": 1.0, "out_of_order": 0,
    }  # fmt: skip
    assert known["assumed"] == {"load": 10.0, "stop": 1.0, "service": 2.0, "models": {}}
    (run,) = known["runs"]
    assert run["setting"] == "as configured"
    assert (run["swaps"], run["loads"], run["served"], run["seconds"]) == (1, 2, 3, 28.0)
    assert sum(run["share"].values()) == pytest.approx(1.0)
    assert run["wait"] == {"p50": 10.0, "p95": 25.0, "max": 25.0}
    assert run["models"]["llama"]["wait"]["max"] == 25.0
    assert run["callers"]["bob"]["requests"] == 1


def test_settings_are_compared(simulate):
    done = simulate(
        "trace.csv", "--config", "config.yaml", "--set", "models.qwen.parallel=1",
        "--versus", "fifo", "--versus", "maxWait=2,queueTimeout=3", "--json",
    )  # fmt: skip
    runs = {run["setting"]: run for run in numbers(done)["runs"]}
    assert list(runs) == ["models.qwen.parallel=1", "fifo", "maxWait=2,queueTimeout=3"]
    assert runs["fifo"]["models"]["qwen"]["wait"]["max"] == 14.5
    assert runs["fifo"]["timed_out"] == 0
    assert runs["maxWait=2,queueTimeout=3"]["timed_out"] > 0


def test_times_come_from_a_file_and_the_line(simulate, files):
    (files / "times.toml").write_text("load = 30\n[models.gpt-4o]\nload = 3\n")
    done = simulate(
        "trace.csv", "--config", "config.yaml", "--times", "times.toml", "--load", "7", "--json"
    )
    known = numbers(done)
    assert known["assumed"]["load"] == 7.0
    assert known["assumed"]["models"] == {"qwen": {"load": 3.0, "stop": 1.0, "service": 2.0}}
    assert known["runs"][0]["models"]["qwen"]["wait"]["max"] == 3.0


def test_a_trace_alone_is_enough(simulate):
    done = simulate("trace.csv")
    assert done.returncode == 0
    assert "3 requests for 3 models" in done.stdout
    assert "no --config: one model at a time, 4 requests at once" in done.stdout


def test_an_unsorted_trace_is_sorted_and_it_is_said(simulate, files):
    (files / "trace.csv").write_text("5,qwen\n1,qwen\n2,llama\n")
    done = simulate("trace.csv", "--config", "config.yaml")
    assert "sorted by arrival: 1 line out of order" in done.stdout


def test_the_same_command_prints_the_same(simulate):
    command = ("--generate", "bursty", "--requests", "300", "--versus", "fifo", "--json")
    first, again = simulate(*command), simulate(*command)
    assert first.stdout == again.stdout
    other = simulate(*command, "--seed", "1")
    assert numbers(other)["runs"] != numbers(first)["runs"]


def test_a_generator_asks_for_the_configured_models_or_those_named(simulate):
    command = ("--generate", "ping-pong", "--config", "config.yaml", "--requests", "10", "--json")
    (run,) = numbers(simulate(*command))["runs"]
    assert list(run["models"]) == ["qwen", "llama"]
    (run,) = numbers(simulate(*command, "--models", "llama, gpt-4o"))["runs"]
    assert list(run["models"]) == ["llama", "qwen"]
    (run,) = numbers(simulate(*command, "--models", "1"))["runs"]
    assert list(run["models"]) == ["qwen"]


def test_many_models_are_left_to_json(simulate):
    done = simulate("--generate", "ping-pong", "--models", "25", "--requests", "50")
    assert done.returncode == 0
    assert "and 5 more" in done.stdout


def test_pictures_are_written_one_for_each_setting(simulate, files):
    done = simulate("trace.csv", "--png", "out.png", "--versus", "fifo")
    assert done.returncode == 0, done.stderr
    for name in ("out.png", "out-2.png"):
        assert (files / name).read_bytes().startswith(b"\x89PNG")
    assert done.stderr.splitlines() == [
        "corral: wrote out.png (as configured)",
        "corral: wrote out-2.png (fifo)",
    ]


def test_a_picture_that_cannot_be_written_is_told(simulate):
    done = simulate("trace.csv", "--png", "nowhere/out.png")
    assert done.returncode == 1
    assert done.stderr == "corral: nowhere/out.png: No such file or directory\n"


def test_without_matplotlib_one_line_says_what_to_do(files):
    program = (
        "import sys; sys.modules['matplotlib'] = None\nfrom corral.cli.commands import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "simulate", "trace.csv", "--png", "out.png"],
        capture_output=True, text=True, check=False, cwd=files, env=dict(os.environ), timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "corral: --png needs matplotlib: pip install 'corral[plots]'\n"
    assert not (files / "out.png").exists()


WRONG_USE = {
    "": "name a TRACE, or have one made with --generate",
    "trace.csv --generate steady": "name a TRACE, or have one made with --generate",
    "trace.csv --rate 2": "--rate is for --generate; TRACE says it already",
    "nowhere.csv": "nowhere.csv: No such file or directory",
    ".": ".: Is a directory",
    "trace.csv --config nowhere.yaml": "nowhere.yaml: No such file or directory",
    "trace.csv --config trace.csv": "the top level must be a mapping",
    "trace.csv --config empty.yaml": "empty.yaml: no models are configured",
    "trace.csv --times nowhere.yaml": "nowhere.yaml: No such file or directory",
    "trace.csv --times config.yaml": "unknown key `routing`",
    "trace.csv --config config.yaml --times times.yaml": "did you mean `qwen`?",
    "unknown.csv --config config.yaml": "unknown.csv:2:1 no model is called `qwem`; did you mean `qwen`?",
    "empty.yaml": "empty.yaml no requests in it",
    "binary.csv": "binary.csv: not UTF-8 text",
    "trace.csv --load -1": "--load must be a number from 0 on, not -1.0",
    "trace.csv --service nan": "--service must be a number from 0 on, not nan",
    "--generate steady --rate 0": "--rate must be more than 0",
    "--generate steady --rate inf": "--rate must be a number from 0 on, not inf",
    "--generate stead": "'stead' is not one of 'steady'",
    "--generate steady --requests 0": "Invalid value for '--requests'",
    "--generate steady --models 0": "--models 0: there are 0",
    "--generate steady --config config.yaml --models 3": "--models 3: there are 2",
    "--generate steady --config config.yaml --models qwem": "--models: no model is called `qwem`",
    "trace.csv --set maxWait": "`maxWait` is not KEY=VALUE, fair or fifo",
    "trace.csv --versus maxWiat=1": "did you mean `maxWait`?",
    "trace.csv --versus maxWait=x": "maxWait=x: routing.scheduler.settings.fair.maxWait: ",
}


@pytest.mark.parametrize("arguments", WRONG_USE)
def test_wrong_use_is_told_and_exits_2(simulate, files, arguments):
    (files / "empty.yaml").write_text("")
    (files / "unknown.csv").write_text("0,qwen\n1,qwem\n")
    (files / "times.yaml").write_text("models: {qwem: {load: 1}}\n")
    (files / "binary.csv").write_bytes(b"0,qwen\n1,\xff\n")
    done = simulate(*arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert WRONG_USE[arguments] in done.stderr
    assert "Traceback" not in done.stderr
