"""What of a request's messages is new to a session, and what of the session they replace.

1. Messages without an assistant's among them are a new turn, after all that is stored. Only what the session ends with, sent again while it is
   unanswered, with more after it or not, is not stored twice.
2. Messages with one are a history that is sent again, whole or its newest part. What comes after the stored messages that it repeats is
   new. Where it leaves them, the rest of the stored ones gives way, and is kept as another session.
3. An assistant's message at the very end is the beginning of the answer (a *prefill*): it is in the prompt, and stored with the answer.
4. What stays of the stored messages and what is new are, message by message, what the client has sent, with more before it at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corral.sessions.identity import digest
from corral.sessions.record import Message


@dataclass(frozen=True, slots=True)
class Recognised:
    """The prompt is the stored messages 1 to `kept`, then `messages[new:]`. To be stored after number `kept` is `messages[new:end]`."""

    kept: int
    """Stored messages that stay."""
    new: int
    """Index of the first message that is new."""
    end: int
    """Index behind the last message that is to be stored: `len(messages)`, or one less when the last one is a prefill."""
    turn: int
    """Newest messages of the prompt that are this turn (the prefill among them): they are never trimmed away."""
    fork: bool
    """There are stored messages after number `kept`: they are to be cut, and kept as another session."""


def resent(messages: Sequence[Message]) -> bool:
    """Whether it takes the digests of all stored messages to recognise these; otherwise those of the newest `len(messages)` do."""
    return any(message.get("role") == "assistant" for message in messages)


def recognise(
    stored: Sequence[bytes], messages: Sequence[Message], *, before: int = 0
) -> Recognised:
    """`stored`: digests in order; `before`: how many more there are before them, which is for messages that are not `resent`.

    `messages`: without the leading system messages. O(stored + messages).
    """
    digests = [digest(message) for message in messages]
    answers = [i for i, message in enumerate(messages) if message.get("role") == "assistant"]
    end = len(messages)
    if answers and answers[-1] == end - 1:
        end = answers.pop()
    if answers:
        kept, new = _history(list(stored), digests[:end], answers)
    else:
        kept, new = _turn(list(stored), digests, end)
    turn = len(messages) - (answers[-1] + 1 if answers else 0)
    return Recognised(before + kept, new, end, turn, fork=kept < len(stored))


def _turn(stored: list[bytes], digests: list[bytes], end: int) -> tuple[int, int]:
    """`kept` and `new`, of messages of which at most a prefill is an assistant's."""
    size = len(stored)
    if end < len(digests) and _ends(stored, digests):  # the last answer is to be continued
        return size - 1, end
    return size, _again(stored, digests[:end])


def _again(stored: list[bytes], messages: list[bytes]) -> int:
    """How many of the messages the session ends with, unanswered as these are: they are asked again, with more after them or not."""
    runs = _runs(messages, stored[max(0, len(stored) - len(messages)) :])
    return next((run for at, run in enumerate(runs) if at + run == len(runs)), 0)


def _ends(stored: list[bytes], messages: list[bytes]) -> bool:
    return stored[max(0, len(stored) - len(messages)) :] == messages


def _history(stored: list[bytes], messages: list[bytes], answers: list[int]) -> tuple[int, int]:
    """`kept` and `new`; `answers` are the indices of the assistant's messages."""
    size, common = len(stored), min(len(stored), len(messages))
    if stored[:common] == messages[:common]:  # one goes on where the other ends
        return common, common
    runs = _runs(messages, stored)
    windows = [
        at for at, run in enumerate(runs) if run > answers[0]
    ]  # a question alone tells little
    for at in windows:
        if at + runs[at] == size and runs[at] > answers[-1]:  # every answer is there
            return size, runs[at]
    best = max([0, *windows], key=lambda at: (runs[at], at == 0, at))
    return best + runs[best], runs[best]


def _runs(messages: list[bytes], stored: list[bytes]) -> list[int]:
    """For each stored message, how many from there on are the first of `messages`: the Z algorithm."""
    text = [*messages, b"", *stored]
    runs = [0] * len(text)
    left = right = 0
    for at in range(1, len(text)):
        run = min(right - at, runs[at - left]) if at < right else 0
        while at + run < len(text) and text[run] == text[at + run]:
            run += 1
        runs[at] = run
        if at + run > right:
            left, right = at, at + run
    return runs[len(messages) + 1 :]
