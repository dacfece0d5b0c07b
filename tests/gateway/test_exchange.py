"""What is noted of a request, by those who keep books."""

from __future__ import annotations

import asyncio
import logging

from corral.gateway.exchange import Exchange, Ledger


def exchange(number="r-1"):
    return Exchange("POST", "/v1/completions", None, number, "key 1", "127.0.0.1", [])


class Book:
    """Writes down what it is told."""

    def __init__(self, feed=None):
        self.lines = []
        self._feed = feed

    def opened(self, exchange):
        self.lines.append(("opened", exchange.number, exchange.status))

    def answered(self, exchange):
        self.lines.append(("answered", exchange.number, exchange.status))
        if self._feed:
            exchange.feeds.append(self._feed)

    def closed(self, exchange):
        self.lines.append(("closed", exchange.number, exchange.bytes_out))


def test_an_exchange_is_opened_answered_and_closed():
    async def scene():
        ledger, fed = Ledger(), []
        book = Book(fed.append)
        ledger.observers.append(book)
        one = ledger.open(exchange())
        assert list(ledger.in_flight.values()) == [one]
        one.head(200, [(b"content-type", b"text/event-stream")])
        one.chunk(b"ab")
        one.chunk(b"c")
        ledger.close(one)
        assert book.lines == [("opened", 1, 0), ("answered", 1, 200), ("closed", 1, 3)]
        assert fed == [b"ab", b"c"]
        assert one.content_type == "text/event-stream"
        assert one.began_at <= one.first_byte_at <= one.ended_at
        assert ledger.in_flight == {}

    asyncio.run(scene())


def test_exchanges_are_numbered_and_kept_apart():
    async def scene():
        ledger = Ledger()
        first, second = ledger.open(exchange()), ledger.open(exchange())
        ledger.close(first)
        assert ledger.in_flight == {2: second}
        assert (first.number, second.number) == (1, 2)

    asyncio.run(scene())


def test_an_observer_that_fails_costs_nobody_else(caplog):
    class Broken(Book):
        def opened(self, exchange):
            raise RuntimeError("no ink")

    async def scene():
        ledger, book = Ledger(), Book()
        ledger.observers += [Broken(), book]
        ledger.close(ledger.open(exchange("r-7")))
        assert book.lines == [("opened", 1, 0), ("closed", 1, 0)]

    with caplog.at_level(logging.ERROR):
        asyncio.run(scene())
    assert "request r-7 could not be noted" in caplog.text
