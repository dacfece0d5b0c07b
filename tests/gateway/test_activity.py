"""What is written down of requests, when, and what happens when it cannot be."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading

import pytest

from corral.config.load import Source, load
from corral.dialects import endpoints
from corral.dialects.activity import FIELDS, Wanted
from corral.errors import CorralError
from corral.gateway import activity as activity_module
from corral.gateway.activity import books
from corral.gateway.exchange import Exchange, Ledger
from corral.gateway.inforce import InForce
from corral.host import storage
from corral.host.activity import Activity as Table
from corral.host.storage import Storage

CONFIG = "models: {m: {cmd: serve, proxy: 'http://127.0.0.1:1'}}\n"
JSON = [(b"content-type", b"application/json")]
SAID = b'{"usage":{"prompt_tokens":10,"completion_tokens":20}}'
BOUND = 30


class Books:
    """A ledger whose exchanges are entered into a database."""

    def __init__(self, opened, more=""):
        self.inforce = InForce(config(more))
        self.ledger = Ledger()
        self.activity = books(self.inforce, self.ledger, Table(opened))
        self.told = []
        self.news = asyncio.Event()
        self.activity.listeners.append(self._heard)

    def _heard(self, numbers):
        self.told.extend(numbers)
        self.news.set()

    def answered(self, *pieces, status=200, headers=JSON, **given):
        one = self.open(**given)
        one.head(status, headers)
        for piece in pieces or (SAID,):
            one.chunk(piece)
        self.ledger.close(one)
        return one

    def open(self, method="POST", path="/v1/completions", model="m", **given):
        endpoint = endpoints.find(method, path)
        one = Exchange(method, path, endpoint, "r", "", "127.0.0.1", JSON, **given)
        one.model = model
        return self.ledger.open(one)

    async def rows(self, **wanted):
        total, rows = await self.activity.page(Wanted(**{"limit": 999} | wanted))
        assert total >= len(rows)
        return [dict(zip(("id", *FIELDS), row, strict=True)) for row in rows]

    async def written(self, count):
        async with asyncio.timeout(BOUND):
            while len(self.told) < count:
                self.news.clear()
                await self.news.wait()


def config(more=""):
    return load([Source("config.yaml", CONFIG + more)], {})


@pytest.fixture
def play(run):
    def go(scene, path=None, more=""):
        async def whole():
            async with Storage(path) as opened:
                kept = Books(opened, more)
                await scene(kept)
                kept.activity.close()

        run(whole())

    return go


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.WARNING, "corral")
    return lambda name: [r.getMessage() for r in caplog.records if r.name == name]


# --- rows ---------------------------------------------------------------------------------------


def test_a_request_is_a_row(play):
    async def scene(kept):
        one = kept.answered(metadata={"selector": "s"})
        (row,) = await kept.rows()
        assert row.pop("at") == int(one.began * 1000)
        assert row.pop("duration_ms") == round(1000 * (one.ended_at - one.began_at))
        assert row == {
            "id": 1,
            "model": "m",
            "req_path": "/v1/completions",
            "resp_content_type": "application/json",
            "resp_status_code": 200,
            "cache_tokens": -1,
            "draft_tokens": -1,
            "draft_acc_tokens": -1,
            "input_tokens": 10,
            "output_tokens": 20,
            "prompt_per_second": -1.0,
            "tokens_per_second": -1.0,
            "error_msg": "",
            "metadata": '{"selector": "s"}',
        }

    play(scene)


@pytest.mark.parametrize(
    "given", [{"method": "GET", "path": "/props"}, {"path": "/other"}, {"model": ""}]
)
def test_what_is_no_request_for_a_model_is_no_row(play, given):
    async def scene(kept):
        kept.answered(**given)
        assert await kept.rows() == []
        assert len(kept.activity.captures._all) == 0

    play(scene)


@pytest.mark.parametrize("tiny", ["1e-320", "1e-9"])
def test_speeds_that_cannot_be_are_not_believed(play, tiny):
    async def scene(kept):
        body = b'{"usage":{"prompt_tokens":9},"metrics":{"time_to_first_token_ms":%b,"mean_itl_ms":%b}}'
        kept.answered(body % (tiny.encode(), tiny.encode()))
        (row,) = await kept.rows()
        assert (row["prompt_per_second"], row["tokens_per_second"]) == (-1.0, -1.0)
        assert row["input_tokens"] == 9

    play(scene)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (500, b'{"error":{"message":"it broke"}}', "it broke"),
        (400, b'{"error":"bad"}', "bad"),
        (422, b'{"detail":"no such field"}', "no such field"),
        (503, b"<html>", "503 Service Unavailable"),
        (418, b"", "418 I'm a Teapot"),
        (599, b"", "599"),
    ],
)
def test_an_error_says_what_the_engine_said(play, status, body, told):
    async def scene(kept):
        kept.answered(body, status=status)
        kept.answered(body, status=status, path="/tokenize")
        for row in await kept.rows():
            assert (row["resp_status_code"], row["error_msg"]) == (status, told)

    play(scene)


def test_what_corral_itself_answered_is_a_row_too(play):
    async def scene(kept):
        one = kept.open()
        one.status, one.error = 429, "m has as many requests as it takes" * 100
        kept.ledger.close(one)
        (row,) = await kept.rows()
        assert row["resp_status_code"] == 429
        assert row["error_msg"] == one.error[:500]
        (capture,) = kept.activity.captures._all
        assert capture.shown()["left_out"] == ["resp_body"]

    play(scene)


def test_rows_are_told_of_once_they_are_there(play, monkeypatch):
    monkeypatch.setattr(activity_module, "EVERY", 0)

    async def scene(kept):
        for n in range(1, 4):
            kept.answered()
            await kept.written(n)
            assert [row["id"] for row in await kept.rows()] == list(range(n, 0, -1))
        assert kept.told == [1, 2, 3]

    play(scene)


def test_whoever_asks_sees_what_has_just_ended(play):
    async def scene(kept):
        for n in range(1, 20):
            kept.answered()
            assert len(await kept.rows()) == n
            assert (await kept.activity.stats("m"))[:3] == (n, 10 * n, 20 * n)

    play(scene)


def test_a_row_and_its_capture_have_the_same_id(play):
    async def scene(kept):
        for n in range(5):
            kept.answered(b"answer %d" % n, body=b"request %d" % n)
        await kept.rows()
        await kept.written(5)
        for n in range(5):
            assert kept.activity.captures[n + 1].asked == b"request %d" % n

    play(scene)


def test_a_restart_keeps_ids_and_rows(play, tmp_path):
    async def scene(kept):
        before = len(await kept.rows())
        for _ in range(3):
            kept.answered()
        assert [row["id"] for row in await kept.rows()] == list(range(before + 3, 0, -1))
        kept.answered()  # and what waits is written while corral stops

    for _ in range(3):
        play(scene, tmp_path / "corral.db")


def test_without_captures_none_are_taken(play):
    async def scene(kept):
        one = kept.open()
        one.head(200, JSON)
        assert len(one.feeds) == 1  # the meter's
        one.chunk(SAID)
        kept.ledger.close(one)
        await kept.rows()
        await kept.written(1)
        assert 1 not in kept.activity.captures

    play(scene, more="captureBuffer: 0\n")


def test_a_reload_says_anew_how_much_is_kept(play):
    async def scene(kept):
        for _ in range(20):
            kept.answered()
        assert len(await kept.rows()) == 20
        await kept.written(20)
        kept.inforce.adopt(config("captureBuffer: 0\nmetricsMaxInMemory: 7\n"))
        kept.answered()
        assert [row["id"] for row in await kept.rows()] == list(range(21, 14, -1))
        assert not any(n in kept.activity.captures for n in range(30))

    play(scene)


def test_an_observer_that_fails_fails_nobody(play, said):
    async def scene(kept):
        kept.answered(metadata={"what": object()})
        kept.answered()
        assert len(await kept.rows()) == 1
        assert said("corral.ledger") == ["request r could not be noted"]

    play(scene)


# --- when it cannot be written ------------------------------------------------------------------


def test_a_locked_file_is_tried_again_and_nothing_is_missing(play, said, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LOCKED", 0.05)
    monkeypatch.setattr(activity_module, "EVERY", 0)
    monkeypatch.setattr(activity_module, "AGAIN", 0)
    path = tmp_path / "corral.db"

    async def scene(kept):
        assert await kept.rows() == []
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(10):
                kept.answered()
            async with asyncio.timeout(BOUND):
                while not said("corral.activity"):  # noqa: ASYNC110 - the log offers nothing to wait on
                    await asyncio.sleep(0)
            assert await kept.rows() == []
            other.execute("ROLLBACK")
        await kept.written(10)
        assert len(await kept.rows()) == 10
        assert said("corral.activity") == [
            "requests are not entered in the table of requests: database is locked",
            "requests are entered in the table of requests again; none is missing",
        ]
        assert said("corral.storage") == []

    play(scene, path)


def test_a_disk_that_hangs_costs_rows_and_they_are_counted(play, said, tmp_path, monkeypatch):
    monkeypatch.setattr(activity_module, "WAITING", 5)
    monkeypatch.setattr(activity_module, "EVERY", 0)
    monkeypatch.setattr(storage, "PATIENCE", 0.05)
    disk = threading.Event()

    async def scene(kept):
        kept.activity._table._storage.tell(lambda _: disk.wait(BOUND))
        for _ in range(20):
            kept.answered()
            await asyncio.sleep(0)
        assert repr(kept.activity) == "<Activity: 5 rows waiting>"
        assert kept.activity.captures.taken == 0
        with pytest.raises(CorralError, match="cannot be read now"):
            await kept.rows()
        disk.set()
        await kept.written(5)
        assert said("corral.activity") == [
            "requests are not entered in the table of requests: the disk does not keep up",
            "requests are entered in the table of requests again; 15 are missing",
        ]
        monkeypatch.setattr(storage, "PATIENCE", BOUND)
        kept.answered()
        assert len(await kept.rows()) == 6

    try:
        play(scene, tmp_path / "corral.db")
    finally:
        disk.set()


def test_more_jobs_than_wait_for_the_disk_cost_rows_too(play, said, monkeypatch):
    monkeypatch.setattr(storage, "WAITING", 1)
    disk, begun = threading.Event(), threading.Event()

    def slow(_):
        begun.set()
        disk.wait(BOUND)

    async def scene(kept):
        kept.activity._table._storage.tell(slow)
        await asyncio.to_thread(begun.wait, BOUND)
        kept.activity._table._storage.tell(lambda _: None)
        kept.answered()
        kept.activity._write()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert said("corral.activity")[0].endswith("they could not be written")
        disk.set()

    try:
        play(scene)
    finally:
        disk.set()
