"""How long models take: what is written, what is assumed, what is wrong."""

from __future__ import annotations

import pytest

from corral.config.document import Document, Source
from corral.config.toml_text import read_toml
from corral.config.yaml_text import read_yaml
from corral.errors import ConfigError, ModelNotFound
from corral.simulator.times import Pace, Times, read_times

YAML = "load: 12\nmodels:\n  a: {load: 40, service: 3.5}\n  b: {stop: 0}\n"
TOML = "load = 12\n[models.a]\nload = 40\nservice = 3.5\n[models.b]\nstop = 0\n"


def known(name):
    if name not in "ab":
        raise ModelNotFound(f"no model is called `{name}`")
    return name


def read(text, **given):
    return read_times(read_yaml(Source("times.yaml", text)), given, known)


@pytest.mark.parametrize("document", [read_yaml(Source("t", YAML)), read_toml(Source("t", TOML))])
def test_models_have_their_own_times_and_share_the_rest(document):
    times = read_times(document, {}, known)
    assert times.of("a") == Pace(40.0, 1.0, 3.5)
    assert times.of("b") == Pace(12.0, 0.0, 2.0)
    assert times.of("else") == times.usual == Pace(12.0, 1.0, 2.0)


def test_what_is_given_goes_before_what_is_written_of_all_but_not_of_one():
    times = read(YAML, load=5.0, stop=3.0)
    assert times.usual == Pace(5.0, 3.0, 2.0)
    assert times.of("a") == Pace(40.0, 3.0, 3.5)


def test_nothing_written_is_what_is_assumed():
    assert read_times(Document({}), {}) == Times(Pace(10.0, 1.0, 2.0), {})
    assert read("models:\n") == Times()
    assert str(Pace()) == "load 10 s, stop 1 s, service 2 s"


def test_every_mistake_is_told_with_its_place():
    text = (
        "laod: 1\nstop: soon\nservice: -1\nmodels:\n  a: 7\n  c: {load: 1}\n  b:\n"
        "    load: true\n    stop: .inf\n    serve: 2\n"
    )
    with pytest.raises(ConfigError) as error:
        read(text)
    assert str(error.value).splitlines() == [
        "times.yaml:1:1 laod: unknown key `laod`; did you mean `load`?",
        "times.yaml:2:1 stop: must be a number of seconds",
        "times.yaml:3:1 service: must be 0 or more seconds, not -1",
        "times.yaml:5:3 models.a: must be a mapping of load, stop, service",
        "times.yaml:6:3 models.c: no model is called `c`",
        "times.yaml:8:5 models.b.load: must be a number of seconds",
        "times.yaml:9:5 models.b.stop: must be 0 or more seconds, not inf",
        "times.yaml:10:5 models.b.serve: unknown key `serve`; did you mean `service`?",
    ]


def test_models_must_be_a_mapping():
    with pytest.raises(ConfigError, match="models: must be a mapping of models"):
        read("models: [a]\n")
