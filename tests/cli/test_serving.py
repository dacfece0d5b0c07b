"""What `corral serve` says before it serves, and how it leaves when it cannot."""

from __future__ import annotations

import json
import socket
from contextlib import closing

import pytest

from corral.cli import sources
from corral.config.load import load

BAD = "models:\n  a:\n    cmd: x --port ${PORT}\n    tll: 5\n  b:\n    cmd: [1\n"
UNKNOWN = "modles: {}\nmodels:\n  a:\n    cmd: x --port ${PORT}\n    tll: 5\n"
GOOD = "models:\n  a:\n    cmd: no-such-program --port ${PORT}\n"
GUIDE = "modelTTL: 60\nmodels:\n  a:\n    cmd: x --port {PORT}\n"


def test_without_a_configuration_it_says_what_to_do(corral, tmp_path):
    done = corral("serve", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert all(hint in done.stderr for hint in ("--config FILE", "--models-dir DIR", "corral demo"))


def test_an_empty_folder_of_configurations(corral, tmp_path):
    done = corral("serve", "--config-dir", ".", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "corral: no configuration sources found\n")


@pytest.mark.parametrize("command", [["serve", "--config"], ["check"], ["convert"]])
def test_every_problem_is_a_line(corral, tmp_path, command):
    (tmp_path / "config.yaml").write_text(UNKNOWN)
    done = corral(*command, "config.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    first, second = done.stderr.splitlines()
    assert first.startswith("config.yaml:1:1 ")
    assert second.startswith("config.yaml:5:5 ")


def test_what_is_no_yaml_at_all(corral, tmp_path):
    (tmp_path / "config.yaml").write_text(BAD)
    done = corral("check", "config.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("config.yaml:")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("listen", ["8080", "localhost:http", "a:b:1", "127.0.0.1:99999"])
def test_a_wrong_address_is_wrong_use(corral, tmp_path, listen):
    (tmp_path / "config.yaml").write_text(GOOD)
    done = corral("serve", "--listen", listen, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"corral: listen: address {listen}: ")
    assert done.stderr.count("\n") == 1


def test_an_address_in_use_is_one_line(corral, tmp_path):
    (tmp_path / "config.yaml").write_text(GOOD)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = corral("serve", "--listen", listen, cwd=tmp_path)
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert (
        last
        == f"corral: cannot listen on {listen}: the address is in use; is another corral running?"
    )
    assert "Traceback" not in done.stderr


def test_a_folder_without_models_is_wrong_use(corral, tmp_path):
    done = corral("serve", "--models-dir", ".", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "corral: .: no *.gguf files in it\n")


def test_check_says_what_it_recognised(corral, tmp_path):
    (tmp_path / "config.yaml").write_text(GOOD)
    done = corral("check", "config.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "config.yaml: ok, native format, 1 model\n"


def test_check_tells_what_it_made_of_the_guides_format(corral, tmp_path):
    (tmp_path / "c.yaml").write_text(GUIDE)
    done = corral("check", "c.yaml", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "c.yaml: ok, guide format, 1 model"
    assert "recognised by" in done.stdout


def test_check_of_a_file_that_is_not_there(corral, tmp_path):
    done = corral("check", "no.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "corral: no.yaml: No such file or directory\n")


def test_a_models_folder_is_a_good_configuration(tmp_path):
    for name in ("a.gguf", "with space.gguf", "größe: [x] #1.gguf", "v-00001-of-00002.gguf"):
        (tmp_path / name).touch()
    config = load([sources.models(tmp_path)], {})
    assert set(config.models) == {"a", "with space", "größe: [x] #1", "v"}
    assert list(config.models["with space"].cmd)[:3] == [
        "llama-server",
        "-m",
        str(tmp_path / "with space.gguf"),
    ]


def test_convert_prints_a_native_file(corral, tmp_path):
    (tmp_path / "guide.yaml").write_text(GUIDE)
    done = corral("convert", "guide.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "{PORT}" in done.stdout
    (tmp_path / "native.yaml").write_text(done.stdout)
    checked = corral("check", "native.yaml", cwd=tmp_path)
    assert checked.stdout == "native.yaml: ok, native format, 1 model\n"


def test_schema_is_a_json_schema(corral):
    done = corral("schema")
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    assert {"models", "groups", "healthCheckTimeout"} <= set(schema["properties"])
