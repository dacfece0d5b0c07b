"""Finding top-level members of a JSON object while its text comes in pieces."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.errors import InvalidRequest
from corral.wire.members import Members
from corral.wire.window import LIMIT, REPEATS

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(['"model":', "\\", '{"model":"x"}', "}", ","]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["model", "x", '"', "\\"]) | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(["model", "stream", "messages", 'mo"del', "modèle"]) | st.text()


def scan(text, size=None):
    members = Members("model", "stream")
    for at in range(0, len(text), size or max(len(text), 1)):
        members.feed(text[at : at + (size or len(text))])
    members.end()
    return members


@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=6),
    st.sampled_from([None, 1, 2, 3, 7]),
    st.booleans(),
    st.sampled_from(["", " ", "\r\n\t "]),
)
def test_finds_the_top_level_members_and_only_them(members, size, ascii_only, space):
    dumped = [
        f"{space}{json.dumps(name, ensure_ascii=ascii_only)}{space}:"
        f"{space}{json.dumps(value, ensure_ascii=ascii_only, indent=1)}{space}"
        for name, value in members[:12]
    ]
    text = f"{space}{{{','.join(dumped)}{space}}}{space}".encode("utf-8", "surrogatepass")
    scanned = scan(text, size)
    expected = [(name, value) for name, value in members if name in ("model", "stream")]
    assert [(found.name, json.loads(found.raw)) for found in scanned.found] == expected
    assert all(text[f.span.start : f.span.end] == f.raw for f in scanned.found)
    assert scanned.empty == (not members)
    assert text[: scanned.opened].endswith(b"{")


def test_an_escaped_name_is_the_same_name():
    assert [f.raw for f in scan(rb'{"mod\u0065l": "a"}').found] == [b'"a"']


def test_a_name_that_is_no_text_is_nobodys():
    assert scan(rb'{"\ud800": 1, "\x": 2, "model": 3}').found[0].raw == b"3"


@pytest.mark.parametrize("size", [None, 1, 3])
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"  ",
        b"nope",
        b'"model"',
        b"[1]",
        b"{",
        b'{"model"',
        b'{"model":',
        b'{"model":"a',
        b'{"model":"a\\"}',
        b'{"model":"a"',
        b'{"model" "a"}',
        b'{"model":}',
        b'{"model":,"b":1}',
        b'{model:"a"}',
        b'{"a":1]',
        b'{"a":[1}',
        b'{"a":1,}',
        b'{"a":1,,"b":2}',
        b'{"a":1}{"b":2}',
        b'{"a":1} x',
        b'{"a":{"b":1}',
    ],
)
def test_what_is_no_object_is_refused(text, size):
    with pytest.raises(InvalidRequest):
        scan(text, size)


def test_a_huge_member_passes_by_without_being_held():
    members = Members("model")
    members.feed(b'{"image":"')
    for _ in range(200):
        members.feed(b"A" * 65536 + b'\\"')
        assert (
            len(members._window.held) <= 65536 + 2 + LIMIT
        )  # the promise of the file's second law
    members.feed(b'","model":"late"}')
    members.end()
    assert members.found[0].raw == b'"late"'


@pytest.mark.parametrize("size", [None, 1, 1000])
@pytest.mark.parametrize(
    "text",
    [
        b'{"model":"' + b"a" * LIMIT + b'"}',
        b'{"' + b"a" * LIMIT + b'":1}',
        b"{" + b",".join([b'"model":1'] * (REPEATS + 3)) + b"}",
    ],
    ids=["value", "name", "repeats"],
)
def test_what_would_have_to_be_held_is_bounded(text, size):
    with pytest.raises(InvalidRequest):
        scan(text, size)


def test_deep_nesting_costs_nothing():
    text = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"model":"x"}'
    assert scan(text).found[0].raw == b'"x"'
