"""What is read of a conversation's request, and how it is told what is wrong with one."""

from __future__ import annotations

import json

import pytest

from corral.dialects.endpoints import ENDPOINTS, find
from corral.dialects.turns.anthropic import ANTHROPIC
from corral.dialects.turns.chat import CHAT
from corral.dialects.turns.responses import RESPONSES
from corral.dialects.turns.shapes import shape_of
from corral.errors import InvalidRequest

HI = {"role": "user", "content": "hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def encoded(body):
    return json.dumps(body).encode()


def chat(*messages, **more):
    return CHAT.read(encoded({"messages": messages, **more}))


def anthropic(*messages, **more):
    return ANTHROPIC.read(encoded({"messages": messages, **more}))


def response(*items, **more):
    return RESPONSES.read(encoded({"input": items, **more}))


# --- which routes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v/chat/completions", CHAT),
        ("/v1/messages", ANTHROPIC),
        ("/v/messages", ANTHROPIC),
        ("/v1/responses", RESPONSES),
        ("/v/responses", RESPONSES),
    ],
)
def test_routes_of_conversations(path, shape):
    assert shape_of(find("POST", path)) is shape


def test_no_other_route_is_one():
    assert sum(shape_of(endpoint) is not None for endpoint in ENDPOINTS) == 6
    assert shape_of(find("POST", "/v1/messages/count_tokens")) is None


def test_every_shape_names_itself():
    assert [shape.name for shape in (CHAT, ANTHROPIC, RESPONSES)] == [
        "chat",
        "anthropic",
        "responses",
    ]


# --- what is read ------------------------------------------------------------------------------------------------


def test_the_leading_system_messages_are_the_system():
    first, second = {"role": "system", "content": "a"}, {"role": "developer", "content": "b"}
    late = {"role": "system", "content": "c"}
    asked = chat(first, second, HI, late)
    assert asked.system == (first, second)
    assert asked.messages == (HI, late)


def test_anthropics_system_is_the_system():
    asked = anthropic(HI, system="be kind")
    assert asked.system == ({"role": "system", "content": "be kind"},)
    assert asked.messages == (HI,)


def test_instructions_and_what_the_developer_says_first_are_the_system():
    asked = response({"role": "developer", "content": "b"}, HI, instructions="a")
    assert [message["content"] for message in asked.system] == ["a", "b"]
    assert asked.messages == (HI,)


def test_a_text_is_one_message():
    assert RESPONSES.read(b'{"input": "hi"}').messages == (HI,)


@pytest.mark.parametrize("read", [chat, anthropic, response])
def test_what_else_a_conversation_needs(read):
    tools = [{"name": "f"}]
    assert read(HI, tools=tools).extra == len(json.dumps(tools))
    bare = read(HI, tools=None)
    assert (bare.choices, bare.reply, bare.extra) == (1, None, 0)


@pytest.mark.parametrize(
    ("members", "reply"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
        ({"n_predict": 3}, 3),
        ({"max_tokens": -1}, None),
        ({"max_tokens": "5"}, None),
        ({"max_tokens": True}, None),
    ],
)
def test_how_long_an_answer_may_be(members, reply):
    assert chat(HI, **members).reply == reply


def test_how_long_an_answer_may_be_for_others():
    assert anthropic(HI, max_tokens=9).reply == 9
    assert response(HI, max_output_tokens=9).reply == 9


@pytest.mark.parametrize(("n", "choices"), [(3, 3), (0, 1), (None, 1), ("3", 1)])
def test_how_many_answers(n, choices):
    assert chat(HI, n=n).choices == choices


def test_members_of_a_wrong_type_say_nothing_where_no_conversation_needs_them():
    assert chat(HI, session_id=3, stream="yes", store="no", tools=7).extra == 1


def test_nobody_can_write_what_corral_keeps():
    asked = chat(HI | {"corral": {"anthropic": {"blocks": 3}}})
    assert asked.messages == (HI,)


def test_what_engines_take_is_not_refused():
    asked = chat(
        {"role": "user", "content": ""},
        {"role": "user", "content": None},
        {"role": "user", "content": [], "name": "n", "unheard_of": 1},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "content": None, "tool_calls": None},
        {"role": "assistant", "content": "", "tool_calls": []},
        {"role": "assistant", "tool_calls": [{"type": "custom", "custom": {"name": "f"}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]},
        {"role": "function", "name": "f", "content": "x"},
        {"role": "user", "content": [{"type": "something_new"}]},
    )
    assert len(asked.messages) == 11


# --- what is wrong -----------------------------------------------------------------------------------------------

NO_JSON = [
    (b"", "the body is empty"),
    (b"[]", "the body must be a JSON object"),
    (b"{", "the body is not JSON"),
    (b'{"\xff": 1}', "the body is not JSON"),
    (b'{"messages": ' + b"[" * 100_000, "the body is nested too deeply"),
]


@pytest.mark.parametrize("shape", [CHAT, ANTHROPIC, RESPONSES])
@pytest.mark.parametrize(("body", "problem"), NO_JSON)
def test_a_body_that_cannot_be_read(shape, body, problem):
    with pytest.raises(InvalidRequest, match=problem):
        shape.read(body)


LISTS = [
    (None, "`{}` is missing; send "),
    (3, "`{}` must be .*, not a number"),
    ({}, "`{}` must be .*, not an object"),
    ([], "`{}` is empty"),
    ([3], r"{}\[0\]: must be an object, not a number"),
    ([HI, None], r"{}\[1\]: must be an object, not null"),
    ([HI, "x"], r"{}\[1\]: must be an object, not text"),
    ([HI, [HI]], r"{}\[1\]: must be an object, not a list"),
    ([HI, {"content": "x"}], r"{}\[1\]: has no `role`; it is one of "),
    ([HI, {"role": "robot", "content": "x"}], r"{}\[1\]: `role` must be one of .*, not 'robot'"),
    ([HI, {"role": True, "content": "x"}], r"{}\[1\]: `role` must be one of .*, not true"),
    ([HI, {"role": "user", "content": 3}], r"{}\[1\]: `content` must be text or a list of parts"),
    ([HI, {"role": "user", "content": False}], r"{}\[1\]: `content` must be .*, not false"),
    ([{"role": "user", "content": ["x"]}], r"{}\[0\].content\[0\]: must be an object, not text"),
    ([{"role": "user", "content": [{}]}], r"{}\[0\].content\[0\]: `type` must be text, not null"),
    ([{"role": "user", "content": [{"type": ""}]}], r"{}\[0\].content\[0\]: `type` is empty"),
]


@pytest.mark.parametrize(
    ("shape", "name"), [(CHAT, "messages"), (ANTHROPIC, "messages"), (RESPONSES, "input")]
)
@pytest.mark.parametrize(("value", "problem"), LISTS)
def test_a_list_of_messages_that_is_none(shape, name, value, problem):
    with pytest.raises(InvalidRequest, match=problem.format(name)):
        shape.read(encoded({name: value}))


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"role": "tool", "content": "x"}, r"\[1\]: `tool_call_id` must be text, not null"),
        ({"role": "tool", "tool_call_id": ""}, r"\[1\]: `tool_call_id` is empty"),
        ({"role": "user", "tool_calls": [CALL]}, r"\[1\]: `tool_calls` are the assistant's"),
        ({"role": "assistant", "tool_calls": {}}, r"\[1\]: `tool_calls` must be a list"),
        ({"role": "assistant", "tool_calls": ["x"]}, r"\[1\].tool_calls\[0\]: must be an object"),
        (
            {"role": "assistant", "tool_calls": [{}]},
            r"\[1\].tool_calls\[0\].function: must be an object",
        ),
        (
            {"role": "assistant", "tool_calls": [CALL, {"function": {"name": ""}}]},
            r"\[1\].tool_calls\[1\].function: `name` is empty",
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 3}}]},
            r"\[1\].tool_calls\[0\].function: `arguments` must be text, not a number",
        ),
        (
            {"role": "user", "content": [{"type": "text", "text": None}]},
            r"\[1\].content\[0\]: `text` must be text, not null",
        ),
    ],
)
def test_a_chat_message_that_is_wrong(message, problem):
    with pytest.raises(InvalidRequest, match=r"messages" + problem):
        chat(HI, message)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"role": "user"}, r"\[1\]: has no `content`"),
        ({"role": "tool", "content": "x"}, r"\[1\]: `role` must be one of"),
        ({"role": "user", "content": [{"type": "text"}]}, r"\[0\]: `text` must be text, not null"),
        (
            {"role": "user", "content": [{"type": "tool_result"}]},
            r"\[1\].content\[0\]: `tool_use_id` must be text",
        ),
        (
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "a", "content": 3}],
            },
            r"\[1\].content\[0\]: `content` must be text or a list of parts, not a number",
        ),
        (
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}
                ],
            },
            r"\[1\].content\[0\].content\[0\]: `text` must be text",
        ),
        (
            {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}]},
            r"\[1\].content\[0\]: `id` must be text",
        ),
        (
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "input": {}}]},
            r"\[1\].content\[0\]: `name` must be text",
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "a", "name": "f", "input": "x"}],
            },
            r"\[1\].content\[0\]: `input` must be an object, not text",
        ),
    ],
)
def test_a_message_of_anthropics_that_is_wrong(message, problem):
    with pytest.raises(InvalidRequest, match=problem):
        anthropic(HI, message)


@pytest.mark.parametrize(
    ("system", "problem"),
    [
        (3, "the body: `system` must be text or a list of parts, not a number"),
        ([3], r"the body.system\[0\]: must be an object"),
        ([{"type": "text"}], r"the body.system\[0\]: `text` must be text"),
    ],
)
def test_a_system_prompt_that_is_wrong(system, problem):
    with pytest.raises(InvalidRequest, match=problem):
        anthropic(HI, system=system)


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"type": 3}, r"\[1\]: `type` must be text, not a number"),
        ({"role": "user"}, r"\[1\]: has no `content`"),
        (
            {"role": "user", "content": [{"type": "input_text"}]},
            r"content\[0\]: `text` must be text",
        ),
        ({"type": "function_call", "name": "f"}, r"\[1\]: `call_id` must be text, not null"),
        ({"type": "function_call", "call_id": "a"}, r"\[1\]: `name` must be text, not null"),
        (
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": {}},
            r"\[1\]: `arguments` must be text, not an object",
        ),
        ({"type": "function_call_output", "output": "x"}, r"\[1\]: `call_id` must be text"),
        ({"type": "function_call_output", "call_id": "a"}, r"\[1\]: has no `output`"),
        (
            {"type": "function_call_output", "call_id": "a", "output": 3},
            r"\[1\]: `output` must be text or a list of parts, not a number",
        ),
        ({"type": "shell_call", "call_id": 3}, r"\[1\]: `call_id` must be text, not a number"),
    ],
)
def test_an_item_that_is_wrong(item, problem):
    with pytest.raises(InvalidRequest, match=problem):
        response(HI, item)


def test_instructions_that_are_wrong():
    with pytest.raises(InvalidRequest, match="`instructions` must be text, not a list"):
        response(HI, instructions=[])


@pytest.mark.parametrize("depth", [100, 450, 900, 5000])
@pytest.mark.parametrize(
    ("shape", "name"), [(CHAT, "messages"), (ANTHROPIC, "messages"), (RESPONSES, "input")]
)
def test_a_message_that_is_nested_deeply_is_read_or_refused(shape, name, depth):
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"%b":[{"role":"user","content":[{"type":"new","data":%b}]}]}' % (
        name.encode(),
        nested,
    )
    try:
        asked = shape.read(body)
    except InvalidRequest as error:
        assert "nested too deeply" in error.message  # noqa: PT017 - either is right, by how deep the stack is
    else:
        assert len(asked.messages) == 1
