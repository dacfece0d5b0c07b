"""GET / and /ui: what a person sees, and that no name of theirs becomes markup."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from corral.errors import LoadFailed

HOSTILE = "<script>alert(1)</script>\"'&amp;"


class Seen(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.words.append(data)


def test_models_states_and_links(both, world):
    async def scene(site):
        await site.house.use("org/a b")
        answer = await site.http.get("/")
        assert answer.headers["content-type"].startswith("text/html")
        seen = Seen(answer.text)
        assert {"org/a b", "ready", "second", "Bee", "unloaded"} <= set(seen.words)
        assert "/upstream/org/a%20b/" in seen.links
        assert "/logs/org/a%20b" in seen.links
        assert "script" not in seen.tags
        for link in seen.links:
            if not link.startswith("/upstream"):
                assert (await site.http.get(link)).status_code == 200

    both(world.together('"org/a b"', "second: {name: Bee}"), scene)


def test_the_pages_of_llama_swap_are_this_one(both, world):
    async def scene(site):
        page = (await site.http.get("/")).text
        for path in ("/ui", "/ui/", "/ui/models", "/ui/logs/org"):
            answer = await site.http.get(path)
            assert (answer.status_code, answer.text) == (200, page)
        for path in ("/ui/app.js", "/ui/assets/x.css"):
            assert (await site.http.get(path)).status_code == 404
        answer = await site.http.get("/upstream")
        assert (answer.status_code, answer.headers["location"]) == (302, "/ui/models")

    both(world.alone("a"), scene)


def test_an_icon(both, world):
    async def scene(site):
        answer = await site.http.get("/favicon.ico")
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.text.startswith("<svg")

    both(world.alone("a"), scene)


def test_hostile_names_stay_text(both, world):
    model = {"cmd": "x", "proxy": "http://127.0.0.1:1", "description": HOSTILE}
    config = json.dumps({"models": {HOSTILE: model, 'j"onclick="x': model | {"name": HOSTILE}}})

    async def scene(site):
        site.house.processes.problems[HOSTILE] = LoadFailed(HOSTILE)
        await site.http.post("/v1/completions", json={"model": HOSTILE})
        seen = Seen((await site.http.get("/")).text)
        assert "script" not in seen.tags
        assert seen.words.count(HOSTILE) == 4  # a name, a reason, two descriptions
        assert all(link.startswith("/") for link in seen.links)

    both(config, scene)


def test_why_the_last_load_failed(both, world):
    async def scene(site):
        site.house.processes.problems["a"] = LoadFailed("no such file")
        await site.http.post("/api/models/load/a")
        assert "no such file" in Seen((await site.http.get("/")).text).words
        site.house.processes.problems.clear()
        await site.http.post("/api/models/load/a")
        assert "no such file" not in Seen((await site.http.get("/")).text).words

    both(world.alone("a"), scene)


def test_no_models(both, world):
    async def scene(site):
        assert "No models are configured." in (await site.http.get("/")).text

    both("models: {}\n", scene)
