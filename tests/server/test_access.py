"""Keys: who is let in, by which header, and what of it the engine gets to see."""

from __future__ import annotations

from base64 import b64encode

import pytest

from corral.errors import Unauthorized
from corral.server.access import Access

KEYS = "apiKeys: [sesame, 'öffne:dich']\n"


def basic(text):
    return b"Basic " + b64encode(text if isinstance(text, bytes) else text.encode())


def allows(*headers, keys=("sesame", "öffne:dich")):
    return Access(keys).allows(headers)


AUTH, KEY = b"authorization", b"x-api-key"


@pytest.mark.parametrize(
    "headers",
    [
        [(AUTH, b"Bearer sesame")],
        [(AUTH, b"bearer   sesame ")],
        [(AUTH, "Bearer öffne:dich".encode())],
        [(AUTH, basic("anybody:sesame"))],
        [(AUTH, basic(":sesame"))],
        [(AUTH, basic("me:öffne:dich"))],
        [(AUTH, b"BASIC  " + b64encode(b"me:sesame"))],
        [(KEY, b"sesame")],
        [(AUTH, b"Bearer"), (KEY, b"sesame")],
        [(AUTH, b"Digest whatever"), (KEY, b"sesame")],
        [(AUTH, b"Basic not base64!"), (KEY, b"sesame")],
        [(AUTH, basic("no colon")), (KEY, b"sesame")],
        [(AUTH, basic("me:sesame")), (KEY, b"wrong")],
        [(AUTH, basic("me:")), (KEY, b"sesame")],
    ],
)
def test_let_in(headers):
    assert allows(*headers)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(AUTH, b"")],
        [(AUTH, b"sesame")],
        [(AUTH, b"Bearer wrong")],
        [(AUTH, b"Bearer sesam")],
        [(AUTH, b"Bearer sesame2")],
        [(AUTH, b"Bearer SESAME")],
        [(AUTH, "Bearer öffne:dich".encode("latin-1"))],
        [(AUTH, basic("sesame:wrong"))],
        [(AUTH, basic("sesame"))],
        [(AUTH, basic("me:"))],
        [(AUTH, b"Basic " + b64encode(b"me:sesame") + b"!")],
        [(AUTH, basic(b"\xff:\xff"))],
        [(KEY, b"")],
        [(KEY, b"wrong")],
        # llama-swap's order: what is offered first decides
        [(AUTH, b"Bearer wrong"), (KEY, b"sesame")],
        [(AUTH, basic("me:wrong")), (KEY, b"sesame")],
    ],
)
def test_kept_out(headers):
    assert not allows(*headers)
    with pytest.raises(Unauthorized):
        Access(["sesame"]).check(headers)


def test_without_keys_everybody_is_let_in():
    assert Access([]).open
    assert allows(keys=())
    assert allows((AUTH, b"Bearer anything"), keys=())


# --- at the door ---


def test_every_route_but_the_open_ones_wants_a_key(both, world):
    async def scene(site):
        for method, path in (
            ("GET", "/ui"),
            ("GET", "/ui/models"),
            ("GET", "/v1/models"),
            ("GET", "/api/models"),
            ("GET", "/running"),
            ("GET", "/logs"),
            ("GET", "/logs/stream"),
            ("GET", "/unload"),
            ("GET", "/api/version"),
            ("GET", "/nothing"),
            ("GET", "/v1/chat/completions"),
            ("POST", "/v1/chat/completions"),
            ("POST", "/api/models/load/a"),
            ("POST", "/api/config/check"),
            ("POST", "/upstream/a/load"),
            ("DELETE", "/upstream/a"),
            ("GET", "/upstream/a/x"),
            ("GET", "/upstream/nobody/x"),
            ("GET", "/health/"),
        ):
            answer = await site.http.request(method, path)
            assert answer.status_code == 401, (method, path)
            assert answer.json()["error"]["code"] == "unauthorized"
            assert answer.headers["www-authenticate"].startswith("Basic ")
        for path in ("/health", "/wol-health", "/favicon.ico"):
            assert (await site.http.get(path)).status_code == 200
        assert site.house.machine.facts == []

    both(world.alone("a", more=KEYS), scene)


def test_who_types_the_address_is_asked_for_a_key(both, world):
    async def scene(site):
        for path, to in (("/", "/ui"), ("/upstream", "/ui/models")):
            answer = await site.http.get(path)
            assert (answer.status_code, answer.headers["location"]) == (302, to)
            assert (await site.http.get(to)).status_code == 401
        answer = await site.http.get("/", auth=("me", "sesame"))
        assert "unloaded" in answer.text

    both(world.alone("a", more=KEYS), scene)


def test_health_tells_strangers_little(both, world):
    async def scene(site):
        assert (await site.http.get("/health")).json() == {"status": "ok"}
        known = await site.http.get("/health", headers={"x-api-key": "sesame"})
        assert known.json()["models"] == {"a": "unloaded"}

    both(world.alone("a", more=KEYS), scene)


SECRETS = {"Authorization": "Bearer sesame", "X-Api-Key": "sesame", "X-Other": "1"}


async def seen_by_the_engine(site, path):
    answer = await site.http.post(path, headers=SECRETS, json={"model": "a"})
    assert answer.status_code == 200
    return {name: value for name, value in answer.json()["headers"]}  # noqa: C416 - pairs, as a list


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/upstream/a/v1/chat/completions"])
def test_with_keys_the_clients_own_goes_no_further(both, world, path):
    async def scene(site):
        headers = await seen_by_the_engine(site, path)
        assert headers["x-other"] == "1"
        assert "sesame" not in headers.values()
        assert {"authorization", "x-api-key"}.isdisjoint(headers)

    both(world.alone("a", more=KEYS), scene)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/upstream/a/v1/chat/completions"])
def test_without_keys_the_clients_own_is_for_the_engine(both, world, path):
    async def scene(site):
        headers = await seen_by_the_engine(site, path)
        assert headers["authorization"] == "Bearer sesame"
        assert headers["x-api-key"] == "sesame"

    both(world.alone("a"), scene)
