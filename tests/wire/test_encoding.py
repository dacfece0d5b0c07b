"""Compressed bodies, as they come."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.wire.encoding import PIECE, Decoder, narrowed

TEXT = b'{"a":1}' * 1000


def decoded(encoding, *pieces):
    decoder = Decoder(encoding)
    return b"".join(out for piece in pieces for out in decoder.feed(piece)), decoder.problem


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)),
        (" GZip ", gzip.compress(TEXT, mtime=0) + b"left over"),
        ("x-gzip", gzip.compress(TEXT, mtime=0)),
        ("deflate", zlib.compress(TEXT)),
    ],
)
def test_whole_and_byte_by_byte(encoding, packed):
    assert decoded(encoding, packed) == (TEXT, "")
    assert decoded(encoding, *(packed[i : i + 1] for i in range(len(packed)))) == (TEXT, "")


@pytest.mark.parametrize("encoding", ["br", "gzip, br", "zstd"])
def test_what_cannot_be_read_says_so(encoding):
    content, problem = decoded(encoding, b"anything")
    assert content == b""
    assert encoding in problem


def test_what_lies_about_itself_says_so():
    content, problem = decoded("gzip", b"not at all", b"and more")
    assert content == b""
    assert "no gzip" in problem


def test_what_swells_comes_in_pieces():
    decoder = Decoder("gzip")
    sizes = [len(out) for out in decoder.feed(gzip.compress(bytes(10 * PIECE)))]
    assert sum(sizes) == 10 * PIECE
    assert max(sizes) <= PIECE


@given(st.sampled_from(["gzip", "deflate"]), st.lists(st.binary(max_size=50), max_size=5))
def test_junk_never_raises(encoding, pieces):
    decoded(encoding, *pieces)


@pytest.mark.parametrize(
    ("accepted", "asked_for"),
    [
        (b"gzip, deflate", b"gzip, deflate"),
        (b"gzip, deflate, br, zstd", b"gzip, deflate"),
        (b"br;q=1.0,GZip;q=0.5 , *;q=0", b"GZip;q=0.5"),
        (b"br", b"identity"),
        (b"*", b"identity"),
        (b"", b"identity"),
    ],
)
def test_only_what_can_be_read_is_asked_for(accepted, asked_for):
    fields = [(b"accept", b"br"), (b"accept-encoding", accepted)]
    assert narrowed(fields) == [(b"accept", b"br"), (b"accept-encoding", asked_for)]
    assert narrowed(fields[:1]) == fields[:1]
