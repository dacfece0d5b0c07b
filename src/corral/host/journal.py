"""Corral's own log and what its models print: to rings for their readers, and to stdout as far as `logToStdout` says.

1. Nothing here waits, neither for the disk nor for whoever reads stdout.
2. A record may be several lines, each with a moment of its own (epoch seconds): `extra={"moments": [...]}`.
3. Who logs may be in any thread; rings are the loop's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from corral.config.model import Config
from corral.host.logs import Ring
from corral.host.printer import Printer
from corral.host.timestamps import Timestamps

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


class Printed:
    """What goes to stdout, and the last of it in `ring`."""

    def __init__(self, printer: Printer) -> None:
        self.ring = Ring()
        self.printer = printer

    def write(self, piece: bytes) -> None:
        self.ring.write(piece)
        self.printer.write(piece)


class Journal(logging.Handler):
    """`own` is corral's log, `models` what all their processes print, `printed` what of both goes to stdout. Made on the loop."""

    def __init__(self, config: Config, printer: Printer | None = None) -> None:
        super().__init__()
        printed, shown = Printed(printer or Printer()), config.log_to_stdout
        self.printed = printed.ring
        self.own = Ring()
        self.models = Ring(into=printed if shown in ("upstream", "both") else None)
        self._printer = printed.printer
        self._prints_own = shown in ("proxy", "both")
        self._loop = asyncio.get_running_loop()
        self._home = threading.get_ident()
        self._stamps = Timestamps()
        self.adopt(config)

    def adopt(self, config: Config) -> None:
        """From now on only what is at least so important is logged, and lines tell the time like this."""
        logging.getLogger("corral").setLevel(LEVELS[config.log_level])
        self._stamps = Timestamps(config.log_time_format)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            piece = self.format(record).encode("utf-8", "backslashreplace")
        except Exception:  # noqa: BLE001 - as every handler: a wrong line of a log is no reason to fail
            self.handleError(record)
            return
        if self._prints_own:
            self._printer.write(piece)
        if threading.get_ident() == self._home:
            self._keep(piece)
        else:
            with suppress(RuntimeError):  # the loop is closed, and with it the rings
                self._loop.call_soon_threadsafe(self._keep, piece)

    def _keep(self, piece: bytes) -> None:
        self.own.write(piece)
        if self._prints_own:
            self.printed.write(piece)

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines, each with its end."""
        moments: Sequence[float] | None = getattr(record, "moments", None)
        if moments is None:
            text = super().format(record)  # the message, and a traceback
            return f"{self._stamps.text(record.created)} {record.levelname:<7} {text}\n"
        stamp, level = self._stamps.text, record.levelname
        lines = zip(moments, record.getMessage().split("\n"), strict=True)
        return "".join(f"{stamp(when)} {level:<7} {line}\n" for when, line in lines)

    def close(self) -> None:
        """End those who follow, and wait for a bounded time until all is printed."""
        for ring in (self.own, self.models, self.printed):
            ring.close()
        self._printer.close()
        super().close()


@contextmanager
def journal(config: Config) -> Iterator[Journal]:
    """Everything logged under `corral` while the block lasts."""
    logger = logging.getLogger("corral")
    before = logger.level, logger.propagate
    kept = Journal(config)
    logger.addHandler(kept)
    logger.propagate = False
    try:
        yield kept
    finally:
        logger.removeHandler(kept)
        logger.setLevel(before[0])
        logger.propagate = before[1]
        kept.close()
