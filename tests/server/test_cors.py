"""Pages from other origins: what they may ask, and which answers they may read."""

from __future__ import annotations

import pytest

from corral.errors import LoadFailed

PAGE = {"Origin": "https://chat.example"}
ALLOW = "access-control-allow-origin"
KEYS = "apiKeys: [sesame]\n"


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/upstream/a/x", "/upstream/nobody", "/api/models", "/nothing"]
)
def test_who_asks_first_may_ask_anything(both, world, path):
    async def scene(site):
        answer = await site.http.options(path, headers=PAGE)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers[ALLOW] == "*"
        assert answer.headers["access-control-allow-methods"] == (
            "GET, POST, PUT, PATCH, DELETE, OPTIONS"
        )
        assert answer.headers["access-control-allow-headers"] == (
            "Content-Type, Authorization, Accept, X-Requested-With"
        )
        assert answer.headers["access-control-max-age"] == "86400"
        assert site.house.machine.facts == []

    both(world.alone("a", more=KEYS), scene)


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        ("content-type, X-Stainless-Lang", "content-type, X-Stainless-Lang"),
        ("a,,b b, <c>, d:e, x_1!", "a, x_1!"),
        (",", "Content-Type, Authorization, Accept, X-Requested-With"),
        ("<all wrong>", "Content-Type, Authorization, Accept, X-Requested-With"),
    ],
)
def test_headers_are_allowed_as_far_as_they_are_names(both, world, wanted, allowed):
    async def scene(site):
        answer = await site.http.options("/x", headers={"Access-Control-Request-Headers": wanted})
        assert answer.headers["access-control-allow-headers"] == allowed

    both(world.alone("a"), scene)


def test_answers_of_models_and_about_them_may_be_read(both, world):
    async def scene(site):
        site.house.processes.problems["bad"] = LoadFailed("no such file")
        for method, path, body, status in (
            ("GET", "/v1/models", None, 200),
            ("GET", "/models", None, 200),
            ("GET", "/v1/models/a", None, 200),
            ("GET", "/health", None, 200),
            ("POST", "/v1/chat/completions", {"model": "a"}, 200),
            ("POST", "/v1/chat/completions", {"model": "nobody"}, 404),
            ("POST", "/v1/messages", {"model": "bad"}, 503),
            ("GET", "/v1/messages", None, 405),
            ("GET", "/upstream/a/x", None, 200),
            ("GET", "/upstream/nobody/x", None, 404),
        ):
            answer = await site.http.request(method, path, json=body, headers=PAGE)
            assert answer.status_code == status, path
            assert answer.headers.get_list(ALLOW) == ["https://chat.example"], path
            assert answer.headers["vary"] == "Origin"
            plain = await site.http.request(method, path, json=body)
            assert ALLOW not in plain.headers

    both(world.alone("a", "bad"), scene)


def test_that_a_key_is_needed_may_be_read(both, world):
    async def scene(site):
        answer = await site.http.post("/v1/chat/completions", json={"model": "a"}, headers=PAGE)
        assert (answer.status_code, answer.headers[ALLOW]) == (401, "https://chat.example")

    both(world.alone("a", more=KEYS), scene)


@pytest.mark.parametrize(
    "path", ["/logs", "/api/models", "/running", "/api/version", "/", "/api/explain?model=a"]
)
def test_what_others_did_may_not(both, world, path):
    async def scene(site):
        answer = await site.http.get(path, headers=PAGE)
        assert answer.status_code == 200
        assert ALLOW not in answer.headers

    both(world.alone("a"), scene)


def test_an_engines_own_word_stands(play, world):
    async def scene(site):
        from corral.server.cors import readable

        sent = []

        async def send(message):
            sent.append(message)

        own = [(b"access-control-allow-origin", b"*"), (b"x", b"1")]
        guarded = readable([(b"origin", b"https://chat.example")], send)
        for message in (
            {"type": "http.response.start", "status": 200, "headers": own},
            {"type": "http.response.body", "body": b"x"},
        ):
            await guarded(message)
            assert sent[-1] is message
        assert readable([(b"host", b"x")], send) is send

    play(world.alone("a"), scene)
