"""The line that ends a stream, however it comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.dialects.turns.ending import Ending
from corral.dialects.turns.shapes import CHAT, RESPONSES

DONE = b"data: [DONE]\n\n"


def parted(pieces, ends=CHAT.ends):
    """All that goes on, and all from the line that tells."""
    ending, before = Ending(ends), b""
    for at, piece in enumerate(pieces):
        part = ending.feed(piece, more=at < len(pieces) - 1)
        before += part.before
        if part.end:
            return before, part.end + b"".join(pieces[at + 1 :])
    return before, b""


@pytest.mark.parametrize(
    "end",
    [b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data: [DONE]\r\n\r\n", b"data: [DONE]\r\r"],
)
@pytest.mark.parametrize("before", [b"", b": ping\n\n", b'data: {"a":1}\r\n\r\n', b"data: x\r\r"])
def test_it_is_found_wherever_it_is_cut(before, end):
    whole = before + end
    for at in range(len(whole) + 1):
        assert parted([whole[:at], whole[at:]]) == (before, end)
    assert parted([whole[at : at + 1] for at in range(len(whole))]) == (before, end)


@pytest.mark.parametrize(
    "text", [b"xdata: [DONE]\n", b"data:  [DONE]\n", b"data: [DO", b"data: [DONE\n"]
)
def test_it_is_a_line_that_begins_so(text):
    assert parted([text]) == (text, b"")
    assert parted([text, b""]) == (text, b"")


def test_half_a_line_waits_and_is_not_lost():
    ending = Ending(CHAT.ends)
    assert ending.feed(b"data: 1\n\ndata: [") == (b"data: 1\n\n", b"")
    assert ending.feed(b"1, 2]\n") == (b"data: [1, 2]\n", b"")
    assert ending.feed(b"data:") == (b"", b"")
    assert ending.feed(b"", more=False) == (b"data:", b"")


def test_one_api_has_several():
    for how in (b"completed", b"incomplete"):
        end = b"event: response.%b\ndata: {}\n\n" % how
        assert parted([b"event: x\n\n", end], RESPONSES.ends) == (b"event: x\n\n", end)


@given(
    st.lists(st.sampled_from([b"d", b"data:", b" ", b"[DONE]", b"\n", b"\r", b"ta: [D", b"x", b""]))
)
def test_nothing_is_lost_and_the_pieces_do_not_matter(pieces):
    assert b"".join(parted(pieces)) == b"".join(pieces)
    assert parted(pieces) == parted([b"".join(pieces)])
