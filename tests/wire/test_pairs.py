"""Finding fields of a query string or an urlencoded form."""

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.errors import InvalidRequest
from corral.wire import pairs

NAMES = st.sampled_from(["model", "stream", "mo del", ""]) | st.text(max_size=5)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def scan(text, size=1000):
    scanned = pairs.Pairs("model", "stream")
    for at in range(0, len(text), size):
        scanned.feed(text[at : at + size])
    scanned.end()
    return scanned


@given(st.lists(st.tuples(NAMES.filter(str.isprintable), TEXT), max_size=6), st.integers(1, 9))
def test_finds_what_was_encoded(fields, size):
    text = urlencode(fields).encode()
    found = scan(text, size).found
    wanted = [pair for pair in fields if pair[0] in ("model", "stream")]
    assert [(f.name, pairs.decode(f.raw)) for f in found] == wanted
    assert all(text[f.span.start : f.span.end] == f.raw for f in found)


@given(TEXT)
def test_a_value_survives_encoding(value):
    encoded = b"model=" + pairs.encode(value)
    assert parse_qsl(encoded.decode(), keep_blank_values=True) == [("model", value)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"", []),
        (b"model", []),
        (b"model=", [""]),
        (b"&&model=a&", ["a"]),
        (b"=model=a", []),
        (b"model=a=b", ["a=b"]),
        (b"mod%65l=a+b%2Fc", ["a b/c"]),
        (b"xmodel=a&model=b", ["b"]),
        (b"model=%ff", ["\N{REPLACEMENT CHARACTER}"]),
        (b"model=a&model=b", ["a", "b"]),
    ],
)
def test_odd_forms(text, values):
    assert [pairs.decode(found.raw) for found in scan(text).found] == values


def test_a_form_is_held_so_it_must_be_short():
    with pytest.raises(InvalidRequest, match="multipart"):
        scan(b"a" * (pairs.LIMIT + 1), 2**20)
