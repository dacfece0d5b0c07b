"""A conversation that began on one API goes on with another: what becomes of each kind of thing."""

from __future__ import annotations

import json

import pytest
from anthropic.types import MessageParam
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseInputItemParam
from pydantic import TypeAdapter

from corral.dialects.turns import blocks
from corral.dialects.turns.anthropic import ANTHROPIC, MARKS
from corral.dialects.turns.chat import CHAT
from corral.dialects.turns.responses import RESPONSES

PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
HI = {"role": "user", "content": "hi"}


def call(name="f", arguments='{"a": 1}', id="c"):  # noqa: A002 - the API's name
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def of(shape, body):
    return shape.read(json.dumps(body).encode())


def by(shape, *messages, system=()):
    return json.loads(shape.changes(system, messages).apply(b'{"session_id": "s"}'))


def asked(*calls, **more):
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def answered(text="sunny", id="c"):  # noqa: A002 - the API's name
    return {"role": "tool", "tool_call_id": id, "content": text}


def anthropic(*messages):
    return by(ANTHROPIC, *messages)["messages"]


def response(*messages):
    return by(RESPONSES, *messages)["input"]


def content(message):
    return anthropic(message)[0]["content"]


def items(message):
    return response(message)


# --- from chat to the others -------------------------------------------------------------------------------------


def test_a_tools_chain():
    said = [HI, asked(call(), call("g", "{}", "d")), answered(), answered("rainy", "d"), HI]
    assert anthropic(*said) == [
        HI,
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "d", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": "sunny"},
                {"type": "tool_result", "tool_use_id": "d", "content": "rainy"},
                {"type": "text", "text": "hi"},
            ],
        },
    ]
    assert response(*said) == [
        {"type": "message", **HI},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
        {"type": "function_call", "call_id": "d", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "sunny"},
        {"type": "function_call_output", "call_id": "d", "output": "rainy"},
        {"type": "message", **HI},
    ]


def test_the_call_of_old_and_its_result():
    single = {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "f", "arguments": "{}"},
    }
    result = {"role": "function", "name": "f", "content": "x"}
    assert anthropic(single, result) == [
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "f", "name": "f", "input": {}}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "f", "content": "x"}]},
    ]
    assert response(single, result) == [
        {"type": "function_call", "call_id": "f", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "f", "output": "x"},
    ]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("", {}),
        (" ", {}),
        ("[1]", {"input": "[1]"}),
        ('{"a":', {"input": '{"a":'}),
        ("[" * 100_000, {"input": "[" * 100_000}),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_arguments_are_an_object_for_anthropic(arguments, wanted):
    assert content(asked(call(arguments=arguments)))[0]["input"] == wanted


def test_arguments_are_text_for_responses():
    assert items(asked(call(arguments={"a": 1})))[0]["arguments"] == '{"a":1}'


def test_a_custom_tools_call_is_a_functions():
    custom = {"id": "c", "type": "custom", "custom": {"name": "f", "input": "any text"}}
    assert content(asked(custom))[0]["input"] == {"input": "any text"}
    assert items(asked(custom))[0]["arguments"] == '{"input":"any text"}'


def test_a_call_of_a_kind_that_nobody_knows():
    assert content(asked({"type": "new", "id": 3})) == [
        {"type": "tool_use", "id": "_", "name": "_", "input": {}}
    ]


def test_ids_that_anthropics_api_does_not_take():
    said = [asked(call(id="functions.f:0")), answered(id="functions.f:0")]
    use, result = (message["content"][0] for message in anthropic(*said))
    assert use["id"] == result["tool_use_id"] == "functions_f_0"


def test_thoughts_and_refusals():
    said = {"role": "assistant", "content": "a", "reasoning_content": "hm", "refusal": "no"}
    assert content(said) == [{"type": "text", "text": "a"}, {"type": "text", "text": "no"}]
    assert items(said) == [{"type": "message", "role": "assistant", "content": "a\nno"}]


def text_block(text):
    return {"type": "text", "text": text}


def input_text(text):
    return {"type": "input_text", "text": text}


@pytest.mark.parametrize(
    ("part", "block", "item"),
    [
        (text_block("x"), text_block("x"), input_text("x")),
        ({"type": "refusal", "refusal": "x"}, text_block("x"), input_text("x")),
        (
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
            },
            {"type": "input_image", "image_url": PNG, "detail": "low"},
        ),
        (
            {"type": "image_url", "image_url": "https://example.com/a.png"},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            {"type": "input_image", "image_url": "https://example.com/a.png"},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
            {
                "type": "document",
                "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            },
            {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
        ),
        (
            {"type": "file", "file": {"file_id": "f"}},
            text_block("[file]"),
            {"type": "input_file", "file_id": "f"},
        ),
        ({"type": "file", "file": {"file_data": "x"}}, text_block("[file]"), None),
        (
            {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
            text_block("[input_audio]"),
            {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
        ),
        (
            {"type": "video_url", "video_url": 3},
            text_block("[video_url]"),
            input_text("[video_url]"),
        ),
    ],
)
def test_a_part(part, block, item):
    said = {"role": "user", "content": [part]}
    assert content(said) == [block]
    if item:
        assert items(said)[0]["content"] == [item]


def test_who_speaks_late():
    late = {"role": "developer", "content": "be brief"}
    assert anthropic(HI, late) == [HI, {"role": "system", "content": "be brief"}]
    assert response(HI, late)[1] == {"type": "message", **late}


def test_the_system_prompts():
    system = [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}]
    assert by(CHAT, HI, system=system) == {"messages": [*system, HI]}
    written = by(ANTHROPIC, HI, system=system)
    assert written == {"system": [text_block("a"), text_block("b")], "messages": [HI]}
    assert by(RESPONSES, HI, system=system) == {
        "instructions": "a",
        "input": [{"type": "message", **system[1]}, {"type": "message", **HI}],
    }
    assert by(ANTHROPIC, HI, system=system[:1])["system"] == "a"


@pytest.mark.parametrize("shape", [CHAT, ANTHROPIC, RESPONSES])
def test_a_system_prompt_that_is_taken_away(shape):
    body = b'{"system": "x", "instructions": "x", "session_id": "s", "top_k": 1.0}'
    after = json.loads(shape.changes([], [HI]).apply(body))
    assert "session_id" not in after
    assert after["top_k"] == 1
    assert ("system" in after) == (shape is not ANTHROPIC)
    assert ("instructions" in after) == (shape is not RESPONSES)


def test_only_responses_knows_of_the_answer_before():
    body = b'{"previous_response_id": "r"}'
    for shape in (CHAT, ANTHROPIC, RESPONSES):
        after = json.loads(shape.changes([], [HI]).apply(body))
        assert ("previous_response_id" in after) == (shape is not RESPONSES)


# --- from the others to chat -------------------------------------------------------------------------------------


def chat(*messages):
    return by(CHAT, *messages)["messages"]


def test_anthropics_blocks_as_chat_messages():
    image = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    mark = {"cache_control": {"type": "ephemeral"}}
    said = of(
        ANTHROPIC,
        {
            "system": [text_block("be kind") | mark],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        text_block("see") | mark,
                        {"type": "image", "source": image},
                        {"type": "image", "source": {"type": "url", "url": "u"}},
                        {"type": "image", "source": {"type": "file", "file_id": "f"}},
                        {"type": "document", "source": image | {"media_type": "application/pdf"}},
                        {"type": "document", "source": {"type": "text", "data": "plain"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "s"},
                        {"type": "redacted_thinking", "data": "d"},
                        text_block("let me "),
                        text_block("see"),
                        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c", "is_error": True},
                        {"type": "tool_result", "tool_use_id": "d", "content": [text_block("x")]},
                        text_block("and?"),
                    ],
                },
            ],
        },
    )
    assert by(CHAT, *said.messages, system=said.system)["messages"] == [
        {"role": "system", "content": [text_block("be kind")]},
        {
            "role": "user",
            "content": [
                text_block("see"),
                {"type": "image_url", "image_url": {"url": PNG}},
                {"type": "image_url", "image_url": {"url": "u"}},
                text_block("[image]"),
                {
                    "type": "file",
                    "file": {
                        "filename": "document",
                        "file_data": "data:application/pdf;base64,iVBORw0KGgo=",
                    },
                },
                text_block("plain"),
            ],
        },
        {
            "role": "assistant",
            "content": "let me see",
            "reasoning_content": "hm",
            "tool_calls": [call(arguments='{"a":1}')],
        },
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {"role": "tool", "tool_call_id": "d", "content": [text_block("x")]},
        {"role": "user", "content": [text_block("and?")]},
    ]


def test_items_as_chat_messages():
    said = of(
        RESPONSES,
        {
            "input": [
                {
                    "role": "user",
                    "content": [
                        input_text("see"),
                        {"type": "input_image", "image_url": PNG, "detail": "low"},
                        {"type": "input_image", "file_id": "f"},
                        {"type": "input_file", "file_id": "f"},
                        {"type": "input_file", "file_url": "u"},
                    ],
                },
                {
                    "type": "reasoning",
                    "id": "r",
                    "summary": [{"type": "summary_text", "text": "in short"}],
                    "content": [{"type": "reasoning_text", "text": "hm"}, 3],
                },
                {"type": "message", "role": "assistant", "content": "let me see"},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
                {"type": "function_call_output", "call_id": "c", "output": [input_text("sunny")]},
                {"type": "computer_call_output", "call_id": "d", "output": {"image_url": "u"}},
                {"type": "mcp_approval_response", "approve": True},
                {"type": "item_reference", "id": "x"},
            ]
        },
    )
    assert chat(*said.messages) == [
        {
            "role": "user",
            "content": [
                text_block("see"),
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                text_block("[input_image]"),
                {"type": "file", "file": {"file_id": "f"}},
                text_block("[input_file]"),
            ],
        },
        {
            "role": "assistant",
            "content": "let me see",
            "reasoning_content": "hm",
            "tool_calls": [call()],
        },
        {"role": "tool", "tool_call_id": "c", "content": [text_block("sunny")]},
        {"role": "tool", "tool_call_id": "d", "content": "[computer_call_output]"},
        {"role": "user", "content": "[mcp_approval_response]"},
        {"role": "assistant", "content": "[item_reference]"},
    ]


# --- as the official clients have it ----------------------------------------------------------------------------------

CHAT_MESSAGE = TypeAdapter(ChatCompletionMessageParam)
ANTHROPIC_MESSAGE = TypeAdapter(MessageParam)
ITEM = TypeAdapter(ResponseInputItemParam)


@pytest.mark.parametrize(
    "message",
    [
        HI,
        {
            "role": "user",
            "content": [
                text_block("x"),
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            ],
        },
        {"role": "assistant", "content": "x", "reasoning_content": "hm"},
        {"role": "assistant", "content": [text_block("x"), {"type": "refusal", "refusal": "no"}]},
        {"role": "assistant", "content": None, "refusal": "no"},
        asked(call(), call("g", "nonsense", "d")),
        asked(call(), content="let me see"),
        answered(),
        answered([text_block("x")]),
        {"role": "system", "content": "be brief"},
        {"role": "system", "content": [text_block("be brief")]},
    ],
)
def test_the_official_types_know_what_is_written(message):
    """Dumping consumes what is validated lazily; what the types do not know is a warning, or an error."""
    for written, adapter in (
        (chat(message), CHAT_MESSAGE),
        (anthropic(message), ANTHROPIC_MESSAGE),
        (response(message), ITEM),
    ):
        for one in written:
            adapter.dump_python(adapter.validate_python(one))


# --- what is kept for the API it came by -------------------------------------------------------------------------

THOUGHT = {
    "role": "assistant",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        text_block("let me see"),
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
    ],
}


def test_what_has_been_changed_since_is_written_as_it_is_now():
    (message,) = of(ANTHROPIC, {"messages": [THOUGHT]}).messages
    assert anthropic(message) == [THOUGHT]
    without = {name: message[name] for name in message if name != "tool_calls"}
    assert content(without) == [text_block("let me see")]
    longer = message | {"content": "so, let me see"}
    assert content(longer)[0] == text_block("so, let me see")
    (run,) = of(RESPONSES, {"input": [{"type": "item_reference", "id": "x"}]}).messages
    assert items(run) == [{"type": "item_reference", "id": "x"}]
    assert items(run | {"content": "x"})[0]["content"] == "x"


def test_a_simple_answer_is_kept_once():
    for body in (
        {"messages": [{"role": "assistant", "content": [text_block("x")]}]},
        {"messages": [{"role": "user", "content": [text_block("x")]}]},
    ):
        assert "corral" not in of(ANTHROPIC, body).messages[0]
    output = {"type": "output_text", "text": "x", "annotations": [], "logprobs": []}
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    assert "corral" not in of(RESPONSES, {"input": [item | {"content": [output]}]}).messages[0]


def test_a_mark_is_kept_beside_what_it_stands_at():
    mark = {"type": "ephemeral"}
    body = {"messages": [{"role": "user", "content": [text_block("x") | {"cache_control": mark}]}]}
    (message,) = of(ANTHROPIC, body).messages
    assert message["corral"] == {"anthropic": {"marks": {"0": mark}}}
    assert by(ANTHROPIC, message) == body
    assert chat(message) == [{"role": "user", "content": [text_block("x")]}]


def test_no_more_marks_than_the_api_takes_the_newest_stay():
    """Each request of a client marks its own newest message: the history has all of them."""
    mark = {"cache_control": {"type": "ephemeral"}}
    one = {"role": "user", "content": [text_block("x") | mark]}
    asked = of(ANTHROPIC, {"system": [text_block("s") | mark], "messages": [one] * 9})
    written = by(ANTHROPIC, *asked.messages, system=asked.system)
    assert written["system"] == [text_block("s") | mark]
    marked = ["cache_control" in message["content"][0] for message in written["messages"]]
    assert marked == [False] * 7 + [True] * (MARKS - 1)


def test_blocks_that_are_no_result_after_results():
    body = {
        "messages": [
            {
                "role": "user",
                "content": [
                    text_block("first"),
                    {"type": "tool_result", "tool_use_id": "c", "content": "x"},
                    text_block("last"),
                ],
            }
        ]
    }
    said = of(ANTHROPIC, body).messages
    assert [message["role"] for message in said] == ["user", "tool", "user"]
    assert [one["content"] for one in by(ANTHROPIC, *said)["messages"]] == [
        [text_block("first")],
        [{"type": "tool_result", "tool_use_id": "c", "content": "x"}, text_block("last")],
    ]


def test_an_empty_text_after_a_result_is_none():
    said = anthropic(answered(), {"role": "user", "content": ""})
    assert said[0]["content"] == [{"type": "tool_result", "tool_use_id": "c", "content": "sunny"}]


def test_a_part_without_a_place_is_a_text():
    assert blocks.instead({"type": "new"}) == text_block("[new]")
