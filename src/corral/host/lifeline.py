"""Corral's end of the guardian's pipe.

1. Every group that runs is known to the guardian (`guardian.py`), and one that is gone is forgotten.
2. A guardian that dies, or stops reading, is replaced and told everything again.
3. Telling is one write to a pipe, made at once (not at the loop's leisure): what corral said before it was killed is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import marshal
import os
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import corral
from corral.host import system

# The environment entry that everything corral launches carries, and hands down to its own children.
MARK = "CORRAL_CHILD"

# Seconds before another is launched (a guardian that cannot live must not become a tight loop), and for one to say good-bye.
_PAUSE = 0.2
_FAREWELL = 3.0

_log = logging.getLogger(__name__)


class Lifeline:
    """A scope: within it the guardian watches over what `tell` names; on leaving it ends what is left and itself."""

    def __init__(self, folder: Path) -> None:
        self.token = secrets.token_hex(8)
        """Begins the mark of everything launched under this lifeline."""
        self._folder = folder
        self._told: dict[int, bytes] = {}
        self._pipe: int | None = None
        self.pid: int | None = None
        """The guardian's, while there is one."""

    def __repr__(self) -> str:
        return f"<Lifeline guardian={self.pid} groups={sorted(self._told)}>"

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[Lifeline]:
        """Raises OSError when no guardian can be launched: nothing may run without one."""
        self._guardian = await self._launch()
        keeper = asyncio.get_running_loop().create_task(self._keep(), name="guardian")
        try:
            yield self
        finally:
            keeper.cancel()
            self._hang_up()  # before anything that can be cancelled
            await asyncio.wait([keeper])
            await self._guardian.left()

    def tell(
        self, group: int, stop: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> None:
        """This group runs; `stop` is its stop command, `env` what is added to corral's environment for it."""
        self._told[group] = marshal.dumps((group, tuple(stop), dict(env or {}) if stop else {}))
        self._say(self._told[group])

    def forget(self, group: int) -> None:
        """This group is gone."""
        if self._told.pop(group, None) is not None:
            self._say(marshal.dumps((group,)))

    async def _keep(self) -> None:
        while True:
            await self._guardian.gone.wait()
            _log.warning("the guardian (pid %s) ended; launching another", self._guardian.pid)
            self._hang_up()
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(OSError):
                self._guardian = await self._launch()

    async def _launch(self) -> _Guardian:
        reading, writing = os.pipe()
        system.never_block(writing)
        try:
            guardian = await _launched(self.token, self._folder, reading)
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
        self._pipe, self.pid = writing, guardian.pid
        for record in self._told.values():
            self._say(record)
        return guardian

    def _say(self, record: bytes) -> None:
        """A record that does not go through whole spoils the pipe: end that guardian, and `_keep` launches another."""
        if self._pipe is None:
            return
        try:
            whole = os.write(self._pipe, record) == len(record)
        except OSError:
            whole = False
        if not whole and self.pid is not None:
            system.kill(self.pid)  # first, for to a live one the pipe's end means that all must go
            self._hang_up()

    def _hang_up(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
        self._pipe = self.pid = None


class _Guardian(asyncio.SubprocessProtocol):
    """The guardian as a child of corral: all that is asked is when it ends."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.pid = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is one in all but its bases.
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self.pid = self._transport.get_pid()

    def process_exited(self) -> None:
        self._transport.close()
        self.gone.set()

    async def left(self) -> None:
        """Return when it is gone; kill one that does not go."""
        try:
            await asyncio.wait_for(self.gone.wait(), _FAREWELL)
        except TimeoutError:
            system.kill(self.pid)


async def _launched(token: str, folder: Path, pipe: int) -> _Guardian:
    """`-I -S`: no site packages, no user's environment, 9 MB; it finds corral's own source by path.

    It does not carry a mark itself: the guardian of a corral that runs under another corral must survive the outer one's sweep.
    """
    source = str(Path(corral.__file__).parent.parent)
    code = f"import sys; sys.path.append({source!r}); from corral.host.guardian import main; main(*sys.argv[1:])"
    argv = (sys.executable, "-I", "-S", "-c", code, f"{MARK}={token}", str(folder))
    env = {name: value for name, value in os.environ.items() if name != MARK}
    nothing = asyncio.subprocess.DEVNULL
    loop = asyncio.get_running_loop()
    _, guardian = await loop.subprocess_exec(
        _Guardian,
        *argv,
        stdin=pipe,
        stdout=nothing,
        stderr=nothing,
        env=env,
        start_new_session=system.NEW_SESSION,
        creationflags=system.CREATION_FLAGS,
    )
    return guardian
