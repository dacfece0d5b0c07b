"""`corral sessions`: conversations as tables and text for people, as the server tells them for machines."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from rich import box
from rich.table import Table
from rich.text import Text

from corral.cli import tables
from corral.cli.asking import Act, answer_json
from corral.cli.client import Corral, Session
from corral.cli.exits import Exit, Failure, answer, say

LAST: Final = 20
"""Messages that people are shown."""
_PARTS: Final = {"image_url": "image", "input_image": "image", "input_audio": "sound"}
_CONTROL: Final = {
    code: "·" for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"
}
"""What a terminal would take for a command."""


def listed(limit: int, *, as_json: bool) -> Act:
    """What there is, the last used first."""

    async def act(corral: Corral) -> None:
        found, raw = await corral.sessions(limit)
        if as_json:
            answer_json(raw)
        elif found:
            tables.console().print(table(found))
        else:
            say("no conversation is kept; a request with a `session_id` begins one")
        total = raw.get("total", 0)
        if not as_json and len(found) < total:
            say(f"{len(found)} of {total}; --limit shows more")

    return act


def shown(session: str, last: int | None, *, as_json: bool) -> Act:
    """One conversation, and its newest messages."""

    async def act(corral: Corral) -> None:
        newest = LAST if last is None and not as_json else last
        wanted = {}
        if newest is not None:
            about, _ = await corral.session(session, limit=0)
            wanted = {"after": max(0, about.message_count - newest)}
        found, raw = await corral.session(session, **wanted)
        if as_json:
            answer_json(raw)
            return
        for line in page(found, raw.get("messages", [])):
            answer(line)

    return act


def exported(session: str, output: Path | None, *, lines: bool) -> Act:
    """A conversation as it can be sent again; a file is there when it is whole, or not at all."""

    async def act(corral: Corral) -> None:
        pieces = corral.export_session(session, lines=lines)
        if output is None:
            await _write(pieces, sys.stdout.buffer)
            return
        try:
            with _whole(output) as file:
                await _write(pieces, file)
        except OSError as error:
            raise Failure(f"{output}: {error.strerror}") from error
        say(f"{session} is in {output}")

    return act


def forked(session: str, at: int | None, name: str | None, *, as_json: bool) -> Act:
    """Another conversation like one."""

    async def act(corral: Corral) -> None:
        made, raw = await corral.fork_session(session, {"at": at, "session_id": name})
        if as_json:
            answer_json(raw)
        else:
            answer(made.session_id)

    return act


def deleted(sessions: Sequence[str], *, as_json: bool) -> Act:
    """Each of them; those that cannot be are told, and do not keep the others."""

    async def act(corral: Corral) -> None:
        gone: list[str] = []
        refused: list[Failure] = []
        for session in sessions:
            try:
                await corral.delete_session(session)
            except Failure as failure:
                if failure.code is not Exit.FAILED:
                    raise
                refused.append(failure)
            else:
                gone.append(session)
        if as_json:
            answer_json({"deleted": gone})
        elif gone:
            answer(f"deleted: {', '.join(gone)}")
        for other in refused[:-1]:
            say(str(other))
        if refused:
            raise refused[-1]

    return act


def given_preset(session: str, name: str, *, as_json: bool) -> Act:
    """A conversation's preset, none when it is empty."""

    async def act(corral: Corral) -> None:
        raw = await corral.change_session(session, {"preset": name or None})
        if as_json:
            answer_json(raw)
        else:
            answer(f"{session} has the preset {name}" if name else f"{session} has no preset")

    return act


def patched(
    session: str, preset: str | None, system: str | None, notes: Sequence[str], *, as_json: bool
) -> Act:
    """A conversation changed in what is given; what is given empty is taken away. A note is `NAME=TEXT`. Raises Failure."""
    given = {"preset": preset, "system": system}
    change: dict[str, object] = {k: v or None for k, v in given.items() if v is not None}
    if notes:
        change["metadata"] = dict(map(_note, notes))
    if not change:
        raise Failure("nothing to change: give --preset, --system or --note", Exit.MISUSED)

    async def act(corral: Corral) -> None:
        raw = await corral.change_session(session, change)
        if as_json:
            answer_json(raw)
        else:
            answer(f"{session} is changed: {', '.join(change)}")

    return act


def _note(text: str) -> tuple[str, str | None]:
    name, there, value = text.partition("=")
    if not (name and there):
        raise Failure(f"--note {text}: write NAME=TEXT", Exit.MISUSED)
    return name, value or None


# --- for people --------------------------------------------------------------------------------------------------


def table(sessions: Sequence[Session], now: float | None = None) -> Table:
    """A row for each. `now` in epoch seconds."""
    now = time.time() if now is None else now
    headings = ("SESSION", "LAST USED", "MESSAGES", "MODEL", "PRESET", "ABOUT")
    made = Table(*headings, box=box.SIMPLE_HEAD, show_edge=False)
    for session in sessions:
        used = f"{tables.duration(now - session.updated_at)} ago"
        cells = (
            session.session_id,
            used,
            str(session.message_count),
            session.model or "",
            session.preset or "",
            _about(session),
        )
        made.add_row(*(Text(_safe(cell), overflow="fold") for cell in cells))
    return made


def page(session: Session, messages: Sequence[Any], now: float | None = None) -> Iterator[str]:
    """What is known of a conversation, then what it says."""
    now = time.time() if now is None else now
    used = f"last used {tables.duration(now - session.updated_at)} ago"
    facts = [f"{session.message_count} messages", used, session.model or "", _about(session)]
    if session.preset:
        facts.append(f"preset {session.preset}")
    facts += [f"{tables.size(size)} parked for {model}" for model, size in session.parked.items()]
    yield _safe(f"{session.session_id}: {', '.join(filter(None, facts))}")
    for message in messages:
        yield ""
        yield from spoken(message)


def spoken(message: Any) -> Iterator[str]:
    """Who says it, then what, indented."""
    known = message.get("corral") or {}
    notes = [known.get("model"), "cut off" if known.get("partial") else None]
    facts = " · ".join(str(note) for note in (message.get("role"), *notes) if note)
    yield _safe(f"{known.get('number', '')} {facts}".strip())
    for line in "\n".join(_texts(message)).splitlines():
        yield f"    {_safe(line)}"


def _texts(message: Any) -> Iterator[str]:
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            kind = str(part.get("type"))
            yield str(part["text"]) if "text" in part else f"[{_PARTS.get(kind, kind)}]"
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield f"→ {function.get('name')}({function.get('arguments')})"


def _about(session: Session) -> str:
    title = session.metadata.get("title", "")
    of = f"{session.forked_from} ({session.forked_at} messages)" if session.forked_from else ""
    return ", ".join(filter(None, (title, of and f"from {of}")))


def _safe(text: str) -> str:
    return text.translate(_CONTROL)


# --- files -------------------------------------------------------------------------------------------------------


async def _write(pieces: AsyncIterator[bytes], file: BinaryIO) -> None:
    async for piece in pieces:
        file.write(piece)
    file.flush()


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that takes this name at the end of the block, unless that fails."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
