"""The configuration in force, and those who follow it."""

from __future__ import annotations

from corral.config.load import Source, load
from corral.gateway.inforce import InForce


def config(*models):
    rows = "".join(f'  {model}: {{cmd: serve, proxy: "http://localhost:1"}}\n' for model in models)
    return load([Source("config.yaml", "models:\n" + rows)], {})


def test_config_and_catalog_are_replaced_together():
    inforce = InForce(config("a"))
    assert inforce.catalog.resolve("a") == "a"
    inforce.adopt(config("b"))
    assert "a" not in inforce.catalog
    assert inforce.catalog.resolve("b") == "b"
    assert list(inforce.config.models) == ["b"]


def test_who_watches_hears_of_the_present_one_and_of_every_later_one():
    first, second = config("a"), config("b")
    inforce, heard = InForce(first), []
    inforce.watch(heard.append)
    inforce.adopt(second)
    assert heard == [first, second]
    assert inforce.config is heard[1]
