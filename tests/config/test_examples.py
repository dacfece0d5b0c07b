"""The example configurations load as they are, and mean what they say."""

from pathlib import Path

import pytest

from corral.config.catalog import Catalog
from corral.config.command import launch_spec
from corral.config.load import Source, load
from corral.config.matrix import Either, Every, One

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name):
    return load([Source(name, (EXAMPLES / name).read_text())], {})


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_loads_and_can_be_launched(path):
    config = example(path.name)
    for model in config.models:
        spec = launch_spec(config, model)
        assert spec.argv[0] == "llama-server"
        assert spec.files
        assert spec.port == config.ports[model]


def test_two_voice_models_stay_together_and_the_big_one_is_alone():
    config = example("voice-matrix.yaml")
    assert list(config.models) == ["chat-small", "think-small", "think-big"]
    voice, coding = config.matrix.sets
    assert voice.expression == Every((One("chat-small"), One("think-small")))
    assert coding.expression == One("think-big")
    assert config.ports == {"chat-small": 10001, "think-big": 10002, "think-small": 10003}
    assert {row.ttl for row in config.models.values()} == {1800}
    assert {row.health_check_timeout for row in config.models.values()} == {90}
    spec = launch_spec(config, "chat-small").filled(port=10001)
    assert spec.argv[-4:] == ("--port", "10001", "--alias", "chat-small")
    assert spec.argv[spec.argv.index("--reasoning") + 1] == "off"
    assert spec.env == {"CUDA_VISIBLE_DEVICES": "0"}
    assert spec.proxy == "http://127.0.0.1:10001"


def test_every_operator_of_the_matrix():
    config = example("matrix-dsl.yaml")
    gemma, qwen, voxtral = One("gemma-model"), One("qwen-model"), One("voxtral-model")
    sets = {one.name: one.expression for one in config.matrix.sets}
    assert list(sets) == ["standard", "with_rerank", "creative", "full"]
    assert sets["standard"] == Every((Either((gemma, qwen, One("mistral-model"))), voxtral))
    assert sets["with_rerank"] == Every((Either((gemma, qwen)), voxtral, One("reranker-model")))
    assert sets["creative"] == Every((Either((gemma, qwen)), One("stable-diffusion")))
    assert sets["full"] == One("llama-70B")
    assert config.matrix.evict_costs == {"voxtral-model": 50, "llama-70B": 30}


def test_persistence_and_idle_times():
    config = example("guide-persist.yaml")
    assert config.format == "guide"
    assert {model: row.ttl for model, row in config.models.items()} == {
        "nomic-embed": 300,
        "llama3": 300,
        "llava-1.6": 120,
        "text-embedding-ada-002": 0,
    }
    assert [model for model, row in config.models.items() if row.persist] == ["nomic-embed"]
    assert list(config.groups) == ["(default)"]
    assert config.groups["(default)"].swap
    assert Catalog(config).resolve("text-embedding-ada-002") == "text-embedding-ada-002"


def test_a_group_that_loads_together():
    config = example("guide-groups.yaml")
    assert config.format == "guide"
    pipeline, rest = config.groups.values()
    assert (pipeline.load_together, pipeline.swap, pipeline.exclusive) == (True, False, True)
    assert pipeline.members == ("llama3", "nomic-embed")
    assert (rest.members, rest.exclusive) == (("deepseek-coder",), True)
