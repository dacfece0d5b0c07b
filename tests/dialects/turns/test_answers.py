"""What is collected of an answer while it goes by, whatever the pieces, and whether it came to its end."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.dialects.turns.anthropic import ANTHROPIC
from corral.dialects.turns.anthropic_answer import AnthropicAnswer
from corral.dialects.turns.chat import CHAT
from corral.dialects.turns.chat_answer import ChatAnswer
from corral.dialects.turns.collecting import Listener, Room
from corral.dialects.turns.responses import RESPONSES
from corral.dialects.turns.responses_answer import ResponsesAnswer
from corral.dialects.turns.shape import Said

SHAPES = {"chat": CHAT, "messages": ANTHROPIC, "responses": RESPONSES}
JSON, STREAM = "application/json; charset=utf-8", "text/event-stream"
HERE = Path(__file__).with_name("answers")
RECORDED = sorted(
    path
    for folder in (HERE, Path(__file__).parents[1] / "answers")
    for path in folder.iterdir()
    if path.stem.partition("-")[0] in SHAPES
)
ENDS = {
    "chat": b"data: [DONE]",
    "messages": b"event: message_stop",
    "responses": b"event: response.completed",
}
HM = {"role": "assistant", "content": "yes", "reasoning_content": "hm\n"}


def kind(path):
    return STREAM if path.suffix == ".sse" else JSON


def shape(path):
    return SHAPES[path.stem.partition("-")[0]]


def collected(shape, content_type, *pieces, encoding=""):
    collector = shape.collector(content_type, encoding)
    for piece in pieces:
        collector.feed(piece)
    return collector.said()


def public(said):
    return {name: said.message[name] for name in said.message if name != "corral"}


def events(*objects):
    lines = (o if isinstance(o, str) else json.dumps(o) for o in objects)
    return "".join(f"data: {line}\n\n" for line in lines).encode()


# --- real answers of the shipped engine --------------------------------------------------------------------------


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_a_recorded_answer(path):
    text = path.read_bytes()
    whole = collected(shape(path), kind(path), text)
    assert whole.complete
    assert whole.message["role"] == "assistant"
    assert whole.message["content"]
    assert whole.usage.prompt_tokens in (28, 56)
    assert whole.response_id.startswith("resp_") == (shape(path) is RESPONSES)
    assert collected(shape(path), kind(path), *(text[i : i + 1] for i in range(len(text)))) == whole
    assert collected(shape(path), kind(path), *text.splitlines(keepends=True)) == whole


@pytest.mark.parametrize("path", sorted(HERE.iterdir()), ids=lambda path: path.name)
def test_a_recorded_thought(path):
    assert public(collected(shape(path), kind(path), path.read_bytes())) == HM


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
def test_a_compressed_answer(path, coding):
    text = path.read_bytes()
    packed = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[coding](text)
    pieces = [packed[at : at + 7] for at in range(0, len(packed), 7)]
    said = collected(shape(path), kind(path), *pieces, encoding=coding)
    assert said == collected(shape(path), kind(path), text)


@given(st.data())
def test_wherever_an_answer_is_cut_into_pieces(data):
    path = data.draw(st.sampled_from(RECORDED))
    text = path.read_bytes()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert collected(shape(path), kind(path), *pieces) == collected(shape(path), kind(path), text)


@given(st.data())
def test_an_answer_that_ends_early_is_not_complete(data):
    path = data.draw(st.sampled_from(RECORDED))
    text = path.read_bytes()
    name = path.stem.partition("-")[0]
    last = text.index(ENDS[name]) if kind(path) == STREAM else len(text.rstrip()) - 1
    said = collected(shape(path), kind(path), text[: data.draw(st.integers(0, last))])
    whole = collected(shape(path), kind(path), text)
    assert not said.complete
    if said.message is not None:
        assert "corral" not in said.message
        assert whole.message["content"].startswith(said.message["content"])


@pytest.mark.parametrize("path", [p for p in RECORDED if kind(p) == STREAM], ids=lambda p: p.name)
@pytest.mark.parametrize(
    "end",
    [
        b"proxy error: Failed to read connection",
        b"proxy error: Failed to read connection\n\n",
        b'data: {"error":{"code":500,"message":"gone","type":"server_error"}}\n\n',
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"gone"}}\n\n',
        b"",
    ],
)
def test_a_stream_that_breaks(path, end):
    text = path.read_bytes()
    begun = text[: text.index(ENDS[path.stem.partition("-")[0]])]
    said = collected(shape(path), STREAM, begun + end)
    assert not said.complete
    assert said.message["content"] == collected(shape(path), STREAM, text).message["content"]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_an_error_before_the_end_is_not_made_good_by_it(shape):
    ends = ["[DONE]", {"type": "message_stop"}, {"type": "response.completed", "response": {}}]
    errors = [
        {"error": {"message": "gone"}, "type": "error"},
        {"object": "error", "type": "error", "message": "gone"},
    ]
    for error in errors:
        assert not collected(shape, STREAM, events(error, *ends)).complete
    assert collected(shape, STREAM, events(*ends)).complete


def test_what_is_asked_on_the_way_changes_nothing():
    for path in RECORDED:
        collector = shape(path).collector(kind(path), "")
        for line in path.read_bytes().splitlines(keepends=True):
            collector.feed(line)
            collector.said()
        assert collector.said() == collected(shape(path), kind(path), path.read_bytes())


# --- answers that are none ---------------------------------------------------------------------------------------

NOTHING = Said(None, complete=False)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"error": {"message": "no"}}',
        b'{"type": "error", "error": {"type": "api_error", "message": "no"}}',
        b'{"choices": [], "content": null, "output": null}',
        b'{"choices": [{}], "content": "x", "output": "x"}',
        b'{"choices": [{"index": 1, "message": {"content": "x"}}]}',
        b"[" * 100_000,
    ],
)
def test_a_plain_answer_that_is_none(shape, body):
    assert collected(shape, JSON, body) == NOTHING


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_an_answer_in_a_coding_that_cannot_be_read(shape):
    assert collected(shape, JSON, b"\x0b\x02", encoding="br") == NOTHING
    assert collected(shape, STREAM, b"no gzip", encoding="gzip") == NOTHING


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
junk = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = [
    "choices",
    "delta",
    "message",
    "content",
    "tool_calls",
    "function_call",
    "function",
    "name",
    "arguments",
    "index",
    "id",
    "type",
    "text",
    "thinking",
    "item",
    "output",
    "output_index",
    "item_id",
    "response",
    "content_block",
    "partial_json",
    "error",
    "reasoning",
    "reasoning_content",
    "refusal",
    "call_id",
    "role",
    "custom",
    "input",
    "summary",
    "status",
    "citation",
]
KINDS = [
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_stop",
    "text_delta",
    "input_json_delta",
    "citations_delta",
    "tool_use",
    "text",
    "thinking",
    "thinking_delta",
    "signature_delta",
    "message",
    "function",
    "function_call",
    "custom",
    "response.output_item.added",
    "response.output_item.done",
    "reasoning",
    "response.output_text.delta",
    "response.completed",
    "response.incomplete",
    "output_text",
    "reasoning_text",
    "assistant",
    "custom_tool_call",
]
likely = st.recursive(
    scalars | st.sampled_from(KINDS) | st.just(0),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.sampled_from(list(SHAPES.values())), st.lists(junk | likely, max_size=6))
def test_whatever_an_engine_sends_nothing_is_raised(shape, values):
    texts = [json.dumps(value) for value in values]
    for text in texts:
        collected(shape, JSON, text.encode())
    _can_be_sent_again(shape, collected(shape, STREAM, events(*texts)))


def _can_be_sent_again(shape, said):
    """What is kept of an answer does not spoil the requests that come after it."""
    if said.message is not None:
        for other in SHAPES.values():
            body = other.changes([], [{"role": "user", "content": "hi"}, said.message]).apply(b"{}")
            assert other.read(body).messages


@given(st.sampled_from(list(SHAPES.values())), st.binary(max_size=60))
def test_whatever_bytes_come_nothing_is_raised(shape, text):
    for content_type in (JSON, STREAM, "", "text/html"):
        assert not collected(shape, content_type, text).complete


# --- memory ------------------------------------------------------------------------------------------------------


def squeezed(hears, content_type, text):
    """Collected with room for 1000 characters."""
    room = Room(1000)
    listener = Listener(hears(room), room, content_type)
    listener.feed(text)
    return listener.said()


def test_an_answer_that_is_too_long_is_not_complete():
    long = "x" * 600
    chunks = [{"choices": [{"delta": {"content": long}}]}] * 3
    said = squeezed(ChatAnswer, STREAM, events(*chunks, "[DONE]"))
    assert (said.message["content"], said.complete) == (long, False)
    plain = json.dumps({"choices": [{"message": {"content": long * 3}}]}).encode()
    assert squeezed(ChatAnswer, JSON, plain) == NOTHING
    block = {"type": "content_block_start", "content_block": {"type": "text", "text": ""}}
    deltas = [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": long}}] * 3
    said = squeezed(AnthropicAnswer, STREAM, events(block, *deltas, {"type": "message_stop"}))
    assert (said.message["content"], said.complete) == (long, False)


@pytest.mark.parametrize(
    ("hears", "event"),
    [
        (ChatAnswer, {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}),
        (
            AnthropicAnswer,
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
        ),
        (ResponsesAnswer, {"type": "response.output_item.added", "output_index": 0, "item": {}}),
    ],
)
def test_parts_without_end_are_not_kept(hears, event):
    text = json.dumps(event)
    many = [text.replace('index": 0', f'index": {at}') for at in range(10)]
    ends = ["[DONE]", {"type": "message_stop"}, {"type": "response.completed", "response": {}}]
    assert squeezed(hears, STREAM, events(many[0], *ends)).complete
    assert not squeezed(hears, STREAM, events(*many, *ends)).complete


def test_an_event_that_is_too_long_breaks_the_stream():
    text = b"data: " + b"x" * (17 * 2**20)
    said = collected(CHAT, STREAM, text, b"\n\ndata: [DONE]\n\n")
    assert said == NOTHING


# --- what a chat's answer may have -------------------------------------------------------------------------------


def delta(**members):
    return {"choices": [{"index": 0, "delta": members}]}


def called(*pieces):
    return [delta(tool_calls=[piece]) for piece in pieces]


def chat(*objects):
    return collected(CHAT, STREAM, events(*objects, "[DONE]")).message


def call(at, name, arguments, **more):
    function = {"name": name, "arguments": arguments}
    return {"type": "function", "id": f"c{at}", **more, "function": function}


def test_tool_calls_are_put_together_by_their_index():
    message = chat(
        delta(role="assistant", content=None),
        *called(
            {
                "index": 0,
                "id": "c0",
                "type": "function",
                "function": {"name": "f", "arguments": ""},
            },
            {"index": 0, "function": {"arguments": '{"a"'}},
            {
                "index": 1,
                "id": "c1",
                "type": "function",
                "function": {"name": "g", "arguments": "{}"},
            },
            {"index": 0, "function": {"arguments": ":1}"}},
        ),
    )
    calls = [call(0, "f", '{"a":1}'), call(1, "g", "{}")]
    assert message == {"role": "assistant", "content": None, "tool_calls": calls}


@pytest.mark.parametrize(
    "pieces",
    [
        # the name again with every piece
        [
            {"index": 0, "id": "c0", "function": {"name": "f", "arguments": "{"}},
            {"index": 0, "id": "c0", "function": {"name": "f", "arguments": "}"}},
        ],
        # whole, and not numbered
        [{"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        [
            {"id": "c0", "function": {"name": "f", "arguments": "{"}},
            {"function": {"arguments": "}"}},
        ],
        # an object
        [{"index": 0, "id": "c0", "function": {"name": "f", "arguments": {}}}],
    ],
)
def test_engines_that_send_calls_in_their_own_way(pieces):
    assert chat(*called(*pieces))["tool_calls"] == [call(0, "f", "{}")]


def test_calls_that_are_not_numbered_are_told_apart_by_their_ids():
    pieces = [{"id": f"c{at}", "function": {"name": "f", "arguments": "{}"}} for at in range(2)]
    assert chat(*called(*pieces))["tool_calls"] == [call(0, "f", "{}"), call(1, "f", "{}")]


def test_what_else_a_call_has_is_kept():
    signed = {"google": {"thought_signature": "x"}}
    piece = {
        "index": 0,
        "id": "c0",
        "extra_content": signed,
        "function": {"name": "f", "arguments": "{}"},
    }
    assert chat(*called(piece))["tool_calls"] == [call(0, "f", "{}", extra_content=signed)]


def test_a_custom_tools_call():
    pieces = [
        {"index": 0, "id": "c0", "type": "custom", "custom": {"name": "f", "input": "any "}},
        {"index": 0, "custom": {"input": "text"}},
    ]
    assert chat(*called(*pieces))["tool_calls"] == [
        {"id": "c0", "type": "custom", "custom": {"name": "f", "input": "any text"}}
    ]


def test_the_call_of_old():
    pieces = [delta(function_call={"name": "f"}), delta(function_call={"arguments": "{}"})]
    assert chat(*pieces) == {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "f", "arguments": "{}"},
    }


def test_a_call_that_was_cut_off_was_never_made():
    pieces = [
        delta(content="let me see"),
        *called(
            {"index": 0, "id": "c0", "function": {"name": "f", "arguments": "{}"}},
            {"index": 1, "id": "c1", "function": {"name": "g", "arguments": '{"a":'}},
        ),
    ]
    said = collected(CHAT, STREAM, events(*pieces))
    assert said.message["tool_calls"] == [call(0, "f", "{}")]
    custom = {"index": 0, "id": "c0", "custom": {"name": "f", "input": "an"}}
    assert collected(CHAT, STREAM, events(*called(custom))) == NOTHING


def test_thoughts_have_one_name():
    assert chat(delta(reasoning="h"), delta(reasoning="m"), delta(content="yes")) == {
        "role": "assistant",
        "content": "yes",
        "reasoning_content": "hm",
    }
    both = chat(delta(reasoning="hm", reasoning_content="hm"))
    assert both == {"role": "assistant", "content": "", "reasoning_content": "hm"}


def test_a_refusal():
    assert chat(delta(refusal="I "), delta(refusal="won't")) == {
        "role": "assistant",
        "content": "",
        "refusal": "I won't",
    }


def test_of_several_answers_the_first_is_kept():
    other = {"choices": [{"index": 1, "delta": {"content": "b"}}]}
    assert chat(delta(content="a"), other, delta(content="c"))["content"] == "ac"
    plain = {
        "choices": [
            {"index": 1, "message": {"content": "b"}},
            {"index": 0, "message": {"content": "a"}},
        ]
    }
    assert collected(CHAT, JSON, json.dumps(plain).encode()).message["content"] == "a"


def test_an_answer_that_says_nothing_is_an_answer():
    assert chat(delta(role="assistant")) == {"role": "assistant", "content": ""}


def test_members_without_a_value_are_not_kept():
    message = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "tool_calls": [call(0, "f", "{}"), {"function": {}}, 3],
        "audio": {"id": "a"},
        "corral": {"anthropic": {}},
    }
    body = json.dumps({"choices": [{"message": message}]}).encode()
    assert collected(CHAT, JSON, body) == Said(
        {
            "role": "assistant",
            "content": None,
            "audio": {"id": "a"},
            "tool_calls": [call(0, "f", "{}")],
        },
        complete=True,
    )


# --- what an answer of Anthropic's may have ----------------------------------------------------------------------


def block(at, begun, *deltas, whole=True):
    yield {"type": "content_block_start", "index": at, "content_block": begun}
    for one in deltas:
        yield {"type": "content_block_delta", "index": at, "delta": one}
    if whole:
        yield {"type": "content_block_stop", "index": at}


def told(kind, name, *texts):
    return [{"type": kind, name: text} for text in texts]


START = {"type": "message_start", "message": {"id": "m", "role": "assistant", "content": []}}
STOP = {"type": "message_stop"}
THINKING = [
    *told("thinking_delta", "thinking", "h", "m"),
    *told("signature_delta", "signature", "s"),
]
USE = {"type": "tool_use", "id": "t", "name": "f", "input": {}}


def test_all_that_an_answer_of_anthropics_may_have():
    cited = {"type": "citations_delta", "citation": {"cited_text": "x"}}
    text = events(
        START,
        *block(0, {"type": "thinking", "thinking": "", "signature": ""}, *THINKING),
        *block(1, {"type": "redacted_thinking", "data": "d"}),
        {"type": "ping"},
        *block(2, {"type": "text", "text": ""}, *told("text_delta", "text", "a", "b"), cited),
        *block(3, USE, *told("input_json_delta", "partial_json", "", '{"a"', ":1}")),
        *block(4, {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}}),
        STOP,
    )
    said = collected(ANTHROPIC, STREAM, text)
    assert said.complete
    assert public(said) == {
        "role": "assistant",
        "content": "ab[server_tool_use]",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        ],
    }
    body = json.loads(ANTHROPIC.changes([], [said.message]).apply(b"{}"))
    assert body["messages"][0]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "ab", "citations": [{"cited_text": "x"}]},
        USE | {"input": {"a": 1}},
        {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}},
    ]


def test_an_answer_of_anthropics_that_was_cut_off():
    text = events(
        START,
        *block(0, {"type": "thinking", "thinking": ""}, *THINKING[:1], whole=False),
        *block(1, {"type": "text", "text": ""}, *told("text_delta", "text", "a"), whole=False),
        *block(2, USE, *told("input_json_delta", "partial_json", '{"a"'), whole=False),
    )
    message = {"role": "assistant", "content": "a", "reasoning_content": "h"}
    assert collected(ANTHROPIC, STREAM, text) == Said(message, complete=False)


def test_arguments_that_are_no_object():
    text = events(START, *block(0, USE, *told("input_json_delta", "partial_json", "[1]")), STOP)
    calls = collected(ANTHROPIC, STREAM, text).message["tool_calls"]
    assert calls[0]["function"]["arguments"] == '{"input":"[1]"}'


# --- what a response may have ------------------------------------------------------------------------------------

OUTPUT = [
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}]},
    {"type": "web_search_call", "id": "w", "status": "completed"},
    {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "status": "completed",
        "content": [
            {"type": "output_text", "text": "a", "annotations": []},
            {"type": "refusal", "refusal": "no"},
        ],
    },
    {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": '{"a":1}'},
    {"type": "custom_tool_call", "id": "g", "call_id": "d", "name": "g", "input": "any"},
    {"type": "local_shell_call", "id": "l", "call_id": "e", "action": {"command": ["ls"]}},
]
SAID = {
    "role": "assistant",
    "content": "[web_search_call]a",
    "reasoning_content": "hm",
    "refusal": "no",
    "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "d", "type": "function", "function": {"name": "g", "arguments": '{"input":"any"}'}},
        {
            "id": "e",
            "type": "function",
            "function": {"name": "local_shell", "arguments": '{"action":{"command":["ls"]}}'},
        },
    ],
}


def over(how="completed", **more):
    response = {"id": "resp_1", "status": how, **more}
    return {"type": f"response.{how}", "response": response}


@pytest.mark.parametrize("how", ["completed", "incomplete"])
def test_all_that_a_response_may_have(how):
    plain = json.dumps({"id": "resp_1", "status": how, "error": None, "output": OUTPUT}).encode()
    for said in (
        collected(RESPONSES, JSON, plain),
        collected(RESPONSES, STREAM, events(over(how, output=OUTPUT))),
    ):
        assert said.complete
        assert said.response_id == "resp_1"
        assert public(said) == SAID
        body = json.loads(RESPONSES.changes([], [said.message]).apply(b"{}"))
        assert body["input"] == OUTPUT


def test_a_response_that_does_not_say_at_its_end_what_it_was():
    items = [
        {"type": "response.output_item.done", "output_index": at, "item": item}
        for at, item in enumerate(OUTPUT)
    ]
    said = collected(RESPONSES, STREAM, events(*items, over()))
    assert (said.complete, public(said)) == (True, SAID)


@pytest.mark.parametrize("how", ["failed", "cancelled", "in_progress"])
def test_a_response_that_failed(how):
    plain = json.dumps({"id": "resp_1", "status": how, "output": OUTPUT}).encode()
    assert collected(RESPONSES, JSON, plain) == Said(None, complete=False, response_id="resp_1")
    assert not collected(RESPONSES, STREAM, events(over(how), "[DONE]")).complete


def test_a_response_that_was_cut_off():
    def added(at, item):
        return {"type": "response.output_item.added", "output_index": at, "item": item}

    def more(at, what, text):
        return {
            "type": f"response.{what}.delta",
            "output_index": at,
            "item_id": f"?{text}",
            "delta": text,
        }

    text = events(
        {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
        added(0, {"type": "reasoning", "id": "r", "summary": []}),
        more(0, "reasoning_summary_text", "h"),
        more(0, "reasoning_summary_text", "m"),
        added(1, {"type": "message", "id": "m", "role": "assistant", "content": []}),
        more(1, "output_text", "a"),
        more(1, "refusal", "no"),
        added(2, {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""}),
        more(2, "function_call_arguments", "{}"),
        added(3, {"type": "message", "id": "m", "role": "assistant", "content": []}),
        more(9, "output_text", "of an item that nobody has heard of"),
    )
    message = {"role": "assistant", "content": "a", "reasoning_content": "hm", "refusal": "no"}
    said = collected(RESPONSES, STREAM, text)
    assert said == Said(message, complete=False, response_id="resp_1")
