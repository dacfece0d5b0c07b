"""What engines are asked of their context and of prompts, and what is remembered of it."""

from __future__ import annotations

import asyncio
import json

import pytest

from corral.dialects.turns.chat import CHAT
from corral.errors import UpstreamInvalid, UpstreamTimeout, UpstreamUnreachable
from corral.gateway import counting
from corral.gateway.asking import ask
from corral.gateway.counting import Counting

PROPS = "/props"
COUNT = CHAT.count
TEMPLATE, TOKENIZE = "/apply-template", "/tokenize"
PROMPT = [{"role": "user", "content": "hi"}]


class Engine:
    """`ports.Upstream`: answers by path; (status, body), or an error."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    async def exchange(self, request, answer, *, connect, idle):
        path = request.target.decode()
        self.asked.append((path, request.body and json.loads(request.body)))
        told = self.answers.get(path, (404, {}))
        if isinstance(told, Exception):
            raise told
        if told == "hangs":
            await asyncio.Event().wait()
        status, body = told
        answer.head(status, [], self)
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        for at in range(0, len(text), 7):
            answer.body(text[at : at + 7])


def tokens(one, engine):
    return one.tokens(engine, "m", CHAT, b'{"messages": []}', PROMPT)


@pytest.mark.parametrize(
    ("props", "context"),
    [
        ((200, {"default_generation_settings": {"n_ctx": 4096}}), 4096),
        ((200, {"n_ctx": 512}), 512),
        ((200, {"default_generation_settings": {"n_ctx": 0}}), None),
        ((200, {"n_ctx": "many"}), None),
        ((200, b"<html>"), None),
        ((200, b"\xff"), None),
        ((404, {"n_ctx": 5}), None),
    ],
)
def test_the_context_is_asked_for_once(run, props, context):
    async def scene():
        one, engine = Counting(), Engine({PROPS: props})
        assert await one.context(engine) == context
        assert await one.context(engine) == context
        assert len(engine.asked) == 1

    run(scene())


@pytest.mark.parametrize(
    ("props", "again"),
    [((503, {}), 2), (UpstreamUnreachable("gone"), 2), (UpstreamTimeout("slow"), 1), ("hangs", 1)],
)
def test_an_engine_that_does_not_tell_now(run, props, again, monkeypatch):
    monkeypatch.setattr(counting, "PROPS_LIMIT", 0.01)

    async def scene():
        one, engine = Counting(), Engine({PROPS: props})
        assert [await one.context(engine) for _ in range(2)] == [None, None]
        assert len(engine.asked) == again

    run(scene())


def test_a_prompt_is_counted_in_one_call(run):
    async def scene():
        one, engine = Counting(), Engine({COUNT: (200, {"input_tokens": 7, "object": "x"})})
        assert await tokens(one, engine) == 7
        assert engine.asked == [(COUNT, {"messages": []})]

    run(scene())


def test_an_older_engine_is_asked_for_the_text_and_its_tokens(run):
    async def scene():
        engine = Engine(
            {TEMPLATE: (200, {"prompt": "user: hi"}), TOKENIZE: (200, {"tokens": [1, 2, 3]})}
        )
        one = Counting()
        assert [await tokens(one, engine) for _ in range(2)] == [3, 3]
        assert [path for path, _ in engine.asked] == [COUNT] + [TEMPLATE, TOKENIZE] * 2
        assert engine.asked[1][1] == {"model": "m", "messages": PROMPT}
        assert engine.asked[2][1]["content"] == "user: hi"

    run(scene())


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {COUNT: (200, {"input_tokens": "7"})},
        {COUNT: (500, {})},
        {COUNT: UpstreamUnreachable("gone")},
        {TEMPLATE: (200, {"prompt": "x"})},
        {TEMPLATE: (200, {"prompt": "x"}), TOKENIZE: (200, {"tokens": 3})},
    ],
)
def test_an_engine_that_cannot_count(run, answers):
    async def scene():
        assert await tokens(Counting(), Engine(answers)) is None

    run(scene())


def test_an_answer_without_end_is_not_kept(run):
    async def scene():
        engine = Engine({PROPS: (200, {"n_ctx": 5, "more": "x" * 50})})
        with pytest.raises(UpstreamInvalid):
            await ask(engine, b"GET", PROPS.encode(), within=30, longest=10)

    run(scene())


def test_an_engine_that_is_gone_is_forgotten(run):
    async def scene():
        one = Counting()
        await one.context(Engine({PROPS: (200, {"n_ctx": 5})}))
        assert repr(one) == "<Counting: 0 engines known>"

    run(scene())
