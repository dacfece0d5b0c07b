"""What a plain answer tells about its turn, in corral's words and in hotmodel's."""

from __future__ import annotations

import pytest

from corral.dialects.changes import Changes
from corral.dialects.turns.chat import CHAT
from corral.dialects.turns.shape import Asked
from corral.gateway.incoming import Branch, Incoming, Request
from corral.gateway.prompting import Prompt
from corral.gateway.stamp import members
from corral.sessions.recognise import Recognised
from corral.sessions.record import Head
from corral.sessions.trim import Trimmed


def told(form="native", unit="messages", branch=None, choices=1):
    asked = Asked((), ({"role": "user", "content": "x"},), choices=choices)
    request = Request(CHAT, asked, asked.messages, {}, stores=True)
    place = Recognised(4, 0, 1, 1, fork=False)
    incoming = Incoming(Head("s", 1.0, 1.0), None, "s", place, request, branch)
    prompt = Prompt(Changes(fixed={}), 3, 4, Trimmed(0, 2, 70, unit), 2)
    return members(incoming, prompt, "qwen", form)


def test_corrals_own():
    assert told() == {
        "corral": {
            "session_id": "s",
            "active_model": "qwen",
            "prompt_messages": 4,
            "prompt_budget": {"cost": 70, "unit": "messages", "dropped_messages": 2},
        }
    }


@pytest.mark.parametrize(
    ("unit", "theirs", "cost"),
    [
        ("tokens", "llama_tokens", 70),
        ("estimated_tokens", "estimated_tokens", 70),
        ("characters", "messages", 4),
        ("messages", "messages", 4),
    ],
)
def test_hotmodels(unit, theirs, cost):
    both = told("hotmodel", unit)
    assert both["corral"]["prompt_budget"]["unit"] == unit
    budget = {"cost": cost, "unit": theirs, "dropped_messages": 2}
    assert both["hotmodel"] == both["corral"] | {"prompt_budget": budget}


def test_what_is_worth_a_word():
    assert told(choices=3)["corral"]["kept_choice"] == {"index": 0, "of": 3}
    cut = told(branch=Branch("s", 4, "old", cut=True))
    assert cut["corral"]["branched"] == {"after": 4, "kept_as": "old"}
    other = told(branch=Branch("first", 4, "s", cut=False))
    assert other["corral"]["branched"] == {"after": 4, "from": "first"}
