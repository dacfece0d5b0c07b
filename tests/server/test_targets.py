"""Where a request goes and what becomes of its body on the way: filters, peers, selectors, profiles, through the whole HTTP face."""

from __future__ import annotations

import asyncio
import json

import pytest

from corral.scheduler.events import Arrived

CHAT = "/v1/chat/completions"
CONFIG = """
models:
  a: {{cmd: serve, proxy: "http://localhost:1", aliases: [nick],
      filters: {{stripParams: "top_k, model", setParams: {{seed: 1, opts.deep: true, model: no}},
                setParamsByID: {{"a:cold": {{temperature: 0, seed: 2}}}}}}}}
  b: {{cmd: serve, proxy: "http://localhost:2", useModelName: real}}
groups: {{all: {{swap: false, members: [a, b]}}}}
peers:
  far: {{proxy: "{far}/base", models: [big, org/x], apiKey: secret-1,
        filters: {{stripParams: top_k, setParamsByID: {{org/x: {{seed: 7}}}}}}}}
  gone: {{proxy: "http://127.0.0.1:9", models: [big2]}}
selectors:
  first: {{strategy: pin, targets: [gone/big2, far/big, a]}}
  nobody: {{strategy: pin, targets: [gone/big2]}}
  cold: {{strategy: warm, targets: ["a:cold", b]}}
profiles:
  day: {{description: by day, pins: {{gpt: far/big, b: a, off: ""}}}}
{more}
"""


@pytest.fixture
def placed(play, peer, world):
    """`placed(scene)`: run `scene(site, far)` with the configuration above."""

    def go(scene, more=""):
        async def whole(site):
            async with peer() as far:
                await site.house.reload(CONFIG.format(far=far.url, more=more))
                site.house.obey("a", "b")
                await scene(site, far)
                await site.house.peers.aclose()

        play(world.alone("z"), whole)

    return go


async def ask(site, model, path=CHAT, **fields):
    """(the answer, what the server behind it was asked)"""
    headers = fields.pop("headers", {})
    answer = await site.http.post(path, json={"model": model, **fields}, headers=headers)
    return answer, answer.json()


def told(said):
    return json.loads(said["body"])


# --- filters -------------------------------------------------------------------------------------------------------------


def test_filters_change_what_they_name_and_nothing_else(placed):
    async def scene(site, far):
        content = b'{"model":"nick", "top_k": 4,"x" : 1.50, "opts":{"k": [1 ]}}'
        answer = await site.http.post(CHAT, content=content)
        sent = answer.json()["body"]
        assert '"x" : 1.50' in sent or '"x":1.50' in sent
        assert json.loads(sent) == {
            "model": "nick",
            "x": 1.5,
            "opts": {"k": [1], "deep": True},
            "seed": 1,
        }

    placed(scene)


def test_a_name_has_its_own_parameters(placed):
    async def scene(site, far):
        _, said = await ask(site, "a:cold")
        assert told(said)["seed"] == 2
        assert told(said)["temperature"] == 0
        assert told(said)["model"] == "a:cold"

    placed(scene)


def test_a_body_that_is_no_object_is_refused(placed):
    async def scene(site, far):
        answer = await site.http.post(CHAT, content=b'[{"model":"a"}]')
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "invalid_request"

    placed(scene)


# --- peers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["far/big", "big"])
def test_a_peer_gets_its_own_name_for_the_model_and_its_own_key(placed, name):
    async def scene(site, far):
        mine = {"authorization": "Bearer mine", "x-api-key": "mine"}
        answer, said = await ask(site, name, top_k=1, headers=mine)
        assert told(said) == {"model": "big"}
        assert said["target"] == f"/base{CHAT}"
        headers = dict(said["headers"])
        assert headers["authorization"] == "Bearer secret-1"
        assert headers["x-api-key"] == "secret-1"
        assert headers["host"] == far.url.removeprefix("http://")
        assert answer.headers["x-corral-model"] == "far/big"
        assert site.house.machine.of(Arrived) == []

    placed(scene)


@pytest.mark.parametrize("name", ["org/x", "far/org/x"])
def test_a_peers_model_has_parameters_by_either_name(placed, name):
    async def scene(site, far):
        _, said = await ask(site, name)
        assert told(said) == {"model": "org/x", "seed": 7}

    placed(scene)


def test_anything_else_of_a_peers_model(placed):
    async def scene(site, far):
        answer = await site.http.put("/upstream/far/org/x/some%2Fthing?a=b", content=b"as it is")
        said = answer.json()
        assert (said["method"], said["target"]) == ("PUT", "/base/some%2Fthing?a=b")
        assert said["body"] == "as it is"

    placed(scene)


def test_a_peer_that_is_down_is_told_and_nobody_else_suffers(placed):
    async def scene(site, far):
        answer = await site.http.post(CHAT, json={"model": "gone/big2"})
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "upstream_unreachable"
        assert "gone" in answer.json()["error"]["message"]
        assert (await ask(site, "a"))[0].status_code == 200

    placed(scene)


def test_what_is_only_for_models_here_says_whose_it_is(placed):
    async def scene(site, far):
        answer = await site.http.get("/api/explain", params={"model": "far/big"})
        assert answer.status_code == 400
        assert "peer `far`" in answer.json()["error"]["message"]

    placed(scene)


def test_closing_waits_for_a_peers_answer_and_takes_no_more(placed):
    async def scene(site, far):
        far.gate.clear()
        first = asyncio.create_task(ask(site, "far/big"), name="a request under way")
        await far.asked.wait()
        await site.house.engine.close(asyncio.Event(), 20)
        answered = site.house.gateway.ledger.emptied()
        closing = asyncio.create_task(answered, name="closing: until everything is answered")
        late = await site.http.post(CHAT, json={"model": "far/big"})
        assert late.status_code == 503
        assert late.json()["error"]["code"] == "shutting_down"
        assert not closing.done()
        far.gate.set()
        answer, _ = await first
        assert answer.status_code == 200
        await closing

    placed(scene)


# --- selectors -----------------------------------------------------------------------------------------------------------


def test_a_target_that_is_down_gives_way_to_the_next(placed, caplog):
    async def scene(site, far):
        answer, said = await ask(site, "first")
        assert told(said)["model"] == "big"
        assert answer.headers["x-corral-model"] == "far/big"
        assert "trying the next target" in caplog.text
        caplog.clear()
        await ask(site, "first")  # passed over by now
        assert "trying the next target" not in caplog.text

    placed(scene)


def test_when_all_are_down_the_last_one_says_why(placed):
    async def scene(site, far):
        answer = await site.http.post(CHAT, json={"model": "nobody"})
        assert answer.status_code == 502

    placed(scene)


def test_a_target_may_be_a_name_with_parameters(placed):
    async def scene(site, far):
        _, said = await ask(site, "cold")
        assert told(said)["model"] == "a:cold"
        assert told(said)["temperature"] == 0

    placed(scene)


def test_a_selector_has_no_engine_of_its_own(placed):
    async def scene(site, far):
        answer = await site.http.get("/upstream/first/x")
        assert answer.status_code == 404

    placed(scene)


# --- profiles ------------------------------------------------------------------------------------------------------------


async def activate(site, name):
    return await site.http.put("/api/profiles/active", json={"name": name})


def test_profiles_are_listed_and_made_active(placed):
    async def scene(site, far):
        pins = {"gpt": "far/big", "b": "a", "off": ""}
        row = {"id": "day", "description": "by day", "pins": pins}
        assert (await site.http.get("/api/profiles")).json() == {"active": None, "profiles": [row]}
        assert (await activate(site, "day")).json() == {"active": "day"}
        assert (await site.http.get("/api/profiles")).json()["active"] == "day"
        assert (await activate(site, None)).json() == {"active": None}

    placed(scene)


def test_a_pin_replaces_a_name_in_requests(placed):
    async def scene(site, far):
        await activate(site, "day")
        assert told((await ask(site, "gpt"))[1])["model"] == "big"
        assert told((await ask(site, "b"))[1])["model"] == "a"
        answer = await site.http.get("/upstream/b/x")
        assert answer.headers["x-corral-model"] == "a"
        answer, said = await ask(site, "off")
        assert answer.status_code == 404
        assert "while the profile `day` is active" in said["error"]["message"]
        await activate(site, None)
        assert told((await ask(site, "b"))[1])["model"] == "real"

    placed(scene)


def test_unloading_means_the_model_itself(placed):
    async def scene(site, far):
        await activate(site, "day")
        assert (await site.http.post("/api/models/unload/gpt")).status_code == 404

    placed(scene)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"name": 3}', b"{" * 70_000])
def test_a_wish_that_cannot_be_read(placed, body):
    async def scene(site, far):
        answer = await site.http.put("/api/profiles/active", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "invalid_request"
        assert site.house.gateway.routing.active is None

    placed(scene)


def test_a_profile_that_is_not_there(placed):
    async def scene(site, far):
        answer = await activate(site, "dusk")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "profile_not_found"

    placed(scene)


def test_profiles_want_a_key(placed):
    async def scene(site, far):
        assert (await site.http.get("/api/profiles")).status_code == 401
        assert (await activate(site, "day")).status_code == 401

    placed(scene, more="apiKeys: [sesame]")
