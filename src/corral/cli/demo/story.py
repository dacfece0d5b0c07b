"""The story: a voice assistant with two small models, and a coding agent whose big one needs the whole machine."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from corral.cli import address
from corral.cli.client import Corral
from corral.cli.demo import files, server
from corral.cli.exits import Exit, Failure, answer, say

START = 30.0
"""Seconds the server may take to answer."""


@dataclass(frozen=True, slots=True)
class Step:
    """Someone asks `model`; then exactly `running` run, and `why`."""

    title: str
    model: str
    running: frozenset[str]
    why: str


STORY = (
    Step(
        "Someone speaks to the voice assistant",
        "chat-small",
        frozenset({"chat-small"}),
        "loaded because it was asked for; nothing else was",
    ),
    Step(
        "The assistant thinks hard",
        "think-small",
        frozenset({"chat-small", "think-small"}),
        "the set `voice` allows both, so it joins",
    ),
    Step(
        "A coding session begins",
        "think-big",
        frozenset({"think-big"}),
        "the set `coding` is think-big alone: both voice models left for it",
    ),
    Step(
        "Back to the voice assistant",
        "chat-small",
        frozenset({"chat-small"}),
        "think-big left for it; think-small returns when it is asked for",
    ),
)

TRY = """
The server goes on at {url} until Ctrl-C. Try, in another terminal:

  curl -s {url}/running
  curl -s {url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "think-small", "max_tokens": 16, "messages": [{{"role": "user", "content": "hi"}}]}}'
  curl -sN {url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "think-big", "max_tokens": 16, "stream": true, "messages": [{{"role": "user", "content": "hi"}}]}}'

What it served: {config}
What it says:   {log}"""


def run(*, leave: bool) -> None:
    """Tell the story on a server of our own; unless `leave`, keep that running until Ctrl-C. Raises Failure."""
    where = files.folder()
    config, log = files.write(where), where / "server.log"
    port = server.free_port()
    url = address.url(("127.0.0.1", port))
    with server.running(server.command(config, port), log) as child:
        asyncio.run(tell(url, child, log))
        if not leave:
            answer(TRY.format(url=url, config=config, log=log))
            _stay(child, log)


async def tell(url: str, child: subprocess.Popen[bytes], log: Path) -> None:
    """The four steps, printed as they happen. Failure when one does not go as the story says."""
    async with Corral(url) as corral:
        await _answering(corral, child, log)
        answer(f"Three tiny models behind {url}, and a rule about which may run together.")
        for number, step in enumerate(STORY, 1):
            await _take(corral, number, step)


async def _answering(corral: Corral, child: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Failure(f"the server did not start: {server.last_words(log)}")
        try:
            await corral.models()
        except Failure as failure:
            if failure.code is not Exit.UNREACHABLE:
                raise
            await asyncio.sleep(0.02)
        else:
            return
    raise Failure(f"the server did not answer within {START:.0f}s: {server.last_words(log)}")


async def _take(corral: Corral, number: int, step: Step) -> None:
    before = await _running(corral)
    cold, warm = await _ask(corral, step.model), await _ask(corral, step.model)
    after = await _running(corral)
    answer(f"\n{number}. {step.title}: {step.model}")
    answer(f"   before  {_names(before)}")
    answer(f"   answer  after {cold * 1000:.0f} ms, the next one after {warm * 1000:.0f} ms")
    answer(f"   after   {_names(after)}")
    answer(f"   why     {step.why}")
    if after != step.running:
        raise Failure(f"step {number} went wrong: {_names(step.running)} should run now")


async def _ask(corral: Corral, model: str) -> float:
    """Seconds until the whole answer is there."""
    began = time.monotonic()
    await corral.chat(model, "hi", max_tokens=8)
    return time.monotonic() - began


async def _running(corral: Corral) -> frozenset[str]:
    states, _ = await corral.models()
    return frozenset(model.id for model in states if model.state != "unloaded")


def _names(models: Iterable[str]) -> str:
    return " + ".join(sorted(models)) or "nothing runs"


def _stay(child: subprocess.Popen[bytes], log: Path) -> None:
    """Until Ctrl-C, which is how a person ends the demo, or until the server is gone."""
    with suppress(KeyboardInterrupt):
        code = child.wait()
        raise Failure(f"the server ended with exit code {code}: {server.last_words(log)}")
    say("stopping")
