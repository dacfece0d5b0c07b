"""The messages of the event stream, as llama-swap's clients read them."""

from __future__ import annotations

import json

import pytest

from corral.config.model import Capabilities
from corral.dialects import events
from corral.dialects.events import Status
from corral.wire.sse import Parser


def read(message: bytes):
    """(type, data) of the one event in it."""
    (event,) = Parser().feed(message)
    assert event.event == "message"
    envelope = json.loads(event.data)
    assert list(envelope) == ["type", "data"]
    assert isinstance(envelope["data"], str)
    return envelope["type"], json.loads(envelope["data"])


def test_an_event_is_two_lines_and_a_blank_one():
    message = events.loaded("a", 1.5)
    assert message == (
        b'event: message\ndata: {"type":"load","data":"{\\"model\\":\\"a\\",\\"seconds\\":1.5}"}\n\n'
    )


def test_model_status_is_every_model_sorted_in_llama_swaps_words():
    words = {
        "unloaded": "stopped",
        "loading": "starting",
        "ready": "ready",
        "draining": "stopping",
        "unloading": "stopping",
    }
    models = [Status(f"m{5 - n}", state) for n, state in enumerate(words)]
    kind, data = read(events.model_status(models))
    assert kind == "modelStatus"
    assert [one["id"] for one in data] == ["m1", "m2", "m3", "m4", "m5"]
    assert [one["state"] for one in reversed(data)] == list(words.values())


def test_model_status_says_what_is_configured():
    status = Status("a", "ready", "A", "the first", unlisted=True, aliases=("x", "y"))
    _, (one,) = read(events.model_status([status]))
    assert one == {
        "id": "a",
        "name": "A",
        "description": "the first",
        "state": "ready",
        "unlisted": True,
        "peerID": "",
        "aliases": ["x", "y"],
    }


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (b"", ""),
        (b"one\r\ntwo\n", "one\r\ntwo\n"),
        ("grüße \u2028 \x00".encode(), "grüße \u2028 \x00"),
        (b"cut \xe2\x82", "cut \ufffd"),
        (b'data: {"type":1}\n\n', 'data: {"type":1}\n\n'),
    ],
)
def test_any_log_line_fits_into_one_event(text, data):
    assert read(events.log_data(text)) == ("logData", {"source": "proxy", "data": data})


def test_an_eviction_names_whom_it_made_room_for():
    made = events.eviction("a", target="b", why="makes room for b: set s", at=12.5)
    why = "makes room for b: set s"
    assert read(made) == ("eviction", {"model": "a", "for": "b", "why": why, "at": 12.5})
    idle = events.eviction("a", target="", why="idle for 60 s", at=1.0)
    assert read(idle)[1]["for"] is None


def test_a_load_ends_with_its_seconds_or_its_error():
    assert read(events.loaded("a", 0.25)) == ("load", {"model": "a", "seconds": 0.25})
    assert read(events.load_failed("a", "exit 1")) == ("load", {"model": "a", "error": "exit 1"})


def test_a_switch_begins_and_ends_with_its_seconds_or_its_error():
    begun = {"model": "b", "previous": "a"}
    assert read(events.switch("b", "a")) == ("switch", begun)
    assert read(events.switch("b", "a", seconds=0.0)) == ("switch", begun | {"seconds": 0.0})
    failed = read(events.switch("b", None, error="exit 1"))
    assert failed == ("switch", {"model": "b", "previous": None, "error": "exit 1"})


def test_models_of_peers_come_last_and_what_a_model_can_do_is_told():
    able = Capabilities(inputs=("text", "image"), outputs=("text",), context=4096)
    models = [Status("a/x", peer="a"), Status("b", "ready", capabilities=able)]
    _, (own, peers) = read(events.model_status(models))
    assert (own["id"], own["capabilities"], own["context_length"]) == ("b", {"vision": True}, 4096)
    assert (peers["id"], peers["peerID"], peers["state"]) == ("a/x", "a", "")
    assert "capabilities" not in peers


def test_output_of_the_models_is_upstreams():
    assert read(events.log_data(b"x", "upstream"))[1] == {"source": "upstream", "data": "x"}


def test_what_a_page_needs_to_know():
    assert read(events.ui_config(("X-A",))) == ("uiConfig", {"activity": {"session_id": ["X-A"]}})
    assert read(events.profile_changed("work")) == ("profileChanged", {"active": "work"})
    assert read(events.profile_changed(None)) == ("profileChanged", {"active": None})
    assert read(events.activity(7)) == ("activity", {"id": 7})


def test_requests_under_way_come_all_at_once_or_one_by_one():
    one = {"id": "3", "model": "m"}
    assert read(events.in_flight([one])) == (
        "inflight",
        {"operation": "snapshot", "requests": [one]},
    )
    assert read(events.in_flight([]))[1]["requests"] == []
    assert read(events.in_flight_changed(one))[1] == {"operation": "upsert", "request": one}
    assert read(events.in_flight_ended("3"))[1] == {"operation": "remove", "id": "3"}


def test_a_heartbeat_is_no_event():
    assert Parser().feed(events.HEARTBEAT) == []
