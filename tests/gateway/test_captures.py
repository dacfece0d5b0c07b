"""What is kept of requests and answers, for how long, and what never is."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import tracemalloc

import pytest

from corral.dialects import endpoints
from corral.gateway.captures import OVERHEAD, WORTH_PACKING, Captures
from corral.gateway.exchange import Exchange
from corral.gateway.ports import Body

JSON = [(b"content-type", b"application/json")]
ROOMY = 2**24


class OnDisk(Body):
    size = 5_000_000


def exchange(path="/v1/completions", body=b"{}", headers=JSON, method="POST"):
    endpoint = endpoints.find(method, path)
    return Exchange(method, path, endpoint, "r", "", "127.0.0.1", headers, body, model="m")


def captured(captures, given, *pieces, status=200, headers=JSON, number=1):
    """Let an answer go by, and keep the whole under that id; the capture, None when there is none."""
    given.head(status, headers)
    taking = captures.take(given)
    for piece in pieces:
        if taking:
            taking.feed(piece)
    capture = captures.keep(given, taking)
    if capture:
        captures.name(capture, number)
    assert captures.taken == 0
    return capture


def bodies(shown):
    return base64.b64decode(shown["req_body"]), base64.b64decode(shown["resp_body"])


def test_a_request_and_its_answer_are_kept_whole():
    captures = Captures(ROOMY)
    capture = captured(captures, exchange(body=b'{"model":"m"}'), b"one ", b"two")
    assert 1 in captures
    assert captures[1] is capture
    shown = capture.shown()
    assert list(shown) == ["id", "req_path", "req_headers", "req_body", "resp_headers", "resp_body"]
    assert (shown["id"], shown["req_path"]) == (1, "/v1/completions")
    assert bodies(shown) == (b'{"model":"m"}', b"one two")
    assert shown["resp_headers"] == {"content-type": "application/json"}


def test_secrets_are_never_held():
    secret = b"hunter2"
    asked = [
        (name, secret)
        for name in (b"authorization", b"proxy-authorization", b"cookie", b"x-api-key", b"api-key")
    ]
    asked.append((b"referer", b"http://h/?api_key=" + secret))
    captures = Captures(ROOMY)
    capture = captured(
        captures, exchange(headers=asked), b"{}", headers=[*JSON, (b"set-cookie", secret)]
    )
    held = [getattr(capture, name) for name in capture.__slots__]
    assert secret not in repr(held).encode()
    shown = json.dumps(capture.shown())
    assert secret.decode() not in shown
    assert shown.count("[REDACTED]") == 7


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        ("/v1/audio/speech", ["resp_body"]),
        ("/v1/audio/transcriptions", ["req_body"]),
        ("/v1/images/generations", ["resp_body"]),
        ("/v1/images/edits", ["req_body", "resp_body"]),
        ("/v/images/generations", ["resp_body"]),
        ("/sdapi/v1/txt2img", ["resp_body"]),
        ("/sdapi/v1/img2img", ["req_body", "resp_body"]),
    ],
)
def test_sound_and_pictures_are_not_kept(path, left_out):
    shown = captured(Captures(ROOMY), exchange(path, b"asked"), b"said").shown()
    assert shown["left_out"] == left_out
    assert [name for name in ("req_body", "resp_body") if not shown[name]] == left_out


@pytest.mark.parametrize("kind", [b"audio/mpeg", b"image/png", b"video/mp4"])
def test_nor_by_its_type(kind):
    shown = captured(Captures(ROOMY), exchange(), b"x", headers=[(b"content-type", kind)]).shown()
    assert shown["left_out"] == ["resp_body"]


@pytest.mark.parametrize("status", [404, 429, 500])
def test_of_an_error_the_request_is_kept(status):
    shown = captured(Captures(ROOMY), exchange(body=b"asked"), b"no", status=status).shown()
    assert bodies(shown) == (b"asked", b"")
    assert shown["left_out"] == ["resp_body"]


def test_a_body_that_is_on_disk_is_not_read_back():
    shown = captured(Captures(ROOMY), exchange(body=OnDisk()), b"said").shown()
    assert (bodies(shown), shown["left_out"]) == ((b"", b"said"), ["req_body"])


def test_the_oldest_makes_room():
    captures = Captures(10 * (OVERHEAD + 1000))
    for n in range(1, 51):
        captured(captures, exchange(body=b"x" * 850), b"y" * 50, number=n)
    kept = [n for n in range(1, 51) if n in captures]
    assert kept == list(range(51 - len(kept), 51))
    assert len(kept) == 10
    with pytest.raises(KeyError):
        captures[1]


def test_what_is_larger_than_all_the_room_is_skipped_and_costs_nobody_theirs():
    captures = Captures(10_000)
    captured(captures, exchange(), b"small", number=1)
    big = captured(captures, exchange(), *[b"y" * 1000] * 20, number=2)
    assert big.shown()["left_out"] == ["resp_body"]
    assert captured(captures, exchange(body=b"x" * 20_000), b"", number=3) is None
    assert [n for n in (1, 2, 3) if n in captures] == [1, 2]


def test_long_headers_count():
    captures = Captures(100_000)
    for n in range(1, 100):
        captured(captures, exchange(headers=[(b"x-long", b"h" * 20_000)]), b"", number=n)
    assert sum(n in captures for n in range(1, 100)) == 4


def test_answers_under_way_share_one_bound_too(run):
    async def scene():
        captures = Captures(2**20)
        tracemalloc.start()
        takings = []
        for _ in range(50):
            one = exchange()
            one.head(200, JSON)
            takings.append((one, captures.take(one)))
        for _ in range(100):
            for _, taking in takings:
                taking.feed(b"x" * 10_000)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert held < 4 * 2**20  # of fifty
        assert captures.taken <= captures.limit
        for number, (one, taking) in enumerate(takings, 1):
            captures.name(captures.keep(one, taking), number)
        assert captures.taken == 0
        captures.close()

    run(scene())


def test_less_room_after_a_reload_and_none_at_all():
    captures = Captures(ROOMY)
    for n in range(1, 11):
        captured(captures, exchange(body=b"x" * 1000), b"", number=n)
    captures.resize(3 * (OVERHEAD + 1100))
    assert [n for n in range(1, 11) if n in captures] == [8, 9, 10]
    captures.resize(0)
    assert not any(n in captures for n in range(1, 11))


def test_one_that_has_left_before_it_got_its_id_has_none():
    captures = Captures(2 * (OVERHEAD + 1000))
    first = captures.keep(exchange(body=b"x" * 500), None)
    for _ in range(3):
        captures.keep(exchange(body=b"x" * 500), None)
    captures.name(first, 1)
    assert 1 not in captures


def test_an_answer_that_was_compressed_on_its_way_is_shown_as_it_reads():
    headers = [*JSON, (b"content-encoding", b"gzip")]
    capture = captured(Captures(ROOMY), exchange(), gzip.compress(b"said"), headers=headers)
    assert bodies(capture.shown())[1] == b"said"


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"nonsense"])
def test_what_cannot_be_read_is_shown_as_it_came(encoding):
    headers = [*JSON, (b"content-encoding", encoding)]
    capture = captured(Captures(ROOMY), exchange(), b"\x01\x02", headers=headers)
    assert bodies(capture.shown())[1] == b"\x01\x02"


def test_long_bodies_are_packed_afterwards(run):
    async def scene():
        captures = Captures(3 * WORTH_PACKING)
        asked, said = b"a" * WORTH_PACKING, b"b" * WORTH_PACKING
        for n in range(1, 11):
            capture = captured(captures, exchange(body=asked), said, number=n)
            while not capture.packed:  # noqa: ASYNC110 - a thread's work offers nothing to wait on
                await asyncio.sleep(0)
        assert all(n in captures for n in range(1, 11))
        assert bodies(captures[1].shown()) == (asked, said)
        captures.close()

    run(scene())


def test_packing_ends_with_corral(run):
    async def scene():
        captures = Captures(ROOMY)
        for n in range(1, 11):
            captured(captures, exchange(body=b"a" * 100_000), b"", number=n)
        captures.close()
        await asyncio.sleep(0)
        assert bodies(captures[10].shown())[0] == b"a" * 100_000

    run(scene())
