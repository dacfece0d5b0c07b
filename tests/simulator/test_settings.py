"""Changing a configuration key by key."""

from __future__ import annotations

import pytest

from corral.config.document import Source
from corral.config.load import load, read
from corral.errors import ConfigError
from corral.simulator.settings import changed

TEXT = """\
models:
  qwen-2.5:
    cmd: engine "a \\"quoted\\" é" --port ${PORT}
    aliases: [1.10, 007]
    unlisted: true
  other:
    cmd: [engine, --port, "${PORT}"]
routing:
  scheduler:
    use: fair
    settings:
      fair: {queueTimeout: 60}
"""


def config(*changes, text=TEXT, name="c.yaml"):
    return load([changed(read([Source(name, text)], {}), changes)], {})


def test_nothing_changed_means_the_same():
    assert config().model_copy(update={"notes": ()}) == load([Source("c.yaml", TEXT)], {})
    assert config().models["qwen-2.5"].aliases == ("1.10", "007")


def test_the_schedulers_keys_are_meant_for_the_discipline_in_use():
    assert config("maxWait=5").scheduling.max_wait == 5
    fifo = config("maxQueue=7", "fifo").scheduling
    assert (fifo.use, fifo.max_queue) == ("fifo", 7)
    assert config("use=fifo", "fair").scheduling.use == "fair"


def test_a_whole_path_changes_anything():
    assert config("routing.scheduler.settings.fair.maxWait=9").scheduling.max_wait == 9
    changed_model = config("models.qwen-2.5.parallel=2", "models.other.ttl = 30").models
    assert changed_model["qwen-2.5"].parallel == 2
    assert changed_model["other"].ttl == 30


def test_a_toml_file_can_be_changed_too():
    text = '[models.a]\ncmd = "engine --port ${PORT}"\n'
    assert config("maxWait=5", text=text, name="c.toml").scheduling.max_wait == 5


@pytest.mark.parametrize("change", ["maxWait", "=5", "", "a..b=1", ".=1"])
def test_what_is_no_change_is_told(change):
    with pytest.raises(ValueError, match="is not KEY=VALUE, fair or fifo"):
        config(change)


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        ("maxWiat=5", "routing.scheduler.settings.fair.maxWiat", "did you mean `maxWait`"),
        ("maxWait=long", "routing.scheduler.settings.fair.maxWait", "number"),
        ("models.other.cmd.x=1", "models.other.cmd", ""),
        ("use=random", "routing.scheduler.use", ""),
    ],
)
def test_whether_it_is_good_is_for_the_configuration_to_say(change, path, said):
    with pytest.raises(ConfigError) as error:
        config(change)
    told = {problem.path: problem.message for problem in error.value.problems}
    assert said in told[path]
