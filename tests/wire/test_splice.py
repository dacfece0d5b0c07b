"""Replacing stretches of a body: the same whole, in pieces and byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.wire.splice import Edit, Span, Splice, growth, splice


@st.composite
def cuts(draw):
    """A body and edits of it, in order and apart."""
    body = draw(st.binary(max_size=60))
    points = sorted(draw(st.sets(st.integers(0, len(body)), max_size=8)))
    spans = [Span(a, b) for a, b in zip(points[::2], points[1::2], strict=False)]
    return body, [Edit(span, draw(st.binary(max_size=9))) for span in spans]


def edited(body, edits):
    for edit in reversed(edits):
        body = body[: edit.span.start] + edit.new + body[edit.span.end :]
    return body


def through(splicer, body, size):
    return b"".join(splicer.feed(body[at : at + size]) for at in range(0, len(body), size))


@given(cuts(), st.integers(1, 70))
def test_in_pieces_as_whole(case, size):
    body, edits = case
    whole = splice(body, edits)
    assert whole == edited(body, edits)
    assert through(Splice(edits), body, size) == whole
    assert len(whole) == len(body) + growth(edits)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_an_empty_stretch_is_filled_wherever_it_is(size):
    for at in range(6):
        edits = [Edit(Span(at, at), b"--")]
        assert through(Splice(edits), b"12345", size) == b"12345"[:at] + b"--" + b"12345"[at:]


def test_without_stretches_pieces_pass_as_they_are():
    piece = b"untouched"
    assert Splice([]).feed(piece) is piece
    assert splice(piece, []) is piece
