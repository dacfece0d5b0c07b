"""What is remembered of requests over the life of a corral, and the next one's."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx

ENGINE = Path(__file__).parent / "scripted_engine.py"
PYTHON = f"{sys.executable} -S {ENGINE} --port ${{PORT}}"
CONFIG = f"""
models:
  a: {{cmd: "{PYTHON}"}}
  trickle: {{cmd: "{PYTHON} --do trickle", concurrencyLimit: 1}}
groups: {{all: {{swap: false, members: [a, trickle]}}}}
"""
CHAT = "/v1/chat/completions"


def entries(house, query=""):
    return house.http.get(f"/api/metrics/activity?{query}").json()["data"]


def test_a_restart_keeps_rows_and_ids(corral):
    for first in (1, 4):
        house = corral(CONFIG)
        for _ in range(3):
            assert house.chat("a").status_code == 200
        assert [one["id"] for one in entries(house)] == list(range(first + 2, 0, -1))
        with_capture = [one["id"] for one in entries(house) if one["has_capture"]]
        assert with_capture == [first + 2, first + 1, first]  # they are in memory only
        assert house.stop() == 0


def test_a_store_of_its_own(corral, tmp_path):
    store = tmp_path / "activity.db"
    house = corral(f"{CONFIG}store: {{path: {store}}}\n")
    assert house.chat("a").status_code == 200
    assert house.stop() == 0  # what was still to be written is
    with contextlib.closing(sqlite3.connect(store)) as connection:
        rows = connection.execute("SELECT id, model, resp_status_code FROM requests").fetchall()
    assert rows == [(1, "a", 200)]


def test_a_store_that_cannot_be_is_said_and_everyone_is_served(corral, tmp_path):
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database" * 1000)
    for store, told in ((tmp_path, "unable to open"), (broken, "a new one begins")):
        house = corral(f"{CONFIG}store: {{path: {store}}}\n")
        house.said(told)
        assert house.chat("a").status_code == 200
        assert [one["id"] for one in entries(house)] == [1]
        assert house.stop() == 0


def test_without_a_folder_for_state_there_is_a_table_all_the_same(corral, tmp_path):
    (tmp_path / "state").write_text("not a folder")
    house = corral(CONFIG)
    house.said("nothing is kept across restarts")
    assert house.chat("a").status_code == 200
    assert len(entries(house)) == 1


def test_a_stream_that_is_cancelled_ends_with_an_error_and_its_place_is_free(corral):
    house = corral(CONFIG)
    body = {"model": "trickle", "messages": [], "stream": True}
    with house.http.stream("POST", CHAT, json=body) as answer:
        lines = answer.iter_lines()
        next(lines)
        (request,) = house.http.get("/api/inflight").json()["requests"]
        assert request["model"] == "trickle"
        assert house.chat("trickle").status_code == 429
        assert house.http.post(f"/api/inflight/{request['id']}/cancel").json() == {"msg": "ok"}
        read = []
        with contextlib.suppress(httpx.RemoteProtocolError):  # it is cut, without an end
            read.extend(lines)
    error = json.loads([line for line in read if line][-1].removeprefix("data: "))["error"]
    assert error["code"] == "cancelled"
    house.until(lambda: house.state("trickle")["in_flight"] == 0)
    first, last = entries(house)[0], entries(house)[-1]
    assert (first["resp_status_code"], first["error_msg"]) == (200, "this request was cancelled")
    assert last["resp_status_code"] == 429
    captured = house.http.get(f"/api/captures/{first['id']}").json()
    assert b'"content":"x"' in base64.b64decode(captured["resp_body"])


def watch(url: str, marks: dict[str, Future[None]], ends: int) -> list[tuple[str, dict]]:
    """Events until so many requests have been entered; the first of each operation in `marks` is told there."""
    heard: list[tuple[str, dict]] = []
    with httpx.stream("GET", f"{url}/api/events", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                envelope = json.loads(line.removeprefix("data: "))
                heard.append((envelope["type"], json.loads(envelope["data"])))
                mark = marks.get(heard[-1][1].get("operation")) if is_in_flight(envelope) else None
                if mark and not mark.done():
                    mark.set_result(None)
            if sum(kind == "activity" for kind, _ in heard) == ends:
                return heard
    return heard


def is_in_flight(envelope: dict) -> bool:
    return envelope["type"] == "inflight"


def test_many_readers_all_hear_of_every_request(corral):
    house = corral(CONFIG)
    marks = [{"snapshot": Future(), "upsert": Future()} for _ in range(8)]
    with ThreadPoolExecutor(8) as pool, contextlib.ExitStack() as scope:
        scope.callback(house.stop)  # whatever happens, nobody reads for ever
        reading = [pool.submit(watch, house.url, one, 6) for one in marks]
        for one in marks:
            one["snapshot"].result(30)
        body = {"model": "trickle", "messages": [], "stream": True}
        with house.http.stream("POST", CHAT, json=body) as answer:
            lines = answer.iter_lines()  # held: without it httpx hangs up
            next(lines)
            (request,) = house.http.get("/api/inflight").json()["requests"]
            assert request["resp_bytes"] > 0
            for one in marks:
                one["upsert"].result(30)
            for _ in range(5):
                assert house.chat("a").status_code == 200
        heard = [one.result(30) for one in reading]
    for one in heard:
        assert sorted(data["id"] for kind, data in one if kind == "activity") == list(range(1, 7))
        under_way = [data for kind, data in one if kind == "inflight"]
        assert under_way[0] == {"operation": "snapshot", "requests": []}
        told = {data["request"]["id"] for data in under_way if data["operation"] == "upsert"}
        gone = {data["id"] for data in under_way if data["operation"] == "remove"}
        assert gone <= told
        assert "1" in gone
        output = "".join(
            data["data"] for kind, data in one if kind == "logData" and data["source"] == "upstream"
        )
        assert "asked POST /v1/chat/completions" in output
