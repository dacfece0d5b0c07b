"""Which system prompt a turn goes out with."""

from __future__ import annotations

import pytest

from corral.sessions.prompts import preset, system

OWN = {"role": "developer", "content": "Be kind."}
PRESETS = {"pirate": "Arr.", "silent": ""}


@pytest.mark.parametrize(
    ("session", "model", "text"),
    [
        ("", "", "default"),
        ("pirate", "", "Arr."),
        ("", "pirate", "Arr."),
        ("silent", "pirate", ""),
        ("gone", "pirate", "Arr."),
        ("gone", "gone", "default"),
    ],
)
def test_the_sessions_preset_then_the_models_then_the_default(session, model, text):
    assert preset(PRESETS, session, model, "default") == text


CORRALS = {"role": "system", "content": "Arr."}


@pytest.mark.parametrize(
    ("policy", "text", "own", "expected"),
    [
        ("default", "", [], []),
        ("default", "Arr.", [], [CORRALS]),
        ("default", "Arr.", [OWN], [OWN]),
        ("prepend", "Arr.", [], [CORRALS]),
        ("prepend", "Arr.", [OWN, OWN], [OWN | {"content": "Arr.\n\nBe kind."}, OWN]),
        ("prepend", "Arr.", [{"role": "system", "content": None}], [CORRALS]),
        ("prepend", "", [OWN], [OWN]),
        ("replace", "Arr.", [OWN], [CORRALS]),
        ("replace", "Arr.", [], [CORRALS]),
        ("replace", "", [OWN], [OWN]),
    ],
)
def test_corrals_and_the_clients(policy, text, own, expected):
    assert list(system(policy, text, own)) == expected


def test_before_a_clients_that_is_in_parts():
    part = {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}
    (message,) = system("prepend", "Arr.", [{"role": "system", "content": [part]}])
    assert message["content"] == [{"type": "text", "text": "Arr.\n\n"}, part]
