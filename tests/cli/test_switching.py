"""`corral switch`, as a real process against a scripted corral."""

from __future__ import annotations

import json

NOBODY = {"total_mb": None, "per_gpu_mb": None, "captured_at": 1.5}
DONE = {
    "previous_model": "a",
    "active_model": "b",
    "elapsed_seconds": 1.25,
    "phases": {"drain": 0.5, "unload": 0.25, "settle": 0.0, "load": 0.5},
    "gpu_settled": None,
    "gpu_memory": dict.fromkeys(
        ("before_unload", "after_unload", "after_settle", "after_load"), NOBODY
    ),
    "something_new": 1,
}


def switch(corral, script, *arguments, **changed):
    script.on("POST /admin/switch", DONE | changed)
    return corral("switch", "b", *arguments, "--url", script.url)


def test_the_report_without_cards(corral, script):
    done = switch(corral, script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "b is active, instead of a (1.25s)",
        "  drain 0.500s, unload 0.250s, settle 0.000s, load 0.500s",
    ]


def test_the_first_model(corral, script):
    done = switch(corral, script, previous_model=None)
    assert done.stdout.startswith("b is active (1.25s)\n")


def test_the_report_with_cards(corral, script):
    sizes = {"before_unload": 900, "after_unload": 600, "after_settle": 100, "after_load": 800}
    memory = {name: NOBODY | {"total_mb": mib} for name, mib in sizes.items()}
    done = switch(corral, script, gpu_memory=memory, gpu_settled=False)
    told = "900 MiB before the unload, 600 MiB after it, 100 MiB settled, 800 MiB after the load"
    assert done.stdout.splitlines()[2:] == [
        f"  GPU memory: {told}",
        "  GPU memory had not settled when the time was up",
    ]


def test_nothing_to_do(corral, script):
    done = switch(corral, script, previous_model="b", elapsed_seconds=0.0)
    assert done.stdout == "b is active already\n"


def test_for_machines_it_is_what_the_server_said(corral, script):
    assert json.loads(switch(corral, script, "--json").stdout) == DONE


def test_a_refusal_is_one_line_and_exit_code_1(corral, script):
    script.refuse(
        "POST /admin/switch", "not switched to b:\n a has 1 request", "drain_timeout", 409
    )
    done = corral("switch", "b", "--url", script.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "corral: not switched to b: a has 1 request\n"


def test_an_answer_that_is_no_report(corral, script):
    script.on("POST /admin/switch", {"hello": 1})
    done = corral("switch", "b", "--url", script.url)
    assert done.returncode == 1
    assert "does not answer like corral" in done.stderr


def test_nobody_there_is_exit_code_3(corral):
    done = corral("switch", "b", "--url", "http://127.0.0.1:9")
    assert done.returncode == 3
    assert done.stderr.startswith("corral: cannot reach http://127.0.0.1:9")


def test_the_address_may_come_from_the_configuration(corral, script, tmp_path):
    script.on("POST /admin/switch", DONE)
    where = script.url.removeprefix("http://")
    config = tmp_path / "c.yaml"
    config.write_text(f"listen: {where}\nmodels: {{b: {{cmd: 'x --port ${{PORT}}'}}}}\n")
    done = corral("switch", "b", "--config", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    assert "POST /admin/switch" in script.asked


def test_a_configuration_with_a_mistake_is_exit_code_2(corral, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("models: {b: {cmmd: x}}\n")
    done = corral("switch", "b", "--config", str(config))
    assert done.returncode == 2
    assert "cmmd" in done.stderr
    assert corral("switch", "b", "--config", str(tmp_path / "none.yaml")).returncode == 2


def test_the_key_is_sent(corral, script):
    switch(corral, script, "--key", "secret")
    assert set(script.keys) == {"Bearer secret"}


def test_on_a_terminal_it_shows_what_the_model_does(terminal, script):
    script.on("GET /api/models/b", {"id": "b", "state": "loading"})
    script.on("POST /admin/switch", DONE, after=lambda: terminal.until(b"loading"))
    stdout = terminal.run("switch", "b", "--url", script.url)
    assert stdout.startswith("b is active, instead of a (1.25s)\n")
