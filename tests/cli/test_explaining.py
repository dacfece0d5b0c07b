"""`corral explain`: what a person reads of an explanation."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from corral.cli import explaining
from corral.cli.client import Explanation, Obstacle, Option, Queue, Victim

SWAP = {
    "model": "draw", "state": "unloaded", "outcome": "would swap", "reason": "think would be stopped for it at once",
    "rule": "set mixed (chat & draw)", "cost": 3,
    "victims": [{"model": "think", "state": "ready", "in_flight": 0, "cost": 3}],
    "runner_up": {"rule": "set coding (code & draw)", "victims": ["chat", "think"], "cost": 13},
    "waits_for": [], "position": 1, "expected_wait": 72.0, "usual_load": 12.25, "waiting": [], "error": None,
    "something_new": 1,
}  # fmt: skip


def drawn(told, now=0.0, width=200):
    console = Console(file=io.StringIO(), width=width)
    console.print(explaining.page(told, now))
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip(" ─")]


def ask(corral, script, *arguments):
    return corral("explain", *arguments, "--url", script.url)


def test_a_swap_is_a_sentence_and_what_it_rests_on(corral, script):
    script.on("GET /api/explain?model=draw", SWAP)
    done = ask(corral, script, "draw")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines() if line.strip(" ─")]
    sentence, *rest = [" ".join(line) for line in lines]
    assert sentence == (
        "A request for draw would be loaded in the place of others: think would be stopped for it at once."
    )
    assert rest == [
        "rule set mixed (chat & draw), cost 3",
        "runner-up set coding (code & draw), cost 13: chat, think would leave",
        "place 1 among all who wait",
        "wait about 1m 12s",
        "a load usually takes 12.2 s",
        "HAS TO LEAVE STATE IN FLIGHT COST",
        "think ready 0 3",
    ]


def test_for_machines_it_is_what_the_server_said(corral, script):
    script.on("GET /api/explain?model=draw", SWAP)
    assert json.loads(ask(corral, script, "draw", "--json").stdout) == SWAP


def test_an_unknown_model_is_one_line(corral, script):
    script.refuse("GET /api/explain?model=a+%26+b", "no model `a & b`", "model_not_found", 404)
    done = ask(corral, script, "a & b")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "corral: no model `a & b`\n"


@pytest.mark.parametrize("body", [{}, [], {"model": 1, "outcome": "served", "reason": ""}])
def test_an_answer_that_is_not_corrals(corral, script, body):
    script.on("GET /api/explain?model=m", body)
    done = ask(corral, script, "m")
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not answer like corral" in done.stderr


def test_a_model_that_is_served_needs_only_the_sentence():
    told = Explanation("m", "served", "it is ready")
    assert drawn(told) == ["A request for m would be served at once: it is ready."]


def test_who_waits_since_when_and_for_what():
    told = Explanation(
        "m", "would wait", "x has 2 in flight",
        rule="group (default)",
        victims=(Victim("x", "ready", 2),),
        waits_for=(Obstacle("x", "x has 2 in flight"),),
        position=4,
        waiting=(Queue("y", 3, 2, 40.0),),
    )  # fmt: skip
    assert [" ".join(line.split()) for line in drawn(told, now=100.0)[1:]] == [
        "rule group (default)",
        "because x has 2 in flight",
        "place 4 among all who wait",
        "HAS TO LEAVE STATE IN FLIGHT COST",
        "x ready 2",
        "WAITED FOR REQUESTS CALLERS SINCE",
        "y 3 2 1m 0s ago",
    ]


def test_an_outcome_of_a_newer_server_is_shown_as_it_is():
    assert explaining.sentence(Explanation("m", "maybe", "who knows")) == (
        "A request for m maybe: who knows."
    )


def test_names_are_not_read_as_markup():
    told = Explanation("[red]m", "served", "[/x]", rule="[b]r", runner_up=Option("[/b]"))
    text = "\n".join(drawn(told))
    assert "[red]m" in text
    assert "[/b]: nobody would leave" in text
