"""What a prompt costs, message by message: counted by engines where they have, estimated where not.

1. What an engine has counted is exact: the difference between the prompts of two answers is the cost of the messages between them. So a
   conversation's costs are known but for its newest turn, without asking anybody.
2. What is not counted is estimated from its size, and the estimate learns from what is: from text that is dense in tokens (Chinese, code)
   and from a template that says much.
3. Each model counts for itself: another's tokens say nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from corral.sessions import budget
from corral.sessions.record import Message, Record

EVIDENCE: Final = 256
"""Estimated tokens that have to be counted before the count weighs as much as the configured `charsPerToken`."""


class Cost(NamedTuple):
    """Of a message, or of what comes before all messages."""

    size: int
    """Characters."""
    tokens: int
    known: bool = False
    """Counted, alone or as part of what was."""

    @property
    def most(self) -> int:
        """Tokens, at one per character where nobody has counted."""
        return self.tokens if self.known else max(self.tokens, self.size + budget.TEMPLATE)


@dataclass(frozen=True, slots=True)
class Costs:
    fixed: Cost
    """The system prompt, the tools, and what the template says before and after all messages."""
    messages: tuple[Cost, ...]
    """Oldest first."""

    def prompt(self, start: int) -> tuple[Cost, ...]:
        """Of what a prompt holds that begins with the message at this index."""
        return (self.fixed, *self.messages[start:])

    def most(self, start: int) -> int:
        """Tokens of that prompt, where it is as dense as can be: when this fits, nobody need be asked."""
        return sum(cost.most for cost in self.prompt(start))

    def counted(self, start: int, tokens: int) -> Costs:
        """Corrected by what an engine has just counted for that prompt.

        The difference falls to what was estimated in it; what was estimated of the rest is then as dense as that.
        """
        kept = self.prompt(start)
        known = sum(cost.tokens for cost in kept if cost.known)
        guessed = sum(cost.tokens for cost in kept) - known
        rate = (tokens - known) / guessed if guessed and tokens > known else 1.0
        now = _counted(kept, tokens)
        left_out = (cost if cost.known else _times(cost, rate) for cost in self.messages[:start])
        return Costs(now[0], (*left_out, *now[1:]))


def costs(
    system: Sequence[Message],
    extra: int,
    stored: Sequence[Record],
    new: Sequence[Message],
    *,
    model: str,
    chars_per_token: float,
    first: int = 1,
    same_system: bool = True,
) -> Costs:
    """Of the system messages with `extra` characters of tools, then the stored messages and the new ones.

    `model`: who is to answer, as in `Record.model`; `first`: the number of the first of `stored`; `same_system`: system and tools are what they
    were at the last answer.
    """

    counts = [
        count for i, record in enumerate(stored) if (count := _count(record, i, model, first))
    ]

    def guess(characters: int) -> Cost:
        return Cost(characters, budget.estimate(characters, chars_per_token))

    fixed = guess(sum(map(budget.size, system)) + extra)
    weighed = [guess(record.size) for record in stored]
    latest = counts[-1] if counts and counts[-1].start >= 0 and same_system else None
    rate = _rate(fixed, weighed, stored, counts, latest)
    fixed, weighed = _times(fixed, rate), [_times(cost, rate) for cost in weighed]
    _exact(weighed, stored, counts)
    if latest:
        part = _counted((fixed, *weighed[latest.start : latest.at]), latest.tokens)
        fixed, weighed[latest.start : latest.at] = part[0], part[1:]
    asked = (_times(guess(budget.size(message)), rate) for message in new)
    return Costs(fixed, (*weighed, *asked))


class _Count(NamedTuple):
    """What the engine said with an answer."""

    at: int
    """Index of the answer."""
    start: int
    """Index of the first message of its prompt; below 0 when that is not at hand."""
    tokens: int
    """Of the prompt."""


def _count(record: Record, at: int, model: str, first: int) -> _Count | None:
    if record.model != model or not record.prompt_tokens:
        return None
    return _Count(at, min(at, record.prompt_from - first), record.prompt_tokens)


def _rate(
    fixed: Cost,
    weighed: Sequence[Cost],
    stored: Sequence[Record],
    counts: Sequence[_Count],
    latest: _Count | None,
) -> float:
    """How many tokens there are to an estimated one: in the latest prompt, else in the answers."""
    tokens = guessed = 0
    if latest and not any(budget.media(r.message) for r in stored[latest.start : latest.at]):
        tokens = latest.tokens
        guessed = fixed.tokens + sum(cost.tokens for cost in weighed[latest.start : latest.at])
    else:
        for count in counts:
            if own := _own(stored[count.at]):
                tokens += own
                guessed += weighed[count.at].tokens
    return (EVIDENCE + tokens) / (EVIDENCE + guessed)


def _exact(weighed: list[Cost], stored: Sequence[Record], counts: Sequence[_Count]) -> None:
    """Puts in what answers cost, and what the messages between two prompts that begin alike do together."""
    for count in counts:
        if own := _own(stored[count.at]):
            weighed[count.at] = Cost(weighed[count.at].size, own, known=True)
    for one, other in pairwise(counts):
        tokens = other.tokens - one.tokens
        if one.start == other.start and tokens > 0:
            weighed[one.at : other.at] = _counted(weighed[one.at : other.at], tokens)


def _own(record: Record) -> int:
    """What an answer costs in a later prompt; 0 when it is not known, as of one that thought: that is left out there."""
    thought = record.message.get("reasoning_content") or budget.thoughts(record.message)
    return 0 if thought or not record.answer_tokens else record.answer_tokens + budget.TEMPLATE


def _counted(costs: Sequence[Cost], tokens: int) -> list[Cost]:
    """These, when together they are known to be so many: the difference falls to those that are not known, if it can."""
    known = sum(cost.tokens for cost in costs if cost.known)
    loose = [0 if cost.known else cost.tokens for cost in costs]
    if tokens > known and any(loose):
        shares = shared(tokens - known, loose)
        parts = [
            cost.tokens if cost.known else share for cost, share in zip(costs, shares, strict=True)
        ]
    else:
        parts = shared(tokens, [cost.tokens for cost in costs])
    return [Cost(cost.size, part, known=True) for cost, part in zip(costs, parts, strict=True)]


def _times(cost: Cost, rate: float) -> Cost:
    return Cost(cost.size, max(1, round(cost.tokens * rate)))


def shared(total: int, weights: Sequence[int]) -> list[int]:
    """The total in whole parts, in proportion to the weights; nothing but zeros where they are."""
    whole, running, before = sum(weights) or 1, 0, 0
    parts = []
    for weight in weights:
        running += weight
        upto = total * running // whole
        parts.append(upto - before)
        before = upto
    return parts
