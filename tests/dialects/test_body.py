"""Reading the model's name from a body, whole and in pieces."""

import json
from contextlib import suppress
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.dialects.body import JSON, URLENCODED, Asked, Layout, Reader, layout, read
from corral.errors import InvalidRequest, ModelRequired

NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(['"model": "fake"', '{"model":"fake"}', "\\", '\\"']),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["model", "stream", "role"]), inner, max_size=3)
    ),
    max_leaves=10,
)
OTHERS = st.lists(
    st.tuples(st.sampled_from(["messages", "Model", "models", "x", "stream"]), VALUES), max_size=4
)


def member(name, value):
    return f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"


def joined(before, model, after):
    """An object's text up to the model's value, that value, and the rest."""
    head = "{" + "".join(f"{member(*one)} ,\n" for one in before) + '"model" :\t'
    return (
        head.encode(),
        json.dumps(model).encode(),
        ("".join(f", {member(*one)}" for one in after) + "}\n").encode(),
    )


def in_pieces(body, how, size, default=None):
    reader = Reader(how)
    for at in range(0, len(body), size):
        reader.feed(body[at : at + size])
    reader.end()
    return reader.asked(default)


# --- JSON --------------------------------------------------------------------------------------------------------


@given(OTHERS, NAME, OTHERS, st.integers(1, 40))
def test_the_outermost_name_is_read(before, name, after, size):
    body = b"".join(joined(before, name, after))
    assert read(body).model == name
    assert in_pieces(body, JSON, size) == read(body)


def test_a_name_given_twice_counts_last():
    assert read(b'{"model":"a","x":{"model":"n"},"mod\\u0065l":"b"}').model == "b"


@given(OTHERS, VALUES, VALUES, VALUES, st.integers(1, 40))
def test_by_what_a_conversation_is_known_is_read_whatever_it_is(
    others, session, previous, store, size
):
    known = {"session_id": session, "previous_response_id": previous, "store": store}
    body = b"".join(joined(others, "m", known.items()))
    asked = read(body)
    texts = (asked.session, asked.previous, asked.store)
    assert [json.loads(text) for text in texts] == list(known.values())
    assert in_pieces(body, JSON, size) == asked


def test_a_session_that_is_not_named():
    assert read(b'{"model":"a","x":{"session_id":"n"}}') == Asked("a")
    assert read(b'{"model":"a","session_id":"n","session_id":null}').session == b"null"


def test_a_name_may_be_any_text():
    assert read('{"model":"Größe/\\u00fc:\\"q4\\" 😀"}'.encode()).model == 'Größe/ü:"q4" 😀'
    assert read(b'{"model":" padded "}').model == " padded "


@pytest.mark.parametrize("size", [1, 9, 1000])
@pytest.mark.parametrize(
    ("value", "stream"),
    [
        ("true", True),
        ("false", False),
        ("null", False),
        ('"true"', False),
        ("[true]", False),
        ("1", False),
    ],
)
def test_a_stream_is_asked_for_by_true(value, stream, size):
    body = f'{{"stream" : {value} ,"model":"a"}}'.encode()
    assert read(body) == Asked("a", stream)
    assert in_pieces(body, JSON, size) == Asked("a", stream)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "body", [b"{}", b'{"model":null}', b'{"model":""}', b'{"model":" \\n"}', b'{"x":{"model":"a"}}']
)
def test_no_name_is_an_error_unless_there_is_a_default(body, size):
    with pytest.raises(ModelRequired, match="/v1/models"):
        read(body)
    with pytest.raises(ModelRequired):
        in_pieces(body, JSON, size)
    assert read(body, default="fallback") == Asked("fallback")
    assert in_pieces(body, JSON, size, "fallback") == Asked("fallback")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"model=a", "not JSON: invalid character"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"model":"a"', "not JSON"),
        (b'{"model":"a",}', "trailing comma"),
        (b'{"model":"a"} x', "trailing characters"),
        (b'{"model":"\xff"}', "not UTF-8"),
        (b'{"model":"\\ud800"}', "not JSON"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"model":1}', "`model` must be text"),
        (b'{"model":["a"]}', "`model` must be text"),
        (b'{"model":1,"model":"a"}', "`model` must be text"),
        (b'{"model":"a","x":' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_an_unreadable_body_is_said_so_in_one_line(body, says):
    with pytest.raises(InvalidRequest, match=says) as caught:
        read(body)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'{"model":1}', b'{"model":"\xff"}', b'{"model":a}', b'{"model":"a'],
)
def test_an_unreadable_body_in_pieces_is_refused_too(body):
    with pytest.raises(InvalidRequest):
        in_pieces(body, JSON, 2)


@given(st.binary(max_size=40) | st.text('{}[]",:\\model tru0', max_size=40).map(str.encode))
def test_nothing_but_invalid_request_is_raised(body):
    for attempt in (lambda: read(body), lambda: in_pieces(body, JSON, 3)):
        with suppress(InvalidRequest):
            attempt()


# --- forms -------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(["x", "file", "prompt"]), NAME), max_size=4), NAME)
def test_the_name_in_an_urlencoded_form(others, name):
    body = urlencode([*others, ("model", name), *others]).encode()
    assert read(body, URLENCODED).model == name


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        (b"model=a", Asked("a")),
        (b"x=1&model=a%2Fb&stream=true", Asked("a/b", stream=True)),
        (b"model=a&stream=1", Asked("a")),
        (b"model=a&model=b", Asked("b")),
    ],
)
def test_a_query_is_read_as_a_form(query, asked):
    assert read(query, layout("query", "")) == asked


@pytest.mark.parametrize("query", [b"", b"autoload=false", b"model=", b"model"])
def test_a_query_without_a_name(query):
    with pytest.raises(ModelRequired):
        read(query, URLENCODED)
    assert read(query, URLENCODED, "fallback").model == "fallback"


FILES = st.binary(max_size=200) | st.just(b'\r\n--x\r\nname="model"\r\n\r\nfake\r\n')


def upload(data, file):
    request = httpx.Request("POST", "http://x/", data=data, files={"file": ("a.wav", file)})
    return request.read(), layout("form", request.headers["content-type"])


@given(FILES, NAME, st.integers(1, 90))
def test_the_name_in_an_upload(file, name, size):
    name = name.replace("\r", "")
    name = name if name.strip() else "a"
    body, how = upload({"model": name, "stream": "true"}, file)
    assert in_pieces(body, how, size) == read(body, how) == Asked(name, stream=True)


def test_an_upload_without_a_name():
    body, how = upload({"language": "de"}, b"sound")
    with pytest.raises(ModelRequired):
        read(body, how)
    assert read(body, how, "whisper") == Asked("whisper")


def test_an_upload_with_a_name_that_is_no_text():
    body, how = upload({"model": "PLACE"}, b"sound")
    with pytest.raises(InvalidRequest, match="must be text"):
        read(body.replace(b"PLACE", b"\xff\xfe\xfd"), how)


# --- which of them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "content_type", "expected"),
    [
        ("json", "", JSON),
        ("json", "application/x-www-form-urlencoded", JSON),  # curl -d, without a header
        ("json", "text/plain", JSON),
        ("json", "multipart/form-data; boundary=abc", Layout("multipart", b"abc")),  # a new voice
        ("query", "application/json", URLENCODED),
        ("query", "multipart/form-data; boundary=abc", URLENCODED),
        ("form", "application/x-www-form-urlencoded; charset=utf-8", URLENCODED),
        ("form", "Application/JSON", JSON),
        ("form", "Multipart/Form-Data; boundary=abc", Layout("multipart", b"abc")),
    ],
)
def test_how_a_body_is_written(named, content_type, expected):
    assert layout(named, content_type) == expected


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "multipart/form-data", "multipart/mixed; boundary=a"]
)
def test_a_form_route_wants_a_form(content_type):
    with pytest.raises(InvalidRequest):
        layout("form", content_type)


@pytest.mark.parametrize("content_type", ["multipart/form-data", "Multipart/mixed; boundary=a"])
def test_a_json_route_wants_no_other_multipart(content_type):
    with pytest.raises(InvalidRequest):
        layout("json", content_type)
