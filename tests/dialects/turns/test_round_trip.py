"""What is read of a request and written again is the same request; written for another API, it is one that this API reads."""

from __future__ import annotations

import json
import string

from hypothesis import assume, given
from hypothesis import strategies as st

from corral.dialects.turns.anthropic import ANTHROPIC
from corral.dialects.turns.chat import CHAT
from corral.dialects.turns.responses import RESPONSES

SHAPES = (CHAT, ANTHROPIC, RESPONSES)
PNG = "iVBORw0KGgo="

texts = st.text(st.characters(codec="utf-8"), max_size=12)
ids = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=8)
names = st.text(string.ascii_lowercase, min_size=1, max_size=6)
scalars = st.none() | st.booleans() | st.integers(-9, 9) | texts
inputs = st.dictionaries(names, scalars | st.lists(scalars, max_size=2), max_size=3)
arguments = inputs.map(json.dumps) | texts


def obj(**members):
    return st.fixed_dictionaries({name: _strategy(value) for name, value in members.items()})


def _strategy(value):
    return value if isinstance(value, st.SearchStrategy) else st.just(value)


def listed(items, **sizes):
    return st.lists(items, **{"max_size": 4} | sizes)


# --- chat --------------------------------------------------------------------------------------------------------

calls = (
    obj(id=ids, type="function", function=obj(name=names, arguments=arguments))
    | obj(id=ids, type="custom", custom=obj(name=names, input=texts))
    | obj(function=obj(name=names, arguments=inputs))
)
parts = (
    obj(type="text", text=texts)
    | obj(type="image_url", image_url=obj(url=st.just(f"data:image/png;base64,{PNG}") | texts))
    | obj(type="image_url", image_url=texts)
    | obj(type="input_audio", input_audio=obj(data=PNG, format="wav"))
    | obj(type="file", file=obj(file_data=st.just(f"data:application/pdf;base64,{PNG}") | texts))
    | obj(type="file", file=obj(filename=texts, file_data=f"data:application/pdf;base64,{PNG}"))
    | obj(type="refusal", refusal=texts)
    | obj(type="something_new", data=inputs)
)
contents = texts | listed(parts) | st.none()
chat_messages = (
    obj(role=st.sampled_from(["system", "developer", "user"]), content=contents)
    | obj(role="user", content=contents, name=names, unheard_of=inputs)
    | obj(role="assistant", content=contents, reasoning_content=texts)
    | obj(role="assistant", content=contents, tool_calls=listed(calls) | st.none())
    | obj(role="assistant", refusal=texts, audio=scalars)
    | obj(role="assistant", function_call=obj(name=names, arguments=arguments))
    | obj(role="tool", tool_call_id=ids, content=contents)
    | obj(role="function", name=names, content=contents)
)
chats = obj(messages=listed(chat_messages, min_size=1))

# --- Anthropic ---------------------------------------------------------------------------------------------------

sources = (
    obj(type="base64", media_type="image/png", data=PNG)
    | obj(type="url", url=texts)
    | obj(type="file", file_id=ids)
)
documents = sources | obj(type="text", media_type="text/plain", data=texts)
shown = (
    obj(type="text", text=texts)
    | obj(type="text", text=texts, citations=st.none() | st.just([]))
    | obj(type="image", source=sources)
    | obj(type="document", source=documents)
    | obj(type="document", source=documents, title=texts, context=texts)
    | obj(type="search_result", title=texts, content=listed(obj(type="text", text=texts)))
)
results = (
    obj(type="tool_result", tool_use_id=ids)
    | obj(type="tool_result", tool_use_id=ids, content=texts | listed(shown))
    | obj(type="tool_result", tool_use_id=ids, content=texts, is_error=st.booleans())
)
thought = (
    obj(type="text", text=texts)
    | obj(type="thinking", thinking=texts, signature=texts)
    | obj(type="thinking", thinking=texts)
    | obj(type="redacted_thinking", data=texts)
    | obj(type="tool_use", id=ids, name=names, input=inputs)
    | obj(type="tool_use", id=ids | texts.filter(bool), name=names, input=inputs, caller=inputs)
    | obj(type="server_tool_use", id=ids, name=names, input=inputs)
)
anthropic_messages = (
    obj(role="user", content=texts | listed(shown | results))
    | obj(role="assistant", content=texts | listed(thought))
    | obj(role="system", content=texts | listed(obj(type="text", text=texts)))
)
unmarked = st.fixed_dictionaries(
    {"messages": listed(anthropic_messages, min_size=1)},
    optional={"system": texts | listed(obj(type="text", text=texts))},
)


@st.composite
def marked(draw):
    """With up to three places marked for the cache."""
    body = json.loads(json.dumps(draw(unmarked)))
    lists = [body.get("system"), *(message["content"] for message in body["messages"])]
    blocks = [block for one in lists if isinstance(one, list) for block in one]
    if blocks:
        for at in draw(st.sets(st.integers(0, len(blocks) - 1), max_size=3)):
            blocks[at]["cache_control"] = {"type": "ephemeral"}
    return body


# --- Responses ---------------------------------------------------------------------------------------------------

inputs_shown = (
    obj(type="input_text", text=texts)
    | obj(type="input_image", image_url=texts, detail=st.sampled_from(["auto", "low"]))
    | obj(type="input_image", file_id=ids)
    | obj(type="input_file", filename=texts, file_data=texts)
    | obj(type="input_file", file_url=texts)
    | obj(type="input_audio", input_audio=obj(data=PNG, format="wav"))
    | obj(type="something_new", data=inputs)
)
outputs_shown = obj(type="output_text", text=texts, annotations=listed(inputs)) | obj(
    type="refusal", refusal=texts
)
items = (
    obj(role=st.sampled_from(["user", "system", "developer"]), content=texts | listed(inputs_shown))
    | obj(type="message", role="assistant", content=texts | listed(outputs_shown))
    | obj(
        type="message",
        role="assistant",
        id=ids,
        status="completed",
        content=listed(outputs_shown),
        phase=texts,
    )
    | obj(type="reasoning", id=ids, summary=listed(obj(type="summary_text", text=texts)))
    | obj(
        type="reasoning",
        summary=st.just([]),
        content=listed(obj(type="reasoning_text", text=texts)),
        encrypted_content=texts,
    )
    | obj(type="function_call", call_id=ids, name=names, arguments=arguments, id=ids)
    | obj(type="function_call_output", call_id=ids, output=texts | listed(inputs_shown))
    | obj(type="custom_tool_call", call_id=ids, name=names, input=texts)
    | obj(type="custom_tool_call_output", call_id=ids, output=texts)
    | obj(type="local_shell_call", call_id=ids, action=inputs, status="completed")
    | obj(type="computer_call_output", call_id=ids, output=inputs)
    | obj(type="web_search_call", id=ids, status="completed")
    | obj(type="mcp_approval_response", approval_request_id=ids, approve=st.booleans())
    | obj(type="item_reference", id=ids)
)
responses = st.fixed_dictionaries(
    {"input": texts | listed(items, min_size=1)}, optional={"instructions": texts | st.none()}
)

bodies = (
    st.tuples(st.just(CHAT), chats)
    | st.tuples(st.just(ANTHROPIC), marked())
    | st.tuples(st.just(RESPONSES), responses)
)


def encoded(body):
    return json.dumps(body).encode()


def written(shape, asked, before=b"{}"):
    return json.loads(shape.changes(asked.system, asked.messages).apply(before))


@given(chats)
def test_a_chat_stays_as_it_is(body):
    body |= {"model": "m", "stream": True}
    before = encoded(body | {"session_id": "s"})
    assert written(CHAT, CHAT.read(before), before) == body


@given(marked())
def test_a_request_of_anthropics_stays_what_it_is(body):
    body |= {"model": "m", "max_tokens": 5}
    before = encoded(body | {"session_id": "s"})
    after = written(ANTHROPIC, ANTHROPIC.read(before), before)
    assert _anthropic(after) == _anthropic(body)


def _anthropic(body):
    """The body as the API understands it: a text is a block, the user's messages that follow each other are one, and so is what the
    system says first; an empty text is none."""
    system, messages = list(_blocks(body.get("system"))), []
    for message in body["messages"]:
        blocks = list(_blocks(message["content"]))
        if message["role"] == "system" and not messages:
            system += blocks
        elif messages and messages[-1][0] == message["role"] == "user":
            messages[-1] = ("user", [*messages[-1][1], *blocks])
        else:
            messages.append((message["role"], blocks))
    return {**body, "system": system, "messages": messages}


def _blocks(content):
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    return [block for block in blocks if block != {"type": "text", "text": ""}]


@given(responses)
def test_a_request_for_a_response_stays_what_it_is(body):
    body |= {"model": "m", "store": True}
    before = encoded(body | {"session_id": "s", "previous_response_id": "r"})
    after = written(RESPONSES, RESPONSES.read(before), before)
    assert _responses(after) == _responses(body)


def _responses(body):
    """The body as the API understands it: instructions are what the system says first; ids need not come back."""
    given = body["input"]
    said = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if body.get("instructions"):
        said = [{"role": "system", "content": body["instructions"]}, *said]
    rest = {name: body[name] for name in body if name != "instructions"}
    return rest | {"input": list(map(_item, said))}


def _item(item):
    item = {"type": "message"} | item
    if item["type"] not in ("message", "function_call", "function_call_output"):
        return item
    content = item.get("content")
    if isinstance(content, str) and item["role"] == "assistant":
        item["content"] = [{"type": "output_text", "text": content, "annotations": []}]
    return {name: item[name] for name in item if name not in ("id", "status")}


@given(bodies, st.sampled_from(SHAPES))
def test_what_is_written_for_another_api_is_what_it_reads(body, other):
    shape, said = body
    asked = shape.read(encoded(said))
    assume(asked.messages)
    again = other.read(encoded(written(other, asked)))
    assert again.messages
    assert written(other, other.read(encoded(written(other, again)))) == written(other, again)


@given(bodies)
def test_no_member_of_corrals_leaves_it(body):
    shape, said = body
    asked = shape.read(encoded(said))
    for other in SHAPES:
        changes = other.changes(asked.system, asked.messages)
        for value in json.loads(changes.apply(b"{}")).values():
            for message in value if isinstance(value, list) else ():
                assert "corral" not in message


@given(bodies)
def test_what_was_read_is_json_and_can_be_kept(body):
    shape, said = body
    asked = shape.read(encoded(said))
    kept = json.loads(json.dumps([*asked.system, *asked.messages]))
    assert kept == [*asked.system, *asked.messages]
