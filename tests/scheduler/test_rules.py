"""From a configuration to a machine."""

from __future__ import annotations

from corral.config.matrix import Matrix, NamedSet, One
from corral.config.model import Config, Group, Model, Scheduling
from corral.scheduler.events import Arrived, Check
from corral.scheduler.machine import ModelRules, QueueRules
from corral.scheduler.rules import machine_for, policy_from, queue_from, rules_from

MODELS = {
    "a": Model(cmd="a", ttl=5, parallel=2, concurrency_limit=7, unload_timeout=3, persist=True),
    "b": Model(cmd="b"),
    "c": Model(cmd="c"),
}
GROUPS = {
    "pair": Group(swap=False, load_together=True, members=("a", "b")),
    "(default)": Group(members=("c",)),
}


def test_every_rule_is_taken_over():
    rules = rules_from(Config(models=MODELS, groups=GROUPS))
    assert list(rules) == ["a", "b", "c"]
    assert rules["a"] == ModelRules(
        5, 2, 7, 3, persist=True, backoff=(1, 2, 5, 15, 60), together=("b",)
    )
    assert (rules["b"].together, rules["c"].together) == (("a",), ())


def test_the_queue_is_taken_over():
    settings = Scheduling(
        use="fifo", priority={"a": 2}, max_wait=1, queue_timeout=2, max_queue=3, min_residency=4
    )
    assert queue_from(Config(scheduling=settings)) == QueueRules("fifo", {"a": 2}, 1, 2, 3, 4)


def test_models_whose_cost_is_auto_learn():
    matrix = Matrix((NamedSet("s", "b", One("b")),), {"a": 2}, frozenset("b"))
    rules = rules_from(Config(models=MODELS, matrix=matrix))
    assert [name for name in rules if rules[name].learns] == ["b"]


def test_groups_decide_unless_there_is_a_matrix():
    groups = policy_from(Config(models=MODELS, groups=GROUPS))
    assert groups.decide("c", frozenset("ab")).victims == ("b",)
    matrix = Matrix((NamedSet("s", "b", One("b")),))
    config = Config(models=MODELS, matrix=matrix)
    assert policy_from(config).decide("b", frozenset("ac")).victims == ("c",)


def test_a_machine_is_ready_to_play():
    machine = machine_for(Config(models=MODELS, groups=GROUPS))
    assert machine.handle(Arrived(1, "c"), 0.0)[0] == Check("c")
