"""Corral's log and what the models print: which ring has what, and what goes to stdout."""

from __future__ import annotations

import asyncio
import logging
import re
import threading

import pytest

from corral.config.load import Source, load
from corral.host.journal import LEVELS, Journal, journal
from corral.host.printer import Printer

log = logging.getLogger("corral.test")


def config(text=""):
    return load([Source("config.yaml", text or "{}")], {})


def kept(text, scene):
    """Run `scene(journal)` with a journal as configured; what it printed."""
    printed = bytearray()

    def write(piece):
        printed.extend(piece)
        return len(piece)

    async def whole():
        logger = logging.getLogger("corral")
        before = logger.level, logger.propagate
        book = Journal(config(text), Printer(write))
        logger.addHandler(book)
        logger.propagate = False
        try:
            done = scene(book)
            if done is not None:
                await done
        finally:
            logger.removeHandler(book)
            logger.setLevel(before[0])
            logger.propagate = before[1]
            book.close()

    asyncio.run(whole())
    return bytes(printed)


@pytest.mark.parametrize(
    ("shown", "own", "models"),
    [
        ("proxy", True, False),
        ("upstream", False, True),
        ("both", True, True),
        ("none", False, False),
    ],
)
def test_what_goes_to_stdout(shown, own, models):
    books = []

    def scene(book):
        books.append(book)
        log.info("corral speaks")
        book.models.write(b"a model speaks\n")

    printed = kept(f"logToStdout: {shown}", scene)
    assert (b"corral speaks\n" in printed, b"a model speaks\n" in printed) == (own, models)
    (book,) = books
    assert book.printed.history() == printed, "the ring has what was printed"
    assert b"corral speaks" in book.own.history(), "each has a ring of its own, printed or not"
    assert book.models.history() == b"a model speaks\n"


def test_a_line_has_a_time_a_level_and_a_message():
    printed = kept("", lambda _: log.warning("look: %d", 3))
    assert re.fullmatch(rb"\d\d:\d\d:\d\d WARNING look: 3\n", printed)


def test_a_traceback_comes_with_it():
    def scene(_):
        try:
            int("why")
        except ValueError:
            log.exception("failed")

    printed = kept("", scene)
    assert b"ERROR   failed\nTraceback" in printed
    assert printed.endswith(b"'why'\n")


def test_the_time_in_another_way_and_at_once_after_a_reload():
    def scene(book):
        log.info("one")
        book.adopt(config("{logTimeFormat: rfc3339, logLevel: warn}"))
        log.info("hidden")
        log.warning("two")

    first, second = kept("logTimeFormat: kitchen", scene).decode().splitlines()
    assert re.fullmatch(r"\d{1,2}:\d\d[AP]M INFO    one", first)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d) WARNING two", second)


@pytest.mark.parametrize("level", LEVELS)
def test_levels(level):
    def scene(_):
        for name in LEVELS.values():
            log.log(name, "%d.", name)

    printed = kept(f"logLevel: {level}", scene).decode()
    assert re.findall(r"(\d+)\.", printed) == [
        str(one) for one in LEVELS.values() if one >= LEVELS[level]
    ]


def test_several_lines_in_one_record_each_with_its_moment():
    printed = kept("", lambda _: log.info("one\ntwo", extra={"moments": [0.0, 61.0]}))
    first, second = printed.decode().splitlines()
    assert first.endswith("INFO    one")
    assert second.endswith("INFO    two")
    assert first[6:8] == "00"
    assert second[6:8] == "01"


def test_a_thread_may_log():
    async def scene(book):
        following = book.own.follow()
        thread = threading.Thread(target=log.info, args=("from afar",))
        thread.start()
        async with asyncio.timeout(30):
            assert (await anext(following)).endswith(b"from afar\n")
        thread.join(30)

    assert b"from afar\n" in kept("", scene)


def test_a_thread_that_outlives_the_loop_may_log_too():
    books = []

    def scene(book):
        books.append(book)

    kept("", scene)
    thread = threading.Thread(
        target=books[0].emit, args=(log.makeRecord("corral", 20, "", 0, "late", (), None),)
    )
    thread.start()
    thread.join(30)


def test_what_cannot_be_encoded_or_formatted_fails_nobody(capsys):
    def scene(_):
        log.info("lone \ud800 surrogate")
        wrong = "two %s %s"
        log.info(wrong, "one")
        log.info("and on")

    printed = kept("", scene)
    assert b"lone \\ud800 surrogate\n" in printed
    assert printed.endswith(b"and on\n")
    assert "not enough arguments" in capsys.readouterr().err


def test_followers_end_and_the_last_words_are_printed():
    async def scene(book):
        following = book.printed.follow()
        book.own.close()
        book.printed.close()
        log.info("last words")
        assert [piece async for piece in following] == []

    assert kept("", scene).endswith(b"last words\n")


def test_the_block_leaves_logging_as_it_was():
    logger = logging.getLogger("corral")
    before = logger.level, logger.propagate, list(logger.handlers)

    async def whole():
        with journal(config("{logToStdout: none, logLevel: debug}")) as book:
            log.debug("heard")
            assert b"heard" in book.own.history()

    asyncio.run(whole())
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
