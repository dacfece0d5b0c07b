"""The prompt of a turn: as much of the history as fits into the engine that is to answer, within the configured limits.

1. Tokens are estimated first, from what engines have counted before. `auto` has the engine count when the estimate might be wrong enough to
   matter, `exact` always; what is counted corrects the estimate, `ROUNDS` times at most.
2. A peer is not asked, and its context not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from corral.config.model import Config
from corral.dialects.changes import Changes
from corral.errors import ContextTooLong
from corral.gateway.counting import Counting
from corral.gateway.history import History, history
from corral.gateway.incoming import Incoming, whole
from corral.gateway.ports import Body, Upstream
from corral.gateway.stores import Conversations
from corral.sessions import blobs, prompts
from corral.sessions.budget import Limits, limits
from corral.sessions.costs import Costs, costs
from corral.sessions.partial import in_turn
from corral.sessions.record import Message
from corral.sessions.trim import TooLong, Trimmed, trim

ROUNDS: Final = 3
"""How often an engine is asked to count for one turn."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who is to answer. `listed` is its name in records; `model` the one of this machine, empty for a peer's; `name` the engine's own."""

    upstream: Upstream
    listed: str
    model: str
    name: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What goes out."""

    changes: Changes
    """That make the request's body say it."""
    first: int
    """The number of the oldest message in it."""
    messages: int
    """How many there are in it, the system prompt among them."""
    budget: Trimmed
    dropped: int
    """Messages of the conversation that are not in it."""


class Prompting:
    """Makes prompts."""

    def __init__(self, store: Conversations) -> None:
        self.store = store
        self._counting = Counting()

    async def prompt(
        self, incoming: Incoming, config: Config, engine: Answerer, body: bytes | Body
    ) -> Prompt:
        """`body` is the request's, filters applied. Raises ContextTooLong, and InvalidRequest where the body cannot be written anew."""
        sessions, asked = config.sessions, incoming.request.asked
        local = config.models.get(engine.model)
        context = await self._counting.context(engine.upstream) if local else None
        allowed = limits(
            sessions.max_messages,
            sessions.max_prompt_chars,
            sessions.max_prompt_tokens,
            context=context,
            reply=asked.reply,
        )
        own = local.preset if local else ""
        text = prompts.preset(sessions.presets, incoming.head.preset, own, sessions.system_prompt)
        system = prompts.system(sessions.system_policy, text, incoming.head.system)
        past = await history(self.store, incoming, allowed)
        weighed = costs(
            system,
            asked.extra,
            past.stored,
            incoming.rest,
            model=engine.listed,
            chars_per_token=sessions.chars_per_token,
            first=past.before + 1,
            same_system=incoming.same_system,
        )
        draft = _Draft(self.store, incoming, system, past, weighed, allowed)
        asks = sessions.budget_mode if local and allowed.ceiling is not None else "estimate"
        result = await self._fitted(draft, engine, body, asks)
        if isinstance(result, TooLong):
            of = f"; the context of {engine.listed} has {context} tokens" if context else ""
            raise ContextTooLong(f"{result}{of}")
        return await draft.prompt(result)

    async def _fitted(
        self, draft: _Draft, engine: Answerer, body: bytes | Body, asks: str
    ) -> Trimmed | TooLong:
        """Trimmed, and counted as often as the mode has it."""
        found = draft.trimmed()
        if asks == "estimate" or (asks == "auto" and draft.surely_fits(found)):
            return found
        text = await whole(body)
        for _ in range(ROUNDS):
            start = found.start
            made, messages = await draft.made(start)
            tokens = await self._counting.tokens(
                engine.upstream, engine.name, draft.shape, made.apply(text), messages
            )
            if tokens is None:
                break
            draft.counted(start, tokens)
            found = draft.trimmed()
            if found.start == start:
                break
        return found


class _Draft:
    """A prompt in the making."""

    def __init__(
        self,
        store: Conversations,
        incoming: Incoming,
        system: Sequence[Message],
        past: History,
        weighed: Costs,
        allowed: Limits,
    ) -> None:
        self.shape = incoming.request.shape
        self._store = store
        self._incoming = incoming
        self._system = system
        self._past = past
        self._costs = weighed
        self._limits = allowed
        self._messages = [*(record.message for record in past.stored), *incoming.rest]
        self._exact = False
        self._made: tuple[int, tuple[Changes, list[Message]]] | None = None
        """The prompt that was made last, by where it begins: what was counted is mostly what is sent."""

    def trimmed(self) -> Trimmed | TooLong:
        return trim(
            self._messages,
            self._costs,
            self._limits,
            turn=self._incoming.place.turn,
            before=self._past.reach,
            exact=self._exact,
        )

    def surely_fits(self, found: Trimmed | TooLong) -> bool:
        """However dense the text is, and nothing was left out for its tokens."""
        if isinstance(found, TooLong):
            return False
        most, limit = self._costs.most(found.start), self._limits.tokens
        return limit is None or (most <= limit and not found.dropped)

    def counted(self, start: int, tokens: int) -> None:
        self._costs = self._costs.counted(start, tokens)
        self._exact = True

    async def made(self, start: int) -> tuple[Changes, list[Message]]:
        """What makes the request's body say the prompt from this message on; and the prompt, as chat messages."""
        if self._made is None or self._made[0] != start:
            self._made = start, await self._making(start)
        return self._made[1]

    async def _making(self, start: int) -> tuple[Changes, list[Message]]:
        bare = in_turn(self._past.stored[start:], self._new(start))
        wanted = {key for message in bare for key in blobs.hashes(message)}
        new = self._incoming.request.blobs
        held = {**await self._store.blobs(wanted - new.keys()), **new} if wanted else {}
        messages = [blobs.attach(message, held) for message in bare] if wanted else bare
        return self.shape.changes(self._system, messages), [*self._system, *messages]

    def _new(self, start: int) -> Sequence[Message]:
        rest = self._incoming.rest
        return rest[max(0, start - len(self._past.stored)) :]

    async def prompt(self, found: Trimmed) -> Prompt:
        changes, messages = await self.made(found.start)
        before = self._past.before + found.start
        return Prompt(changes, before + 1, len(messages), found, before)
