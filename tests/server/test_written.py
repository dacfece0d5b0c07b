"""Failures for those who read no JSON."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser

import pytest

from corral.dialects.anthropic import ANTHROPIC
from corral.dialects.openai import OPENAI
from corral.errors import ConcurrencyLimit, LoadFailed, ModelNotFound
from corral.server.responses import render
from corral.server.written import wanted

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (b"", None),
        (b"*/*", None),
        (b"application/json", None),
        (b"application/json, text/plain, */*", None),  # axios
        (b"text/event-stream", None),
        (b"text/plain", b"text/plain"),
        (b"Text/Plain; q=0.5, text/html", b"text/plain"),
        (BROWSER, b"text/html"),
    ],
)
def test_who_wants_what(accept, kind):
    form = wanted(accept)
    assert (form and form.name) == kind


def test_text_is_one_line():
    failure = LoadFailed("a did not start", log_tail=["first", "out of memory"])
    answer = render(failure, ANTHROPIC, request_id="r1", accept=b"text/plain")
    assert answer.status == 503
    assert dict(answer.headers)[b"content-type"] == b"text/plain; charset=utf-8"
    assert answer.body == b"corral: a did not start (its last line: out of memory)\n"
    assert dict(answer.headers)[b"content-length"] == b"%d" % len(answer.body)


class Seen(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data)


def test_a_page_says_the_same_and_hostile_text_stays_text():
    failure = LoadFailed(f"{HOSTILE} did not start", log_tail=[HOSTILE, "ünï"])
    answer = render(failure, OPENAI, request_id="r1", accept=BROWSER)
    seen = Seen(answer.body.decode())
    assert "503 Service Unavailable" in seen.words
    assert f"{HOSTILE} did not start" in seen.words
    assert f"{HOSTILE}\nünï" in seen.words
    assert "script" not in seen.tags
    assert any("r1" in words for words in seen.words)


def test_a_status_without_a_name_has_a_page_too():
    answer = render(ModelNotFound("no model"), OPENAI, request_id="r", accept=BROWSER)
    assert b"404 Not Found" in answer.body


@pytest.mark.parametrize("accept", [b"text/plain", BROWSER])
def test_a_429_is_json_whoever_asks(accept):
    answer = render(ConcurrencyLimit("busy", retry_after=1), OPENAI, request_id="r", accept=accept)
    assert dict(answer.headers)[b"content-type"] == b"application/json"
    assert dict(answer.headers)[b"retry-after"] == b"1"


def test_on_every_kind_of_route(both, world):
    async def scene(site):
        for path in ("/v1/chat/completions", "/upstream/nobody/x", "/api/models/load/nobody"):
            for accept, kind in (("text/plain", "text/plain"), ("text/html", "text/html")):
                answer = await site.http.post(
                    path, json={"model": "nobody"}, headers={"Accept": accept}
                )
                assert answer.status_code == 404
                assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
                assert "nobody" in answer.text
                assert answer.headers["x-request-id"]
        answers = await asyncio.gather(
            *(site.http.get("/nothing", headers={"Accept": "text/plain"}) for _ in range(3))
        )
        assert {answer.text for answer in answers} == {"corral: there is no /nothing here\n"}

    both(world.alone("a"), scene)
