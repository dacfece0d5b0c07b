"""Is the engine ready? A GET is tried until it answers exactly 200.

1. Tries follow each other after 2 ms, then a tenth more each time, up to 50 ms: that an engine is ready is noticed within a tenth of
   what it took. Each has a time-out of its own, so one that hangs costs a second.
2. Only 200 counts: redirects are not followed, 503 is what an engine says while it loads.
3. What the last try met is kept, for the message of those who gave up waiting.

The try is a bare request on a fresh connection: a client with pools and redirects takes longer than a tiny engine needs to start.
"""

from __future__ import annotations

import asyncio
import re
import sys

from corral.host.address import Address
from corral.host.dialing import reason
from corral.host.trust import trusted

TRY = 1.0
_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.050
_GROWTH = 1.1
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})\b")


class HealthCheck:
    """The question, and what was last answered. Raises ValueError for a `proxy` that is no address."""

    def __init__(self, proxy: str, path: str) -> None:
        self._address = Address.parse(proxy)
        self._url = proxy.rstrip("/") + path
        self._target = self._address.base + path.encode()
        self.last = "was not asked yet"

    def __str__(self) -> str:
        """`http://localhost:5800/health answered 503`."""
        return f"{self._url} {self.last}"

    def __repr__(self) -> str:
        return f"<HealthCheck {self}>"

    async def passed(self) -> None:
        """Return when it answers 200. Who waits sets the limit."""
        pause = _FIRST_PAUSE
        while not await self._try():
            await asyncio.sleep(pause)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    async def _try(self) -> bool:
        try:
            async with asyncio.timeout(TRY):
                status = await self._ask()
        except TimeoutError:
            self.last = f"did not answer within {TRY:g} s"
        except (ConnectionRefusedError, FileNotFoundError):
            self.last = "has nobody who listens"
        except OSError as error:
            self.last = f"could not be reached ({reason(error)})"
        else:
            self.last = f"answered {status}" if status else "answered something that is not HTTP"
            return status == 200
        return False

    async def _ask(self) -> int | None:
        """The status of one GET; None when the answer is not HTTP."""
        reader, writer = await self._connect()
        try:
            writer.write(
                b"GET %b HTTP/1.1\r\nHost: %b\r\nUser-Agent: corral\r\nAccept: */*\r\nConnection: close\r\n\r\n"
                % (self._target, self._address.authority)
            )
            found = _STATUS_LINE.match(await reader.readline())
        except ValueError:  # a line without end
            return None
        finally:
            writer.close()
        return int(found[1]) if found else None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self._address.path:
            tls = trusted() if self._address.tls else None
            return await asyncio.open_connection(self._address.host, self._address.port, ssl=tls)
        if sys.platform != "win32":
            return await asyncio.open_unix_connection(self._address.path)
        raise OSError("this system has no UNIX sockets")
