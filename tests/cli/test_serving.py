"""What `corral serve` says before it serves, and how it leaves when it cannot."""

from __future__ import annotations

import json
import socket
from contextlib import closing

import pytest

from corral.cli import configs, sources
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


# --- hotmodel's file ---------------------------------------------------------------------------------------------------

HOT = """\
[server]
host = "127.0.0.1"
port = %d
[router]
models_preset = "models.ini"
[models.small]
path = "small.gguf"
"""
INI = "[small]\nmodel = small.gguf\n"


@pytest.fixture
def hot(tmp_path):
    """Its two files, in a folder of their own."""
    (tmp_path / "hot.toml").write_text(HOT % 18090)
    (tmp_path / "models.ini").write_text(INI)
    return tmp_path


def test_hotmodels_file_is_checked_with_its_ini(corral, hot):
    done = corral("check", "hot.toml", cwd=hot)
    assert done.returncode == 0, done.stderr
    first, *notes = done.stdout.splitlines()
    assert first == "hot.toml: ok, hotmodel format, 1 model"
    assert all(note.startswith("hot.toml: ") for note in notes)
    (hot / "models.ini").write_text("[smal]\nmodel = small.gguf\n")
    done = corral("check", "hot.toml", cwd=hot)
    assert done.returncode == 2
    assert done.stderr == (
        "hot.toml:6:1 models.small: `small` is no section of models.ini; did you mean `smal`?\n"
    )


def test_an_ini_that_is_not_there_is_a_mistake(corral, hot):
    (hot / "models.ini").unlink()
    for command in ("check", "convert"):
        done = corral(command, "hot.toml", cwd=hot)
        assert done.returncode == 2
        assert done.stderr == (
            "hot.toml:5:1 router.models_preset: models.ini cannot be read: No such file or directory\n"
        )


def test_it_is_converted_with_its_ini(corral, hot):
    done = corral("convert", "hot.toml", cwd=hot)
    assert done.returncode == 0, done.stderr
    (hot / "native.yaml").write_text(done.stdout)
    again = corral("check", "native.yaml", cwd=hot)
    assert again.stdout == "native.yaml: ok, native format, 1 model\n"


def test_it_can_be_simulated(corral, hot):
    done = corral(
        *("simulate", "--config", "hot.toml", "--generate", "steady", "--requests", "3"),
        *("--set", "maxWait=5"),
        cwd=hot,
    )
    assert done.returncode == 0, done.stderr
    assert "small" in done.stdout


# --- where it listens --------------------------------------------------------------------------------------------------


def test_the_configuration_says_where_to_listen(corral, hot):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        (hot / "hot.toml").write_text(HOT % port)
        done = corral("serve", "--config", "hot.toml", cwd=hot)
        (hot / "config.yaml").write_text(f"listen: 127.0.0.1:{port}\n{GOOD}")
        native = corral("serve", cwd=hot)
    for said in (done, native):
        assert said.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}: the address is in use" in said.stderr


def test_the_command_line_says_it_louder(corral, hot):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        done = corral("serve", "--config", "hot.toml", "--listen", listen, cwd=hot)
    assert done.returncode == 1
    assert f"cannot listen on {listen}: the address is in use" in done.stderr


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (GOOD, "http://127.0.0.1:8080"),
        ("listen: ':9000'\n" + GOOD, "http://localhost:9000"),
        ("listen: '[::1]:9000'\n" + GOOD, "http://[::1]:9000"),
    ],
)
def test_clients_find_the_address_in_the_file(tmp_path, text, url):
    (tmp_path / "c.yaml").write_text(text)
    assert configs.served_at(tmp_path / "c.yaml") == url


def test_clients_find_hotmodels_address(hot):
    assert configs.served_at(hot / "hot.toml") == "http://127.0.0.1:18090"
