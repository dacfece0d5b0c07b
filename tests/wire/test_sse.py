"""Server-sent events: the standard's own examples, whole, byte by byte and with leftovers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.errors import UpstreamInvalid
from corral.wire.sse import Event, Parser, comment, encode

LINE = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12)


def parse(text, size=None, **kwargs):
    parser = Parser(**kwargs)
    step = size or max(len(text), 1)
    return [e for at in range(0, len(text), step) for e in parser.feed(text[at : at + step])]


EXAMPLES = {  # from the standard, and the corners of its grammar
    b"data: YHOO\ndata: +2\ndata: 10\n\n": [Event("YHOO\n+2\n10")],
    b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n": [
        Event("first event", id="1"),
        Event("second event"),
        Event(" third event"),
    ],
    b"data\n\ndata\ndata\n\ndata:": [Event(""), Event("\n")],
    b"data:test\n\ndata: test\n\n": [Event("test"), Event("test")],
    b"event: add\ndata: 1\n\ndata: 2\n\n": [Event("1", "add"), Event("2")],
    b"event: lost\n\ndata: x\n\n": [Event("x")],
    b"data: a\r\rdata: b\r\n\r\ndata: c\n\n": [Event("a"), Event("b"), Event("c")],
    b"data: a\r\n\rdata: b\n\r\n": [Event("a"), Event("b")],
    b"\xef\xbb\xbfdata: bom\n\n": [Event("bom")],
    b"\xef\xbb\xbf\xef\xbb\xbfdata: two\n\n": [],
    b"data: x\n\n\xef\xbb\xbfdata: y\n\n": [Event("x")],
    b"id: 7\ndata: x\n\ndata: y\n\n": [Event("x", id="7"), Event("y", id="7")],
    b"id: a\0b\ndata: x\n\n": [Event("x")],
    b"retry: 10\ndata: x\n\nretry: 1x\ndata: y\n\nretry: " + b"9" * 9999 + b"\ndata: z\n\n": [
        Event("x", retry=10),
        Event("y"),
        Event("z"),
    ],
    b"DATA: x\nfoo: bar\ndata: y\n\n": [Event("y")],
    b"data: never finished\n": [],
    b"data: \xff\xe2\x80\xa8\n\n": [Event("\N{REPLACEMENT CHARACTER}\N{LINE SEPARATOR}")],
    b"\n\n\r\n": [],
    b"": [],
}


@pytest.mark.parametrize("size", [None, 1, 2, 3, 7])
@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples(text, size):
    assert parse(text, size) == EXAMPLES[text]


@given(
    st.binary(max_size=80) | st.text("datevn: \r\n", max_size=80).map(str.encode), st.integers(1, 9)
)
def test_pieces_make_no_difference(text, size):
    assert parse(text, size) == parse(text)


def test_an_event_is_given_as_soon_as_its_blank_line_is_clear():
    parser = Parser()
    assert parser.feed(b"data: x\r\n\r") == [Event("x")]
    assert parser.feed(b"\ndata: y\n") == []
    assert parser.feed(b"\n") == [Event("y")]


@given(
    st.lists(LINE, min_size=1, max_size=4),
    st.fixed_dictionaries({}, optional={"event": LINE, "id": LINE, "retry": st.integers(0, 10**9)}),
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.sampled_from([None, 1, 3]),
)
def test_what_is_encoded_is_parsed(lines, fields, ending, size):
    text = encode(ending.join(lines), **fields)
    named = {**fields, "event": fields.get("event") or "message"}
    expected = Event("\n".join(lines), **named)
    assert parse(b": a comment\n" + text, size) == [expected]


@pytest.mark.parametrize("wrong", [{"event": "a\nb"}, {"id": "a\rb"}, {"id": "\0"}])
def test_a_name_is_one_line(wrong):
    with pytest.raises(ValueError, match="one line"):
        encode("x", **wrong)


def test_a_comment_is_no_event():
    assert parse(comment("two\nlines") + comment() + encode("x")) == [Event("x")]


@pytest.mark.parametrize(
    "text", [b"data: " + b"x" * 200, b"data: x\n" * 200], ids=["line", "lines"]
)
@pytest.mark.parametrize("size", [None, 1, 50])
def test_an_event_that_never_ends_is_refused(text, size):
    with pytest.raises(UpstreamInvalid, match="more than 100 bytes"):
        parse(text, size, limit=100)


def test_many_events_are_no_long_event():
    assert len(parse(b"data: 12345\n\n" * 100, limit=100)) == 100
