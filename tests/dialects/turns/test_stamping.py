"""Members that corral adds to a plain answer."""

from __future__ import annotations

import json

import pytest

from corral.dialects.turns.stamping import stamped


def test_an_answer_is_stamped():
    body = b'{"id": "x", "n": 1.50, "corral": 3}'
    told = stamped(body, {"corral": {"session_id": "s"}})
    assert json.loads(told) == {"id": "x", "n": 1.5, "corral": {"session_id": "s"}}
    assert b"1.50" in told
    assert stamped(body, {}) == body


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"\xff": 1}', b"proxy error: gone"])
def test_what_is_no_object_stays_as_it_is(body):
    assert stamped(body, {"corral": {}}) == body
