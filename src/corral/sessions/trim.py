"""Which of a conversation's messages go into a prompt: the newest, as many as fit.

1. What is kept is a suffix: the oldest go first. The system prompt and this turn always stay.
2. No tool result is kept without the call that it answers, no call without its results.
3. Where something is left out, what is kept begins with a user's message.
4. What is kept is as much as the limits allow; a greater limit never keeps less. A prompt that is exactly at a limit fits.
5. What is dropped here is dropped from the prompt alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from corral.sessions.budget import Limits
from corral.sessions.costs import Cost, Costs
from corral.sessions.record import Message

Unit = Literal["messages", "characters", "estimated_tokens", "tokens"]


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The prompt is the system prompt, then `messages[start:]`."""

    start: int
    dropped: int
    """Messages of the conversation that are left out."""
    cost: int
    unit: Unit
    """What `cost` counts: that of the tightest kind of limit that there is."""


@dataclass(frozen=True, slots=True)
class TooLong:
    """Even the shortest prompt is too long."""

    start: int
    """That prompt is the system prompt, then `messages[start:]`."""
    cost: int
    limit: int
    unit: Unit

    def __str__(self) -> str:
        what = self.unit.replace("_", " ")
        return (
            f"the system prompt and this turn alone are {self.cost} {what}, of {self.limit} at most"
        )


def trim(
    messages: Sequence[Message],
    costs: Costs,
    limits: Limits,
    *,
    turn: int,
    before: int = 0,
    exact: bool = False,
) -> Trimmed | TooLong:
    """`messages`: stored ones, then new ones, oldest first, and `costs` theirs; `turn`: how many of the newest always stay.

    `before`: stored messages before these, left out already; then `anchor` must not be None. `exact`: an engine has counted (`Costs.counted`),
    which is all that it changes: the name of the unit. O(messages).
    """
    starts = _starts(messages, before)
    last = _anchor(starts, len(messages) - turn)
    shortest = len(messages) - turn if last is None else last
    sums = _Sums(costs)
    found = next((at for at in starts if at <= shortest and sums.fit(at, limits)), shortest)
    unit: Unit = "tokens" if exact else "estimated_tokens"
    over = sums.over(found, limits, unit)
    return over or Trimmed(found, before + found, *sums.told(found, limits, unit))


def anchor(messages: Sequence[Message], *, turn: int, before: int = 0) -> int | None:
    """The index at which the shortest prompt begins. None: not among these messages; look further back."""
    return _anchor(_starts(messages, before), len(messages) - turn)


def _anchor(starts: Sequence[int], latest: int) -> int | None:
    return max((at for at in starts if at <= latest), default=None)


def _starts(messages: Sequence[Message], before: int) -> list[int]:
    """Where a prompt may begin, in order."""
    reach = len(messages)
    starts = []
    called = _called(messages)
    for at in range(len(messages) - 1, -1, -1):
        reach = min(reach, called[at])
        if messages[at].get("role") == "user" and reach >= at:
            starts.append(at)
    if not before and 0 not in starts[-1:]:
        starts.append(0)
    return starts[::-1]


def _called(messages: Sequence[Message]) -> list[int]:
    """For each message the index of the one with the call that it answers; its own when it answers none of these."""
    calls: dict[str, int] = {}
    called = []
    for at, message in enumerate(messages):
        of = message.get("tool_call_id") or message.get("name") if _answers(message) else None
        called.append(calls.get(str(of), at) if of else at)
        if "tool_calls" in message or "function_call" in message:  # most have none
            calls |= dict.fromkeys(_calls(message), at)
    return called


def _answers(message: Message) -> bool:
    return message.get("role") in ("tool", "function")


def _calls(message: Message) -> Iterator[str]:
    """The ids of a message's tool calls; of what was a function call, its name."""
    calls, single = message.get("tool_calls"), message.get("function_call")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict) and call.get("id"):
            yield str(call["id"])
    if isinstance(single, dict):
        yield str(single.get("name"))


class _Sums:
    """What each prompt costs, by where it begins."""

    def __init__(self, costs: Costs) -> None:
        self._size = len(costs.messages)
        self._characters = _suffixes(costs, lambda cost: cost.size)
        self._tokens = _suffixes(costs, lambda cost: cost.tokens)

    def fit(self, at: int, limits: Limits) -> bool:
        return (
            _within(self._size - at, limits.messages)
            and _within(self._characters[at], limits.characters)
            and _within(self._tokens[at], limits.tokens)
        )

    def over(self, at: int, limits: Limits, unit: Unit) -> TooLong | None:
        """What no dropping would help against."""
        if limits.ceiling is not None and self._tokens[at] > limits.ceiling:
            return TooLong(at, self._tokens[at], limits.ceiling, unit)
        if limits.characters is not None and self._characters[at] > limits.characters:
            return TooLong(at, self._characters[at], limits.characters, "characters")
        return None

    def told(self, at: int, limits: Limits, unit: Unit) -> tuple[int, Unit]:
        if limits.tokens is not None:
            return self._tokens[at], unit
        if limits.characters is not None:
            return self._characters[at], "characters"
        return self._size - at, "messages"


def _suffixes(costs: Costs, weight: Callable[[Cost], int]) -> list[int]:
    """What is fixed, with all messages from each index on."""
    backwards = accumulate(map(weight, reversed(costs.messages)), initial=weight(costs.fixed))
    return list(backwards)[::-1]


def _within(amount: int, limit: int | None) -> bool:
    return limit is None or amount <= limit
