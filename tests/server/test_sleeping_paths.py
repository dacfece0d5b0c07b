"""Paths that wake no model: those of `upstream.ignorePaths`, and ComfyUI's."""

from __future__ import annotations

import pytest

from corral.scheduler.events import Arrived

COMFYUI = "comfyui_auto"


async def code(site, path, method="GET"):
    answer = await site.http.request(method, path)
    if answer.status_code == 200:
        return 200, answer.json()["target"]
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(
    "path",
    [
        "/upstream/a/favicon.ico",
        "/upstream/a/deep/app.js",
        "/upstream/a/style.css?v=1",
        "/upstream/nick/app.js",
        "/upstream/a/%61pp%2Ejs",
    ],
)
def test_an_ignored_path_wakes_nothing_and_is_served_when_ready(both, world, path):
    async def scene(site):
        assert await code(site, path) == (409, "model_not_loaded")
        assert await code(site, path, "POST") == (409, "model_not_loaded")
        assert site.house.machine.of(Arrived) == []
        assert (await code(site, "/upstream/a/"))[0] == 200
        assert (await code(site, path))[0] == 200

    both(world.alone("a: {aliases: [nick]}"), scene)


@pytest.mark.parametrize("path", ["/", "/v1/chat/completions", "/app.js/", "/appjs", "/x?y=app.js"])
def test_other_paths_wake(both, world, path):
    async def scene(site):
        assert await code(site, f"/upstream/a{path}") == (200, path)

    both(world.alone("a"), scene)


def test_the_patterns_are_the_configurations(both, world):
    async def scene(site):
        assert await code(site, "/upstream/a/app.js") == (200, "/app.js")
        await site.house.engine.unload(["a"])
        assert await code(site, "/upstream/a/x/ping") == (409, "model_not_loaded")

    both(world.alone("a", more="upstream: {ignorePaths: ['/ping$', '^/zz']}\n"), scene)


def test_a_loading_model_is_not_ready(play, world):
    async def scene(site):
        site.house.obey()
        loading = await site.house.begin(site.house.use("a"))
        await site.house.loading("a")
        assert await code(site, "/upstream/a/app.js") == (409, "model_not_loaded")
        site.house.processes.ready("a")
        await loading

    play(world.alone("a"), scene)


def test_a_peers_paths_are_the_peers(both, world, peer):
    async def scene(site):
        async with peer() as far:
            peers = f"peers: {{p: {{proxy: '{far.url}/base', models: [org/m]}}}}\n"
            await site.house.reload(world.alone("a") + peers)
            path = "/upstream/p/org/m/x%2Fapp.js?y=1"
            assert await code(site, path) == (200, "/base/x%2Fapp.js?y=1")
            assert (await code(site, "/upstream/org/m/load", "POST"))[0] == 200
            assert site.house.machine.of(Arrived) == []
            await site.http.aclose()  # the peer is gone before corral is
            await site.house.peers.aclose()

    both(world.alone("a"), scene)


@pytest.mark.parametrize(("method", "status"), [("GET", 301), ("HEAD", 301), ("POST", 308)])
def test_comfyui_without_a_slash_is_redirected(both, world, method, status):
    async def scene(site):
        for query in ("", "?token=%2F"):
            answer = await site.http.request(method, f"/comfyui{query}")
            assert (answer.status_code, answer.headers["location"]) == (
                status,
                f"/comfyui/{query}",
            )
        assert site.house.machine.of(Arrived) == []

    both(world.alone(COMFYUI), scene)


def test_only_comfyuis_first_page_wakes_it(both, world):
    async def scene(site):
        for path in ("/comfyui/ws", "/comfyui/api/prompt", "/comfyui//", "/comfyui/index.html"):
            for method in ("GET", "POST"):
                assert await code(site, path, method) == (409, "model_not_loaded")
        assert site.house.machine.of(Arrived) == []
        assert await code(site, "/comfyui/?x=1") == (200, "/?x=1")
        path = "/api/userdata/workflows%2Fa%252Fb.json?preview=1"
        assert await code(site, f"/comfyui{path}") == (200, path)
        assert await code(site, "/comfyui/api/prompt", "POST") == (200, "/api/prompt")

    both(world.alone(COMFYUI), scene)


@pytest.mark.parametrize("path", ["/comfyui", "/comfyui/", "/comfyui/x"])
def test_comfyui_needs_the_model_of_that_name_here(both, world, peer, path):
    async def scene(site):
        assert await code(site, path) == (404, "model_not_found")

    peers = f"peers: {{p: {{proxy: 'http://127.0.0.1:1', models: [{COMFYUI}]}}}}\n"
    both(world.alone(f"a: {{aliases: [x-{COMFYUI}]}}", more=peers), scene)


def test_what_only_begins_like_comfyui(both, world):
    async def scene(site):
        assert await code(site, "/comfyuis") == (404, "not_found")

    both(world.alone(COMFYUI), scene)


def test_comfyui_wants_the_key(both, world):
    async def scene(site):
        assert await code(site, "/comfyui/") == (401, "unauthorized")
        answer = await site.http.get("/comfyui/", headers={"Authorization": "Bearer k"})
        assert answer.status_code == 200

    both(world.alone(COMFYUI, more="apiKeys: [k]\n"), scene)
