"""The two ends of a text of any length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.wire import ends
from corral.wire.ends import Ends


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(ends, "END", 8)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_a_short_text_is_whole_and_a_long_one_has_both_its_ends(pieces):
    text, kept = b"".join(pieces), Ends()
    for piece in pieces:
        kept.feed(piece)
    assert kept.cut == (len(text) > 16)
    if not kept.cut:
        assert (kept.head, kept.tail) == (text, b"")
    else:
        assert kept.head == text[:8]
        assert len(kept.tail) >= 8
        assert text.endswith(kept.tail)


def test_what_is_held_is_bounded():
    kept = Ends()
    for _ in range(1000):
        kept.feed(b"12345")
    assert len(kept.head) + len(kept.tail) <= 8 + 16
    kept.feed(b"x" * 1000)
    assert kept.tail == b"x" * 16
