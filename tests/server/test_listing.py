"""`/v1/models`: which names it has, what stands behind each, and what each says of itself."""

from __future__ import annotations

import asyncio


def test_the_listing_names_what_is_configured(both, world):
    async def scene(site):
        created = int(site.house.gateway.started_at)
        listed = (await site.http.get("/v1/models")).json()
        assert listed == (await site.http.get("/models")).json()
        common = {"object": "model", "created": created, "owned_by": "corral"}
        common["status"], kind = {"value": "unloaded"}, {"type": "model"}
        about = {"type": "model", "aliases": ["x"]}
        assert listed == {
            "object": "list",
            "data": [
                {"id": "a", **common, "meta": {"llamaswap": about}},
                {"id": "b", **common, "name": "Bee", "meta": {"llamaswap": kind | {"size": "4B"}}},
            ],
        }

    both(world.alone("b: {name: Bee, metadata: {size: 4B}}", "a: {aliases: [x]}"), scene)


def test_the_listing_says_loaded_only_when_ready_and_failed_when_it_did(both, world):
    async def scene(site):
        async def status():
            return (await site.http.get("/v1/models/a")).json()["status"]["value"]

        house = site.house
        house.obey()
        loading = await house.begin(house.use("a"))
        await house.loading("a")
        assert await status() == "loading"
        house.processes.ready("a")
        await loading
        assert await status() == "loaded"
        unloading = await house.begin(house.engine.unload(["a"]))
        assert await status() == "unloading"
        house.processes.exit("a")
        await unloading
        assert await status() == "unloaded"
        loading = await house.begin(house.use("a"))
        await house.loading("a")
        house.processes.exit("a")
        await asyncio.wait([loading])
        assert await status() == "failed"
        assert "boom" in str(loading.exception().log_tail)

    both(world.alone("a"), scene)


def test_aliases_are_listed_when_asked_for_and_the_unlisted_never(both, world):
    async def scene(site):
        listed = (await site.http.get("/v1/models")).json()["data"]
        assert [one["id"] for one in listed] == ["a", "x"]
        assert listed[1]["name"] == "Ay"
        assert listed[1]["meta"]["llamaswap"] == {"type": "alias", "modelID": "a"}
        for name in ("a", "x"):
            assert (await site.http.get(f"/v1/models/{name}")).json()["id"] == name

    config = world.alone("a: {aliases: [x], name: Ay}", "b: {unlisted: true, aliases: [y]}")
    both(config + "includeAliasesInList: true\n", scene)


def test_one_model_by_id_or_alias_also_when_unlisted(both, world):
    async def scene(site):
        for name in ("org/a", "org%2Fa", "x"):
            assert (await site.http.get(f"/v1/models/{name}")).json()["id"] == "org/a"
        for name in ("active", "org", "", "org/a/"):
            answer = await site.http.get(f"/v1/models/{name}")
            assert answer.status_code == 404
            assert answer.json()["error"]["code"] == "model_not_found"

    both(world.alone("org/a: {unlisted: true, aliases: [x]}"), scene)


EVERYTHING = """
peers:
  far: {proxy: 'http://127.0.0.1:1', models: [big, a, other/deep]}
selectors:
  first: {strategy: pin, targets: [a, b], name: First, metadata: {for: chat}}
  any: {strategy: warm, targets: [a, nick]}
  busy: {strategy: spillover, targets: [far/big, b], settings: {spillover: 3}}
  hidden: {strategy: pin, targets: [a], unlisted: true}
profiles:
  evening: {pins: {gpt-4o: any, remote: big, plain: b, a: b, any: b, off: ''}}
groups: {all: {swap: false, members: [a, b]}}
"""


async def entries(site):
    return {one["id"]: one for one in (await site.http.get("/v1/models")).json()["data"]}


def about(entry):
    return entry["meta"]["llamaswap"]


def test_peers_and_selectors(both, world):
    async def scene(site):
        listed = await entries(site)
        assert list(listed) == sorted(listed)
        assert set(listed) == {
            *("a", "b", "far/a", "far/big", "far/other/deep", "first", "any", "busy"),
        }
        assert listed["far/big"]["name"] == "far: big"
        assert about(listed["far/big"]) == {"type": "peer", "peerID": "far"}
        first = {"type": "selector", "strategy": "pin", "targets": ["a", "b"], "for": "chat"}
        assert about(listed["first"]) == first
        assert listed["first"]["name"] == "First"
        busy = {"type": "selector", "strategy": "spillover", "targets": ["far/big", "b"]}
        assert about(listed["busy"]) == busy | {"spillover": 3}
        assert {one["status"]["value"] for one in listed.values()} == {"unloaded"}

    both(world.alone("a", "b: {aliases: [nick]}", more=EVERYTHING), scene)


def test_a_selector_is_what_its_targets_are(both, world):
    async def scene(site):
        await site.house.use("b")
        listed = await entries(site)
        status = {name: one["status"]["value"] for name, one in listed.items()}
        assert status["b"] == status["any"] == status["busy"] == "loaded"
        assert status["first"] == status["a"] == "unloaded"

    both(world.alone("a", "b: {aliases: [nick]}", more=EVERYTHING), scene)


def test_the_active_profiles_pins(both, world):
    async def scene(site):
        before = set(await entries(site))
        site.house.gateway.routing.activate("evening")
        await site.house.use("b")
        listed = await entries(site)
        assert set(listed) - before == {"gpt-4o", "remote", "plain"}
        assert about(listed["gpt-4o"]) == {"type": "profile", "target": "any"}
        status = {name: one["status"]["value"] for name, one in listed.items()}
        assert (status["gpt-4o"], status["plain"], status["remote"]) == (
            *["loaded"] * 2,
            "unloaded",
        )
        assert (await site.http.get("/v1/models/gpt-4o")).json() == listed["gpt-4o"]
        site.house.gateway.routing.activate(None)
        assert set(await entries(site)) == before
        assert (await site.http.get("/v1/models/gpt-4o")).status_code == 404

    both(world.alone("a", "b: {aliases: [nick]}", more=EVERYTHING), scene)


def test_one_of_any_kind_by_any_name(both, world):
    async def scene(site):
        for name, shown in (
            ("nick", "b"),
            ("far/a", "far/a"),
            ("big", "far/big"),
            ("other/deep", "far/other/deep"),
            ("hidden", "hidden"),
        ):
            assert (await site.http.get(f"/v1/models/{name}")).json()["id"] == shown

    both(world.alone("a", "b: {aliases: [nick]}", more=EVERYTHING), scene)


def test_what_a_model_can_do(both, world):
    async def scene(site):
        entry = (await site.http.get("/v1/models/a")).json()
        assert entry["architecture"]["modality"] == "text+image->text"
        assert entry["capabilities"] == {"vision": True, "function_calling": True}
        assert (entry["context_length"], entry["meta"]["n_ctx"]) == (4096, 4096)

    able = "a: {capabilities: {in: [text, image], out: [text], tools: true, context: 4096}}"
    both(world.alone(able), scene)
