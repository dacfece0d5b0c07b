"""`corral reload`, as a real process against a scripted corral; and what `corral serve` reads again."""

from __future__ import annotations

import json

import pytest

from corral.cli.exits import Failure
from corral.cli.serving import Named
from corral.errors import ConfigError

GOOD = "models: {a: {cmd: 'x --port ${PORT}'}}\n"
DONE = {"ok": True, "added": ["x", "y"], "restarted": ["a"], "notes": ["`store` changed"], "new": 1}


def test_what_changed_is_told_by_kind(corral, script):
    script.on("POST /api/reload", DONE)
    done = corral("reload", "--url", script.url)
    assert (done.returncode, done.stderr) == (0, "")
    lines = ["added: x, y", "restarted when used next: a", "`store` changed"]
    assert done.stdout.splitlines() == lines


def test_nothing_has_changed(corral, script):
    script.on("POST /api/reload", {"ok": True, "kept": ["a"]})
    assert corral("reload", "--url", script.url).stdout == "reloaded; nothing has changed\n"


def test_for_machines_it_is_what_the_server_said(corral, script):
    script.on("POST /api/reload", DONE)
    assert json.loads(corral("reload", "--json", "--url", script.url).stdout) == DONE


def test_every_problem_is_a_line_and_exit_code_2(corral, script):
    script.refuse("POST /api/reload", "c.yaml:1:1 a: no\nc.yaml:2:1 b: no", "invalid_config", 422)
    done = corral("reload", "--url", script.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "c.yaml:1:1 a: no\nc.yaml:2:1 b: no\n"


def test_any_other_refusal_is_one_line_and_exit_code_1(corral, script):
    script.refuse("POST /api/reload", "corral is shutting down", "shutting_down", 503)
    done = corral("reload", "--url", script.url)
    assert (done.returncode, done.stderr) == (1, "corral: corral is shutting down\n")


# --- what is read again --------------------------------------------------------------------------


def test_a_configuration_is_read_as_it_is_now(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(GOOD)
    named = Named([path], log_level="debug")
    assert list(named.again().models) == ["a"]
    path.write_text(GOOD.replace("a:", "b:"))
    assert list(named.again().models) == ["b"]
    assert named.again().log_level == "debug"


@pytest.mark.parametrize("text", ["models: [\n", "models: {a: {cmdd: x}}\n"])
def test_mistakes_keep_their_places(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Named([path]).again()
    assert caught.value.problems[0].file == str(path)
    assert caught.value.problems[0].line >= 1


def test_what_cannot_be_read_is_a_problem_too(tmp_path):
    with pytest.raises(ConfigError, match=r"gone.yaml: No such file"):
        Named([tmp_path / "gone.yaml"]).again()
    with pytest.raises(ConfigError, match="no configuration sources found"):
        Named(config_dir=tmp_path).again()


def test_a_configuration_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Failure, match=r"no ./config.yaml here"):
        Named().sources()
    (tmp_path / "config.yaml").write_text(GOOD)
    assert [source.name for source in Named().sources()] == ["config.yaml"]


def test_everything_that_is_named_is_watched(tmp_path):
    for name in ("a.yaml", "conf.d/b.yaml", "models/m.gguf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(GOOD)
    named = Named([tmp_path / "a.yaml"], tmp_path / "conf.d", tmp_path / "models")
    assert "of 3," in repr(named.watch())


def test_so_is_what_a_configuration_names(tmp_path):
    text = "routers: {r: {cmd: 'llama-server --port ${PORT}', presets: %s}}\n"
    (tmp_path / "a.yaml").write_text(text % (tmp_path / "models.ini"))
    assert "of 2," in repr(Named([tmp_path / "a.yaml"]).watch())
