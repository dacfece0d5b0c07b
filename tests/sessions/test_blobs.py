"""Bytes are held apart and put back, byte for byte."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.sessions.blobs import DEEPEST, SMALLEST, attach, detach, hashes, named

RAW = bytes(range(256)) * 4
ENCODED = base64.b64encode(RAW).decode()
URL = f"data:image/png;base64,{ENCODED}"

SHAPES = [
    {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
    {"type": "image_url", "image_url": URL},
    {"type": "input_image", "image_url": URL},
    {"type": "input_audio", "input_audio": {"data": ENCODED, "format": "wav"}},
    {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{ENCODED}"}},
    {"type": "file", "file": {"file_data": ENCODED, "filename": "a.pdf"}},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ENCODED}},
    {"type": "tool_result", "content": [{"type": "image", "source": {"data": ENCODED}}]},
]


@pytest.mark.parametrize("part", SHAPES, ids=range(len(SHAPES)))
def test_in_every_apis_parts(part):
    message = {"role": "user", "content": [{"type": "text", "text": "see"}, part]}
    before = json.dumps(message)
    detached, held = detach(message)
    assert held == {named(RAW): RAW}
    assert ENCODED not in json.dumps(detached)
    assert hashes(detached) == set(held)
    assert attach(detached, held) == message
    assert json.dumps(message) == before


STAYS = [
    "https://example.org/a.png",
    f"data:image/png;base64,{ENCODED[: SMALLEST - 4]}",
    f"data:image/png;base64,{ENCODED}\n",
    f"data:image/png;base64,{ENCODED.rstrip('=')}-",
    f"data:image/png;base64,{'é' * SMALLEST}",
    f"data:image/png;base64,{'A' * SMALLEST}AB==",  # the last bits are of no byte
    f"data:text/plain,{ENCODED}",
]


@pytest.mark.parametrize("url", STAYS, ids=range(len(STAYS)))
def test_what_is_not_base64_of_some_size_stays(url):
    message = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}
    assert detach(message) == (message, {})
    assert hashes(message) == set()


def test_a_text_that_happens_to_be_base64_stays():
    message = {"role": "user", "content": [{"type": "text", "text": ENCODED}]}
    assert detach(message) == (message, {})
    assert detach({"role": "user", "content": ENCODED})[1] == {}


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (SHAPES[0], "[image no longer kept]"),
        (SHAPES[3], "[sound no longer kept]"),
        (SHAPES[4], "[file no longer kept]"),
    ],
)
def test_a_part_whose_bytes_are_gone_says_so(part, text):
    detached, _ = detach({"role": "user", "content": ["see", part]})
    assert attach(detached, {})["content"] == ["see", {"type": "text", "text": text}]


def test_bytes_that_are_gone_where_nothing_can_be_said():
    detached, held = detach(
        {"role": "user", "content": [[{"data": ENCODED}]], "more": {"data": ENCODED}}
    )
    assert attach(detached, held)["more"] == {"data": ENCODED}
    gone = attach(detached, {})
    assert gone["more"] == {"data": ""}
    assert gone["content"] == [{"type": "text", "text": "[file no longer kept]"}]


def test_a_client_cannot_ask_for_bytes_by_their_hash():
    forged = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"$blob": named(RAW)}}],
    }
    detached, held = detach(forged)
    assert held == {}
    assert hashes(detached) == set()
    assert attach(detached, {named(RAW): RAW}) == forged


LEAVES = st.sampled_from(["x", URL, ENCODED, "data:", None, 7, True])
MEMBERS = st.sampled_from(["url", "data", "$blob", "$$blob", "before", "type", "image_url"])
VALUES = st.recursive(
    LEAVES,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(MEMBERS, v, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["role", "content", "$blob", "more"]), VALUES))
def test_what_is_detached_is_put_back(message):
    detached, held = detach(message)
    assert hashes(detached) == set(held)
    assert attach(detached, held) == message


@pytest.mark.parametrize("depth", range(1, DEEPEST + 4))
def test_at_every_depth(depth):
    message = {"role": "user", "content": {"data": ENCODED}}
    for _ in range(depth):
        message["content"] = [message["content"]]
    detached, held = detach(message)
    assert attach(detached, held) == message


def test_an_image_that_is_sent_twice_is_held_once():
    message = {"role": "user", "content": [SHAPES[0], SHAPES[2]]}
    assert len(detach(message)[1]) == 1
