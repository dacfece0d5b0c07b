"""What an edit changes: who is launched anew, who only follows other rules."""

from __future__ import annotations

import pytest

from corral.config.changes import Changes, changes
from corral.config.command import launch_specs
from corral.config.load import Source, load

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


# --- routers, conversations, switching -------------------------------------------------------------------------------

ROUTED = """
models:
  a: {router: r}
  b: {router: r, routerModel: bb}
  c: {cmd: "srv --port ${PORT}"}
routers:
  r: {cmd: "llama-server --port ${PORT}"}
  s: {url: "http://127.0.0.1:1"}
"""


@pytest.mark.parametrize(
    ("old", "new", "restarted"),
    [
        ("routerModel: bb", "routerModel: bbb", ("b",)),
        # It is told how many models it has.
        ("b: {router: r, routerModel: bb}", "b: {router: s}", ("a", "b")),
        ('--port ${PORT}"}\n  s', '--port ${PORT} -v"}\n  s', ("a", "b")),
        ('--port ${PORT}"}\n  s', '--port ${PORT}", env: [A=1]}\n  s', ("a", "b")),
        ('--port ${PORT}"}\n  s', '--port ${PORT}", presets: p.ini}\n  s', ("a", "b")),
        ('url: "http://127.0.0.1:1"', 'url: "http://127.0.0.1:2"', ()),
    ],
)
def test_a_router_that_changes_changes_its_models(changed, old, new, restarted):
    done = changed(ROUTED, edit(old, new, ROUTED))
    assert done.restarted == restarted
    assert "c" in done.kept


def test_another_text_of_the_presets_is_read_by_another_router():
    text = ROUTED.replace(
        '"llama-server --port ${PORT}"', '"llama-server --port ${PORT}", presets: p.ini'
    )
    first = "[a]\nm = x\n[bb]\nm = y\n"
    old, new = (
        load([Source("c.yaml", text)], {}, beside={"p.ini": Source("p.ini", ini)})
        for ini in (first, first + "c = 1\n")
    )
    done = changes(old, new, launch_specs(old), launch_specs(new))
    assert (done.restarted, done.kept) == (("a", "b"), ("c",))


@pytest.mark.parametrize(
    ("text", "settings", "again"),
    [
        ("sessions: {ttl: 5}", ("sessions",), ()),
        ("sessions: {store: x.db}", ("sessions", "sessions.store"), ("sessions.store",)),
        (
            "sessions: {importState: x.json}",
            ("sessions", "sessions.importState"),
            ("sessions.importState",),
        ),
        ("switching: {drainTimeout: 5}", ("switching",), ()),
        ("switching: {active: a}", ("switching",), ()),
        ("listen: 127.0.0.1:1", ("listen",), ("listen",)),
    ],
)
def test_what_a_reload_takes_over_and_what_not(changed, text, settings, again):
    kept = "sessions: {ttl: 9}\n"
    done = changed(BASE + kept, BASE + (text if "sessions" in text else kept + text))
    assert done.settings == settings
    assert done.notes == tuple(
        f"`{name}` changed, which takes effect when corral is started again" for name in again
    )


def test_a_model_that_is_now_the_active_one_is_loaded(changed):
    assert changed(BASE, BASE + "switching: {active: a}").preload == ("a",)
