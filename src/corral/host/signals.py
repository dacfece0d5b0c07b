"""What whoever runs corral asks of it by signals."""

from __future__ import annotations

import asyncio
import logging
import signal

log = logging.getLogger("corral")


class Wishes:
    """What the signals ask for: the first SIGTERM or SIGINT to leave, a second one to leave now; SIGHUP to reload."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.leave = asyncio.Event()
        self.now = asyncio.Event()
        self.reload = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self._heard)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._heard))
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, self.reload.set)

    def _heard(self) -> None:
        if self.leave.is_set():
            log.warning("stopping now")
            self.now.set()
        else:
            log.info("finishing what is in flight, then stopping; once more to stop now")
            self.leave.set()
