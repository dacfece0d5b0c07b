"""What an edit changes: who is launched anew, who only follows other rules."""

from __future__ import annotations

import pytest

from corral.config.changes import Changes, changes
from corral.config.command import launch_specs

BASE = """
macros: {server: "srv --port ${PORT}"}
models:
  a: {cmd: "${server} -m a"}
  b: {cmd: "${server} -m b"}
  c: {cmd: "other -m c", proxy: "http://127.0.0.1:9000"}
"""


@pytest.fixture
def changed(loaded):
    def between(before, after, **how):
        old, new = loaded(before, env=how.get("was")), loaded(after, env=how.get("now"))
        return changes(old, new, launch_specs(old), launch_specs(new))

    return between


def edit(old, new, text=BASE):
    assert old in text
    return text.replace(old, new)


def test_nothing(changed):
    done = changed(BASE, BASE + "# a comment\n")
    assert done == Changes(kept=("a", "b", "c"))
    assert not done


@pytest.mark.parametrize(
    "edited",
    [
        edit("-m b", "-m bb"),
        edit('-m b"', '-m b", env: [X=1]'),
        edit('-m b"', '-m b", proxy: "http://127.0.0.1:1"'),
        edit('-m b"', '-m b", macros: {server: "srv2 --port ${PORT}"}'),
    ],
)
def test_who_is_launched_in_another_way(changed, edited):
    assert changed(BASE, edited) == Changes(restarted=("b",), kept=("a", "c"))


@pytest.mark.parametrize(
    "key",
    [
        "ttl: 5",
        "cmdStop: 'stop ${PID}'",
        "unloadTimeout: 3",
        "parallel: 2",
        "concurrencyLimit: 3",
        "aliases: [x]",
        "persist: true",
        "useModelName: y",
        "healthCheckTimeout: 77",
        "metadata: {x: 1}",
    ],
)
def test_who_only_follows_another_rule(changed, key):
    done = changed(BASE, edit('-m b"', f'-m b", {key}'))
    assert (done.updated, done.restarted, done.kept) == (("b",), (), ("a", "c"))
    assert not done.rechecked


def test_the_same_command_in_other_words(changed):
    listed = edit('"other -m c"', "[other, -m, c]")
    assert changed(BASE, listed).restarted == ()
    wrapped = edit('"other -m c"', '"other \\\n      -m   c"')
    assert changed(BASE, wrapped).restarted == ()


def test_a_macro_changes_whoever_uses_it(changed):
    done = changed(BASE, edit("srv ", "srv -v "))
    assert (done.restarted, done.kept) == (("a", "b"), ("c",))


def test_an_environment_variable_changes_whoever_uses_it(changed):
    text = edit("-m b", "-m ${env.WHICH}")
    done = changed(text, text, was={"WHICH": "one"}, now={"WHICH": "two"})
    assert (done.restarted, done.kept) == (("b",), ("a", "c"))


def test_another_port_changes_nobody(changed):
    """b gets the port that a had: what runs keeps its own."""
    done = changed(BASE, "startPort: 6000\n" + edit('  a: {cmd: "${server} -m a"}\n', ""))
    assert (done.removed, done.restarted, done.kept) == (("a",), (), ("b", "c"))


def test_another_check_matters_only_until_it_is_ready(changed):
    done = changed(BASE, edit('-m b"', '-m b", checkEndpoint: /up'))
    assert (done.updated, done.rechecked) == (("b",), ("b",))


def test_added_and_removed(changed):
    done = changed(BASE, edit("  b:", "  z:"))
    assert (done.added, done.removed, done.kept) == (("z",), ("b",), ("a", "c"))


def test_a_model_of_another_name_is_another_model(changed):
    done = changed(BASE, edit("  c:", "  d:"))
    assert (done.added, done.removed) == (("d",), ("c",))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("apiKeys: [k]", ("apiKeys",)),
        ("groups: {g: {members: [a]}}", ("groups",)),
        ("logLevel: debug", ("logLevel",)),
        ("shutdownTimeout: 5", ("shutdownTimeout",)),
        ("matrix: {sets: {s: a & b}}", ("groups", "matrix")),
        ("routing: {scheduler: {use: fifo}}", ("routing.scheduler",)),
    ],
)
def test_settings_by_the_name_that_is_written(changed, more, said):
    done = changed(BASE, BASE + more)
    assert done.settings == said
    assert done.kept == ("a", "b", "c")


def test_a_matrix_is_the_same_when_it_says_the_same(changed):
    before = BASE + "matrix: {vars: {x: a}, sets: {s: x & b, t: +s | c}}"
    assert changed(before, before).settings == ()
    assert changed(before, before.replace("{x: a}", "{x: c}")).settings == ("matrix",)
    assert changed(before, before.replace("x & b", "b & x")).settings == ("matrix",)


def test_a_matrix_of_shared_branches_is_compared_in_no_time(changed):
    sets = ", ".join(f"s{n}: +s{n - 1} & +s{n - 1}" for n in range(1, 60))
    text = BASE + f"matrix: {{sets: {{s0: a | b, {sets}}}}}"
    assert changed(text, text).settings == ()


def test_what_is_to_be_loaded_now_and_was_not_before(changed):
    hooks = "hooks: {on_startup: {preload: [%s]}}"
    done = changed(BASE + hooks % "a, b", BASE + hooks % "c, b")
    assert done.preload == ("c",)
    assert done.settings == ("hooks",)


def test_what_needs_a_restart_of_corral_is_said(changed):
    done = changed(BASE, BASE + "logToStdout: both")
    assert done.settings == ("logToStdout",)
    assert done.notes == ("`logToStdout` changed, which takes effect when corral is started again",)
