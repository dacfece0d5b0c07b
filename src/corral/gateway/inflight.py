"""Which requests are under way, for those who watch: all of them at first, then what changes.

1. While nobody watches, nothing is looked at.
2. News of a request come at most every `EVERY` seconds, with how far it is by then; its end comes at once, and only after news of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from corral.dialects import events as messages
from corral.dialects.moments import timestamp
from corral.gateway.exchange import Exchange, Ledger
from corral.wire.redaction import redacted, texts

EVERY: Final = 0.25
"""Seconds."""

_Mark = tuple[str, int, int]
"""What of a request has been told: its model, status and bytes."""


class InFlight:
    """The requests in a ledger, told to `publish` as long as there are any `watchers`. An `exchange.Observer`."""

    def __init__(
        self, ledger: Ledger, publish: Callable[[bytes], None], watchers: Collection[object]
    ) -> None:
        self._ledger = ledger
        self._publish = publish
        self._watchers = watchers
        self._told: dict[int, _Mark] = {}
        self._timer: asyncio.TimerHandle | None = None
        ledger.observers.append(self)

    def __repr__(self) -> str:
        return f"<InFlight: {len(self._told)} told>"

    def snapshot(self) -> bytes:
        """A message with all of them."""
        return messages.in_flight(listed(self._ledger))

    def begin(self) -> None:
        """Somebody is about to watch, and is told of all that goes on by then."""
        if not self._watchers:
            self._told.clear()
        self._tell()

    def end(self) -> None:
        """Nobody watches any more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    # --- exchange.Observer -------------------------------------------------------------------------------------------

    def opened(self, exchange: Exchange) -> None:  # noqa: ARG002 - the next look finds it
        if self._timer is None and self._watchers:
            self._later()

    def answered(self, exchange: Exchange) -> None:
        pass

    def closed(self, exchange: Exchange) -> None:
        told = self._told.pop(exchange.number, None)
        if told and self._watchers:
            self._publish(messages.in_flight_ended(str(exchange.number)))

    # --- telling -----------------------------------------------------------------------------------------------------

    def _later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._watchers:
            self._tell()

    def _tell(self) -> None:
        for exchange in _known(self._ledger):
            mark = (exchange.model, exchange.status, exchange.bytes_out)
            if self._told.get(exchange.number) != mark:
                self._told[exchange.number] = mark
                if self._watchers:
                    self._publish(messages.in_flight_changed(view(exchange)))
        if self._ledger.in_flight and self._timer is None:
            self._later()


def listed(ledger: Ledger) -> list[dict[str, Any]]:
    """`view`, for all whose model is known, oldest first."""
    return [view(exchange) for exchange in _known(ledger)]


def view(exchange: Exchange) -> dict[str, Any]:
    """A request that is under way, as llama-swap's clients read it, without its secrets."""
    elapsed = asyncio.get_running_loop().time() - exchange.began_at
    return {
        "id": str(exchange.number),
        "timestamp": timestamp(int(exchange.began * 1000)),
        "model": exchange.model,
        "req_path": exchange.path,
        "method": exchange.method,
        "req_headers": texts(redacted(exchange.headers)),
        "remote_ip": exchange.remote,
        "resp_headers": texts(redacted(exchange.answer_headers)),
        "resp_bytes": exchange.bytes_out,
        "elapsed_ms": round(1000 * elapsed),
        **({"metadata": exchange.metadata} if exchange.metadata else {}),
    }


def _known(ledger: Ledger) -> Iterator[Exchange]:
    return (exchange for exchange in ledger.in_flight.values() if exchange.model)
