"""Where a name leads: profiles, selectors, peers, and the names of the configuration."""

from __future__ import annotations

import pytest

from corral.config.load import Source, load
from corral.errors import InvalidRequest, ModelNotFound, ProfileNotFound
from corral.gateway.inforce import InForce
from corral.gateway.routing import Routing
from corral.scheduler.residency import State

MODELS = """
models:
  a: {cmd: serve, proxy: "http://localhost:1", aliases: [first, o/ne]}
  b: {cmd: serve, proxy: "http://localhost:2"}
groups: {both: {swap: false, members: [a, b]}}
peers:
  far: {proxy: "http://far.example", models: [big, x/y]}
  near: {proxy: "http://near.example", models: [big]}
selectors:
  either: {strategy: spillover, targets: [a, b, far/big]}
  home: {strategy: warm, targets: [a, b]}
  away: {strategy: pin, targets: [far/big, near/big, b]}
"""
PROFILES = """
profiles:
  day: {pins: {gpt: b, a: far/big, off: "", some: home, o: b}}
  night: {pins: {gpt: a}}
"""


class Peers:
    """`ports.Peers`, as far as routing asks."""

    def __init__(self):
        self.down = set()

    def available(self, peer):
        return peer not in self.down


class World:
    """Routing over a configuration whose models are as a test says."""

    def __init__(self, text):
        self.states = {"a": State.UNLOADED, "b": State.UNLOADED}
        self.peers = Peers()
        self.used = None
        self.inforce = InForce(read(text))
        self.routing = Routing(self.inforce, self.peers, self.states.get, lambda: self.used)

    def names(self, name):
        with self.routing.choose(name) as choice:
            return [target.listed for target in choice]


def read(text):
    return load([Source("config.yaml", text)], {})


@pytest.fixture
def there():
    return World(MODELS + PROFILES)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("a", "a"),
        ("first", "a"),
        ("far/big", "far/big"),
        ("x/y", "far/x/y"),
        ("far/x/y", "far/x/y"),
    ],
)
def test_a_name_of_the_configuration(there, name, target):
    choice = there.routing.choose(name)
    assert choice.first.listed == target
    assert choice.first.name == name
    assert not choice.selector


@pytest.mark.parametrize("name", ["", "c", "big", "far", "gpt", "off"])
def test_a_name_that_leads_nowhere(there, name):
    with pytest.raises(ModelNotFound):
        there.routing.choose(name)


def test_active_is_the_model_that_was_last_used(there):
    with pytest.raises(ModelNotFound, match="no model is active"):
        there.routing.choose("active")
    there.used = "b"
    assert there.names("active") == ["b"]


# --- selectors -----------------------------------------------------------------------------------------------------------


def test_pin_goes_on_only_to_have_a_second_when_the_first_is_down(there):
    assert there.names("away") == ["far/big", "near/big", "b"]
    there.peers.down.add("far")
    assert there.names("away") == ["near/big", "b", "far/big"]


def test_warm_takes_what_is_ready(there):
    assert there.names("home")[0] == "a"
    there.states["b"] = State.READY
    assert there.names("home")[0] == "b"


def test_spillover_counts_the_requests_that_are_not_over(there):
    there.states["a"] = State.READY
    with there.routing.choose("either") as one:
        assert next(iter(one)).model == "a"
        with there.routing.choose("either") as two:
            assert next(iter(two)).model == "b"
    assert there.names("either")[0] == "a"


def test_a_target_that_was_given_up_is_not_busy_any_more(there):
    there.states["a"] = there.states["b"] = State.READY
    with there.routing.choose("either") as one:
        tried = iter(one)
        assert next(tried).model == "a"
        assert next(tried).model == "b"
        assert there.names("either")[0] == "a"


def test_a_choice_that_nobody_tried_leaves_nothing_behind(there):
    there.states["a"] = State.READY
    with there.routing.choose("either"):
        pass
    assert there.names("either")[0] == "a"


# --- profiles ------------------------------------------------------------------------------------------------------------


def test_a_pin_replaces_a_name_once(there):
    there.routing.activate("day")
    assert there.names("gpt") == ["b"]
    assert there.names("a") == ["far/big"]
    assert there.names("first") == ["a"]
    assert there.names("some") == ["a", "b"]


def test_a_pin_without_a_target_is_off_and_says_so(there):
    there.routing.activate("day")
    with pytest.raises(ModelNotFound, match="`off` is off while the profile `day` is active"):
        there.routing.choose("off")


def test_no_profile_any_more(there):
    there.routing.activate("day")
    there.routing.activate(None)
    assert there.names("a") == ["a"]
    with pytest.raises(ModelNotFound):
        there.routing.choose("gpt")


def test_a_profile_that_is_not_there_changes_nothing(there):
    there.routing.activate("night")
    with pytest.raises(ProfileNotFound, match="`dusk`"):
        there.routing.activate("dusk")
    assert there.routing.active == "night"


def test_who_listens_hears_of_another_profile_and_not_of_the_same(there):
    heard = []
    there.routing.listeners.append(heard.append)
    for name in ("day", "day", "night", None, None):
        there.routing.activate(name)
    assert heard == ["day", "night", None]


def test_the_active_profile_is_kept_across_a_reload_as_long_as_it_is_configured(there):
    there.routing.activate("day")
    there.inforce.adopt(read(MODELS + PROFILES))
    assert there.routing.active == "day"
    there.inforce.adopt(read(MODELS))
    assert there.routing.active is None
    assert there.names("a") == ["a"]


# --- paths and local models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "target", "rest"),
    [
        ("a/v1/x%2Fy", "a", "/v1/x%2Fy"),
        ("o/ne/v1", "a", "/v1"),
        ("o%2Fne/v1", "a", "/v1"),
        ("far/x/y", "far/x/y", ""),
        ("b", "b", ""),
    ],
)
def test_a_path_that_begins_with_a_name(there, path, target, rest):
    found, left = there.routing.split(path)
    assert (found.listed, left) == (target, rest)


def test_a_selectors_name_is_no_beginning_of_a_path(there):
    assert there.routing.split("either/v1") is None


def test_the_longest_pin_wins_over_any_name(there):
    there.routing.activate("day")
    found, left = there.routing.split("o/ne/v1")
    assert (found.listed, left) == ("b", "/ne/v1")
    with pytest.raises(ModelNotFound, match="is off"):
        there.routing.split("off/v1")
    with pytest.raises(ModelNotFound, match="is a selector"):
        there.routing.split("some/v1")


def test_what_must_be_a_model_of_this_machine(there):
    assert there.routing.local("first") == "a"
    with pytest.raises(InvalidRequest, match="`far/big` is a model of the peer `far`"):
        there.routing.local("far/big")
