"""`POST /api/reload`: who may, and what it answers."""

from __future__ import annotations


def test_what_changed(play, alone):
    async def scene(site):
        site.house.text = alone("a: {ttl: 5}", "c", more="logToStdout: both\n")
        answer = await site.http.post("/api/reload")
        assert answer.status_code == 200
        told = answer.json()
        assert told.pop("notes")[0].startswith("`logToStdout` changed")
        assert told == {
            "ok": True,
            "added": ["c"],
            "removed": ["b"],
            "restarted": [],
            "updated": ["a"],
            "kept": [],
            "rechecked": [],
            "settings": ["groups", "logToStdout"],
            "preload": [],
        }
        assert (await site.http.get("/api/models/b")).status_code == 404
        assert (await site.http.get("/api/models/c")).json()["state"] == "unloaded"

    play(alone("a", "b"), scene)


def test_every_problem(play, alone):
    async def scene(site):
        site.house.text = alone("a: {tll: 5}") + "logLevel: loud\n"
        answer = await site.http.post("/api/reload")
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert error["code"] == "invalid_config"
        assert [problem["path"] for problem in error["problems"]] == ["models.a.tll", "logLevel"]
        assert [problem["line"] for problem in error["problems"]] == [2, 3]
        assert (await site.http.get("/api/models/a")).json()["ttl"] == 0

    play(alone("a"), scene)


def test_a_key_is_needed_and_the_new_ones_count(play, alone):
    async def scene(site):
        post = site.http.post
        assert (await post("/api/reload")).status_code == 401
        site.house.text = alone("a", more="apiKeys: [two]\n")
        one, two = ({"Authorization": f"Bearer {key}"} for key in ("one", "two"))
        assert (await post("/api/reload", headers=one)).status_code == 200
        assert (await post("/api/reload", headers=one)).status_code == 401
        assert (await post("/api/reload", headers=two)).json()["settings"] == []

    play(alone("a", more="apiKeys: [one]\n"), scene)


def test_only_by_post(play, alone):
    async def scene(site):
        answer = await site.http.get("/api/reload")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")

    play(alone("a"), scene)


def test_while_corral_leaves(play, alone):
    async def scene(site):
        await site.house.gateway.reloader.aclose()
        answer = await site.http.post("/api/reload")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "shutting_down")

    play(alone("a"), scene)
