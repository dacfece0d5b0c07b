"""The same message sent again has the same digest, whatever its client has lost of it; another one has another."""

from __future__ import annotations

import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.sessions.blobs import detach
from corral.sessions.identity import LENGTH, digest

PNG = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 8).decode()
GIF = "data:image/gif;base64," + base64.b64encode(b"gif" * 900).decode()


def said(content=None, **members):
    return {"role": "assistant", "content": content, **members}


def asked(content, **members):
    return {"role": "user", "content": content, **members}


def call(arguments, name="look", of="c1"):
    return {"id": of, "type": "function", "function": {"name": name, "arguments": arguments}}


def image(url, **members):
    return {"type": "image_url", "image_url": {"url": url, **members}}


def text(value, kind="text", **members):
    return {"type": kind, "text": value, **members}


SAME = [
    (said("4"), said("4", reasoning_content="2 + 2", refusal=None, audio=None, annotations=[])),
    (said("4"), said(" 4\n")),
    (said("4"), said([text("4")])),
    (said("4"), said([text("4", "output_text", annotations=[])])),
    (said("4"), said("<think>2 + 2</think>\n\n4")),
    (said("4"), said([{"type": "thinking", "thinking": "hm"}, text("4")])),
    (said(None), said("")),
    (said(None), {"role": "assistant"}),
    (said(None), said([])),
    (said(None), said([{"type": "refusal", "refusal": "no"}])),
    (said("4"), said("4", name="bot")),
    (said("4"), said("4", tool_calls=[])),
    (said("4"), said("4", tool_calls=None)),
    (
        said(tool_calls=[call('{"a":1,"b":[2]}')]),
        said("", tool_calls=[call('{ "b" : [2], "a":1}')]),
    ),
    (said(tool_calls=[call("{}")]), said(tool_calls=[call("")])),
    (said(tool_calls=[call("{}")]), said(tool_calls=[call(None)])),
    (said(tool_calls=[call('{"a":1}')]), said(tool_calls=[call({"a": 1})])),
    (said(tool_calls=[call("{ a")]), said(tool_calls=[call(" { a ")])),
    (said(tool_calls=[call("{}")]), said(tool_calls=[call("{}") | {"index": 0}])),
    (asked("hello"), asked([text("hello")])),
    (asked("hello"), asked([text("hel"), text("lo", "input_text", cache_control={"a": 1})])),
    (asked("hello"), asked(["hello"])),
    (asked("hello"), asked("hello", name=None, of="nothing known")),
    (asked([image(PNG)]), asked([image(PNG, detail="low")])),
    (
        {"role": "tool", "tool_call_id": "c1", "content": "7"},
        {"role": "tool", "tool_call_id": "c1", "content": [text("7")], "name": "look"},
    ),
]

DIFFERENT = [
    (asked("4"), said("4")),
    (asked("4"), asked("5")),
    (asked("4"), asked(" 4")),
    (said("4"), said("5")),
    (said("4 <think>x</think>"), said("4")),
    (said("4"), said("4", tool_calls=[call("{}")])),
    (said(tool_calls=[call("{}")]), said(tool_calls=[call("{}", name="see")])),
    (said(tool_calls=[call("{}")]), said(tool_calls=[call("{}", of="c2")])),
    (said(tool_calls=[call("{}")]), said(tool_calls=[call('{"a":1}')])),
    (said(tool_calls=[call("{}")]), said(tool_calls=[call("{}"), call("{}", of="c2")])),
    (
        {"role": "tool", "tool_call_id": "c1", "content": "7"},
        {"role": "tool", "tool_call_id": "c2", "content": "7"},
    ),
    (asked([image(PNG)]), asked([image(GIF)])),
    (asked([image(PNG)]), asked([])),
    (asked([image(PNG), text("a")]), asked([text("a"), image(PNG)])),
    (asked([image("https://a/1.png")]), asked([image("https://a/2.png")])),
    (asked([image("https://a/1.png")]), asked(["https://a/1.png"])),
    (asked("hi", name="ann"), asked("hi", name="bob")),
    (asked("hi", name="ann"), asked("hi")),
    (said(function_call={"name": "f", "arguments": "{}"}), said()),
    (
        said(tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "f", "input": "1"}}]),
        said(tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "f", "input": "2"}}]),
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME, ids=range(len(SAME)))
def test_the_same_message_sent_again(one, other):
    assert digest(one) == digest(other)
    assert len(digest(one)) == LENGTH


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_another_message(one, other):
    assert digest(one) != digest(other)


@pytest.mark.parametrize("url", [PNG, "data:image/png;base64,AAAA", "https://example.org/a.png"])
def test_a_digest_is_the_same_with_its_bytes_detached(url):
    message = asked([text("what is it?"), image(url)])
    assert digest(detach(message)[0]) == digest(message)


def test_arguments_nested_as_deep_as_no_program_does():
    deep = "[" * 100_000 + "]" * 100_000
    assert digest(said(tool_calls=[call(deep)])) == digest(said(tool_calls=[call(f" {deep}")]))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["role", "content", "tool_calls", "tool_call_id", "name", "function_call", "type", "function"]
)
ANY = st.dictionaries(
    NAMES, st.recursive(JSON_VALUES, lambda v: st.dictionaries(NAMES, v) | st.lists(v))
)


@given(ANY)
def test_whatever_a_message_looks_like_it_has_a_digest(message):
    assert digest(message) == digest(json.loads(json.dumps(message)))


@given(st.text(), st.text(), st.lists(st.integers(0, 40), max_size=4))
def test_a_text_in_parts_is_that_text(role, content, cuts):
    bounds = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    parts = [text(content[a:b]) for a, b in itertools.pairwise(bounds)]
    assert digest({"role": role, "content": parts}) == digest({"role": role, "content": content})


@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=4).map(str.strip)),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_texts_and_roles_tell(two):
    one, other = ({"role": role, "content": content} for role, content in two)
    assert digest(one) != digest(other)
