"""Finding fields of a multipart form while it comes in pieces, wherever they stand."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.errors import InvalidRequest
from corral.wire import multipart
from corral.wire.multipart import Fields
from corral.wire.window import LIMIT, REPEATS

TOKEN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'()+_-./:=?"
BOUNDARIES = st.text(TOKEN, min_size=1, max_size=70).map(str.encode)
# Contents that look like boundaries, line ends and other fields.
CONTENTS = st.lists(
    st.binary(max_size=20)
    | st.sampled_from([b"\r\n", b"\r", b"\n", b"--", b"\r\n--", b'name="model"', b"\r\n\r\n"]),
    max_size=6,
).map(b"".join)


def form(boundary, *parts, preamble=b"", epilogue=b"\r\n"):
    """`parts` are (headers, content)."""
    lines = b"".join(b"--%b\r\n%b\r\n%b\r\n" % (boundary, head, content) for head, content in parts)
    return preamble + lines + b"--%b--" % boundary + epilogue


def field(name):
    return b'Content-Disposition: form-data; name="%b"\r\n' % name


def scan(text, boundary=b"B", size=None, names=("model", "stream")):
    fields = Fields(boundary, *names)
    for at in range(0, len(text), size or max(len(text), 1)):
        fields.feed(text[at : at + (size or len(text))])
    fields.end()
    return fields


@given(
    BOUNDARIES,
    st.lists(st.tuples(st.sampled_from([b"model", b"file", b"stream"]), CONTENTS), max_size=5),
    st.sampled_from([None, 1, 2, 5, 64]),
    st.sampled_from([b"", b"preamble\r\n", b"\r\n"]),
    st.sampled_from([b"", b"\r\n", b"\r\nepilogue --B"]),
)
def test_finds_every_field_and_only_them(boundary, parts, size, preamble, epilogue):
    delimiter = b"\r\n--" + boundary
    parts = [(n, c) for n, c in parts if delimiter not in b"\r\n" + c + b"\r\n--"]
    heads = [(field(name), content) for name, content in parts]
    text = form(boundary, *heads, preamble=preamble, epilogue=epilogue)
    fields = scan(text, boundary, size)
    wanted = [(n.decode(), c) for n, c in parts if n != b"file"]
    assert [(found.name, found.raw) for found in fields.found] == wanted
    assert all(text[f.span.start : f.span.end] == f.raw for f in fields.found)
    assert fields.opened == len(preamble)


def test_reads_what_a_real_client_sends():
    request = httpx.Request(
        "POST",
        "http://x/",
        files={"file": ("a;b.wav", b"\r\n--\0" * 99)},
        data={"model": "wö/r:ld"},
    )
    boundary = multipart.boundary(request.headers["content-type"])
    for size in (None, 1):
        (found,) = scan(request.read(), boundary, size).found
        assert found.raw.decode() == "wö/r:ld"


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b'content-disposition:form-data;name="model"\r\n', True),
        (b"Content-Disposition: form-data; name=model\r\n", True),
        (b"Content-Type: text/plain\r\n" + field(b"model"), True),
        (b'Content-Disposition: form-data; filename="a\\"; name=x"; name="model"\r\n', True),
        (b'Content-Disposition: form-data; NAME="mo\\del"\r\n', True),
        (b'Content-Disposition: form-data; filename="; name=\\"model\\""; name="x"\r\n', False),
        (b'Content-Disposition: form-data; filename="model"\r\n', False),
        (b'X-Other: form-data; name="model"\r\n', False),
        (b"", False),
    ],
)
def test_headers_of_a_part(head, found):
    assert bool(scan(form(b"B", (head, b"v"))).found) is found


def test_white_space_may_follow_a_boundary():
    assert scan(b"--B \t\r\n" + field(b"model") + b"\r\nv\r\n--B--").found[0].raw == b"v"


@pytest.mark.parametrize("size", [None, 1, 4])
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no form at all",
        b"--B",
        b"--B\r\n",
        b"--B\r\n" + field(b"model"),
        b"--B\r\n" + field(b"model") + b"\r\nvalue",
        b"--B\r\n" + field(b"model") + b"\r\nvalue\r\n--B",
        b"--B\n" + field(b"model").replace(b"\r", b"") + b"\nvalue\n--B--\n",
        form(b"other", (field(b"model"), b"v")),
        b"--Bx\r\n" + field(b"model") + b"\r\nv\r\n--B--",
        form(b"B", (b"no colon\r\n", b"v")),
        form(b"B", (b" folded: x\r\n", b"v")),
        form(b"B", (b": nameless\r\n", b"v")),
        form(b"B", (b"X: " + b"a" * LIMIT + b"\r\n", b"v")),
        form(b"B", (b"X: a\r\n" * LIMIT, b"v")),
        form(b"B", (field(b"model"), b"a" * (LIMIT + 1))),
        form(b"B", *[(field(b"model"), b"v")] * (REPEATS + 3)),
    ],
)
def test_what_is_no_form_is_refused(text, size):
    with pytest.raises(InvalidRequest):
        scan(text, size=size)


def test_a_large_file_passes_by_and_the_field_behind_it_is_found():
    fields = Fields(b"B", "model")
    fields.feed(b"--B\r\n" + field(b"file") + b"\r\n")
    for _ in range(200):
        fields.feed(b"\r\n--A" * 13107)
        assert len(fields._window.held) <= 65536 + LIMIT  # the promise of the file's second law
    fields.feed(b"\r\n--B\r\n" + field(b"model") + b"\r\nlate\r\n--B--")
    fields.end()
    assert fields.found[0].raw == b"late"


@given(BOUNDARIES)
def test_the_boundary_is_read_from_the_header(boundary):
    quoted = f'multipart/form-data; charset=utf-8; Boundary="{boundary.decode()}"'
    assert multipart.boundary(quoted) == boundary
    assert multipart.boundary(f"multipart/form-data;boundary={boundary.decode()}") == boundary


@pytest.mark.parametrize(
    "header",
    [
        "multipart/form-data",
        "x; boundary=",
        'x; boundary=""',
        f"x; boundary={'a' * 71}",
        "x; boundary=ä",
    ],
)
def test_a_form_without_a_boundary_is_refused(header):
    with pytest.raises(InvalidRequest, match="boundary"):
        multipart.boundary(header)


def test_a_part_is_one_that_is_found_again():
    text = multipart.part(b"B", "model", b"new") + b"--B--"
    assert scan(text).found[0].raw == b"new"
