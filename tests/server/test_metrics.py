"""`/metrics`, `/api/performance` and `/api/hardware`, under the real server."""

from __future__ import annotations

import asyncio
import math
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given, settings, strategies
from prometheus_client.parser import text_string_to_metric_families

from corral.gateway import gathering, metrics
from corral.gateway.metrics import Spread
from corral.server.exposition import rendered

MACHINE = SimpleNamespace(
    cores=(12.5, 0.0),
    memory_total=16 * 2**30,
    memory_used=3 * 2**20 + 5,
    memory_free=2**30,
    swap_total=0,
    swap_used=0,
    load=(0.5, 1.0, 2.0),
    network=(("eth0", 7, 8),),
)
CARD = SimpleNamespace(
    id=0,
    name='RTX "5090"\\',
    uuid="GPU-1",
    temperature=70.5,
    memory_temperature=None,
    busy=91,
    memory_used=8 * 2**30,
    memory_total=32 * 2**30,
    fan=None,
    power=312.5,
)


class Probes:
    """`ports.Probes`, told what to find."""

    def __init__(self):
        self.found = SimpleNamespace(machine=MACHINE, cards=(CARD,))
        self.facts = {"schema_version": 1}

    async def sample(self):
        return self.found

    async def memory(self, leaders):
        return {pid: SimpleNamespace(memory=1000, cards={0: 50}) for pid in leaders}

    async def hardware(self):
        return self.facts


def families(text):
    """{name in the text: family}, which must be told once."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.name not in found
        found[family.name] = family
    return found


def samples(text):
    """{(name, labels): value}; each must be told once."""
    every = [s for family in text_string_to_metric_families(text) for s in family.samples]
    found = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in every}
    assert len(found) == len(every)
    return found


async def scraped(site):
    answer = await site.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def value(text, name, /, **labels):
    return samples(text).get((name, tuple(sorted(labels.items()))))


# --- the scrape ----------------------------------------------------------------------------------------------------


def test_a_request_is_in_the_next_scrape(both, world):
    async def scene(site):
        body = {"model": "a", "messages": []}
        assert (await site.http.post("/v1/chat/completions", json=body)).status_code == 200
        assert (
            await site.http.post("/v1/chat/completions", json={"model": "x"})
        ).status_code == 404
        text = await scraped(site)
        route = "/v1/chat/completions"
        assert value(text, "corral_requests_total", model="a", route=route, status="200") == 1
        assert value(text, "corral_requests_total", model="(none)", route=route, status="404") == 1
        assert value(text, "corral_loads_total", model="a", result="ready") == 1
        assert value(text, "corral_requests_in_flight", model="a") == 0
        name = "corral_request_duration_seconds"
        assert value(text, f"{name}_count", model="a", route=route) == 1
        assert value(text, f"{name}_bucket", model="a", route=route, le="+Inf") == 1
        assert families(text)[name].type == "histogram"

    both(world.alone("a"), scene)


def test_what_is_passed_through_is_counted_by_its_route(play, world):
    async def scene(site):
        await site.http.post("/upstream/a/v1/embeddings", json={})
        await site.http.get("/upstream/a/some/where?q=1")
        text = await scraped(site)
        for route in ("/v1/embeddings", "other"):
            assert value(text, "corral_requests_total", model="a", route=route, status="200") == 1

    play(world.alone("a"), scene)


def test_tokens_that_an_answer_tells_are_counted(play, world):
    usage = b'{"usage": {"prompt_tokens": 11, "completion_tokens": 5}}'

    async def scene(site):
        site.house.processes._connect = lambda _: world.Upstream(usage)
        await site.http.post("/v1/chat/completions", json={"model": "a", "messages": []})
        text = await scraped(site)
        at = {"model": "a", "route": "/v1/chat/completions"}
        assert value(text, "corral_input_tokens_total", **at) == 11
        assert value(text, "corral_output_tokens_total", **at) == 5

    play(world.alone("a"), scene)


def test_scraping_loads_nothing_and_is_no_request(play, world):
    async def scene(site):
        text = await scraped(site)
        text = await scraped(site)
        assert value(text, "corral_model_resident", model="a") == 0
        assert "corral_requests_total" not in text
        assert site.house.processes.orders == []

    play(world.alone("a"), scene)


def test_a_scrape_needs_a_key_when_there_are_keys(play, world):
    async def scene(site):
        for path in ("/metrics", "/api/performance", "/api/hardware"):
            assert (await site.http.get(path)).status_code == 401
        answer = await site.http.get("/metrics", headers={"authorization": "Bearer k-1"})
        assert answer.status_code == 200
        assert (await site.http.post("/metrics", headers={"x-api-key": "k-1"})).status_code == 405

    play(world.alone("a", more="apiKeys: [k-1]\n"), scene)


def test_corrals_own_process_is_told_where_the_system_tells_it(play, world):
    async def scene(site):
        assert value(await scraped(site), "process_resident_memory_bytes") > 0

    if sys.platform == "linux":
        play(world.alone("a"), scene)


def test_scrapes_at_once_are_all_answered(play, world):
    async def scene(site):
        texts = await asyncio.gather(*(scraped(site) for _ in range(10)))
        assert all("corral_model_resident" in text for text in texts)

    play(world.alone("a"), scene)


def test_nobody_pays_for_metrics_who_does_not_scrape():
    """Importing the whole of corral leaves the client library, and the drivers' one, alone."""
    code = (
        "import sys, corral.app\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('prometheus_client', 'pynvml')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- engines' own metrics ------------------------------------------------------------------------------------------

LLAMA = """\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 17
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing{model="tiny.gguf"} 1
# TYPE ttft histogram
ttft_bucket{le="0.1"} 3
ttft_bucket{le="+Inf"} 4
ttft_sum 1.5
ttft_count 4
"""


async def engines_say(site, world, **texts):
    """Load these models, whose engines say these texts when asked for their metrics; the upstreams."""
    upstreams = {m: world.Upstream(t.encode()) for m, t in texts.items()}
    site.house.processes._connect = upstreams.__getitem__
    for model in texts:
        await site.house.use(model)
    return upstreams


def test_engines_metrics_come_under_their_models(play, world):
    async def scene(site):
        await engines_say(site, world, a=LLAMA, b=LLAMA.replace("17", "18"))
        text = await scraped(site)
        told = families(text)
        counter = told["llamacpp:prompt_tokens"]
        assert counter.type == "counter"
        assert counter.documentation == "Number of prompt tokens processed."
        assert {s.labels["model"]: s.value for s in counter.samples} == {"a": 17, "b": 18}
        gauge = told["llamacpp:requests_processing"]
        assert [s.labels for s in gauge.samples] == [
            {"model": "a", "exported_model": "tiny.gguf"},
            {"model": "b", "exported_model": "tiny.gguf"},
        ]
        assert told["ttft"].type == "histogram"
        assert value(text, "ttft_bucket", model="b", le="+Inf") == 4
        for model in ("a", "b"):
            assert value(text, "corral_engine_metrics_up", model=model) == 1

    play(world.together("a", "b"), scene)


def test_an_engine_that_hangs_costs_its_own_metrics_only(play, world, monkeypatch):
    async def scene(site):
        upstreams = await engines_say(site, world, a=LLAMA, b=LLAMA)
        await scraped(site)
        upstreams["a"].gate.clear()
        monkeypatch.setattr(gathering, "LIMIT", 0.05)
        text = await scraped(site)
        assert value(text, "llamacpp:prompt_tokens_total", model="a") is None
        assert value(text, "llamacpp:prompt_tokens_total", model="b") == 17
        assert value(text, "corral_engine_metrics_up", model="a") == 0
        upstreams["a"].gate.set()
        assert value(await scraped(site), "llamacpp:prompt_tokens_total", model="a") == 17

    play(world.together("a", "b"), scene)


JUNK = {
    "a page": "<!doctype html><html><body class='x'>Hello</body></html>",
    "json": '{"error": "no metrics"}',
    "no number": "up yes\n",
    "no name": "{} 3\n",
    "open quote": 'up{a="b} 3\n',
    "label twice": 'up{a="b",a="c"} 3\n',
    "no type": "# TYPE up\n",
    "zero bytes": "\0\0\0",
    "only braces": "{",
    "name alone": "up\n",
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_an_engine_that_talks_junk_is_asked_once_and_costs_nobody_else(play, world, caplog, junk):
    async def scene(site):
        upstreams = await engines_say(site, world, a=junk, b=LLAMA)
        for _ in range(2):
            text = await scraped(site)
            assert value(text, "llamacpp:prompt_tokens_total", model="b") == 17
        assert len(upstreams["a"].asked) == 1
        assert value(text, "corral_engine_metrics_up", model="a") is None

    play(world.together("a", "b"), scene)
    assert len([r for r in caplog.records if "a: its /metrics cannot be read" in r.message]) == 1


@pytest.mark.parametrize("text", ["", "\n\n", "# a comment\n", "# HELP up\n", "# EOF\n"])
def test_an_engine_may_have_nothing_to_tell(play, world, text):
    async def scene(site):
        await engines_say(site, world, a=text)
        assert value(await scraped(site), "corral_engine_metrics_up", model="a") == 1

    play(world.alone("a"), scene)


def test_real_engines_are_asked_over_their_own_connections(play, world):
    """Over real sockets. This one answers with JSON, whatever it is asked."""

    async def scene(site):
        await site.house.use("a")
        assert "corral_model_resident" in await scraped(site)
        assert site.echo.asked.is_set()

    play(world.alone("a"), scene)


# --- the text ------------------------------------------------------------------------------------------------------


def text_of(own=(), **told):
    exposition = rendered(own, told)
    assert exposition.refused == {}
    return exposition.text.decode()


def test_those_who_disagree_about_a_type_make_it_untyped():
    text = text_of(
        a="# TYPE x gauge\nx 1\n",
        b='# TYPE x histogram\nx_bucket{le="+Inf"} 1\nx_count 1\nx_sum 2\n',
    )
    assert text.count("# TYPE x ") == 1
    assert "# TYPE x untyped" in text
    assert value(text, "x", model="a") == 1
    assert value(text, "x_count", model="b") == 1


def test_a_counter_and_a_gauge_of_one_name_in_the_text():
    text = text_of(a="# TYPE x_total counter\nx_total 1\n", b="# TYPE x_total gauge\nx_total 2\n")
    assert text.count("# TYPE x_total ") == 1
    assert (value(text, "x_total", model="a"), value(text, "x_total", model="b")) == (1, 2)


def test_the_first_says_what_a_metric_is():
    text = text_of(
        a="# HELP x First.\n# TYPE x gauge\nx 1\n", b="# HELP x Second.\n# TYPE x gauge\nx 2\n"
    )
    assert families(text)["x"].documentation == "First."


def test_a_label_that_is_taken_gets_another_name():
    text = text_of(a='x{model="1",exported_model="2"} 3\n')
    assert value(text, "x", model="a", exported_exported_model="1", exported_model="2") == 3


def test_only_corral_tells_corrals_metrics():
    """An engine may be another corral."""
    told = (
        "corral_requests_total{model='x'} 1\n".replace("'", '"')
        + "llamaswap_load_average 9\nup 1\n"
    )
    text = text_of(a=told)
    assert "corral_requests_total" not in text
    assert "llamaswap" not in text
    assert value(text, "up", model="a") == 1


def test_an_engines_process_is_not_corrals():
    text = text_of(a="# TYPE process_open_fds gauge\nprocess_open_fds 3\n")
    assert text.count("# TYPE process_open_fds ") == 1
    assert value(text, "process_open_fds", model="a") == 3


def test_names_are_escaped():
    own = [(metrics.IN_FLIGHT, [(('a "b"\\c\nd',), 1)])]
    assert value(text_of(own), "corral_requests_in_flight", model='a "b"\\c\nd') == 1


def test_a_histogram_has_buckets_a_sum_and_a_count():
    own = [(metrics.LOAD_TIME, [(("a",), Spread((0.1,), (1, 2), 7.5))])]
    text = text_of(own)
    assert value(text, "corral_load_seconds_bucket", model="a", le="0.1") == 1
    assert value(text, "corral_load_seconds_bucket", model="a", le="+Inf") == 3
    assert value(text, "corral_load_seconds_sum", model="a") == 7.5
    assert value(text, "corral_load_seconds_count", model="a") == 3


def test_odd_numbers_are_passed_on():
    text = text_of(a="x NaN\ny +Inf\nz -Inf 1395066363000\n")
    assert math.isnan(value(text, "x", model="a"))
    assert value(text, "y", model="a") == math.inf
    assert "-Inf 1395066363000" in text


# --- the machine ---------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(play, world):
    """As `play`, with samples that a test puts there."""

    def go(scene, more=""):
        play(world.alone("a", more=more), scene, probes=Probes())

    return go


def put(site, *moments):
    kept = site.house.gateway.performance
    kept._samples.extend((at, kept.probes.found) for at in moments)


def test_samples_have_llama_swaps_shape(measured):
    async def scene(site):
        put(site, 1_700_000_000_123)
        answer = await site.http.get("/api/performance")
        assert answer.status_code == 200
        assert answer.json() == {
            "enabled": True,
            "sys_stats": [
                {
                    "timestamp": "2023-11-14T22:13:20.123Z",
                    "cpu_util_per_core": [12.5, 0.0],
                    "mem_total_mb": 16384,
                    "mem_used_mb": 3,
                    "mem_free_mb": 1024,
                    "swap_total_mb": 0,
                    "swap_used_mb": 0,
                    "load_avg_1": 0.5,
                    "load_avg_5": 1.0,
                    "load_avg_15": 2.0,
                    "net_io": [{"name": "eth0", "bytes_recv": 7, "bytes_sent": 8}],
                }
            ],
            "gpu_stats": [
                {
                    "timestamp": "2023-11-14T22:13:20.123Z",
                    "id": 0,
                    "name": 'RTX "5090"\\',
                    "uuid": "GPU-1",
                    "temp_c": 70,
                    "vram_temp_c": 0,
                    "gpu_util_pct": 91,
                    "mem_util_pct": 25.0,
                    "mem_used_mb": 8192,
                    "mem_total_mb": 32768,
                    "fan_speed_pct": 0,
                    "power_draw_w": 312.5,
                }
            ],
        }

    measured(scene)


@pytest.mark.parametrize(
    ("after", "left"),
    [
        ("2023-11-14T22:13:20Z", 3),
        ("2023-11-14T22:13:20.123Z", 2),
        ("2023-11-14T22:13:20.123456789Z", 2),
        ("2023-11-14T23:13:21%2B01:00", 2),
        ("2023-11-14T23:13:21.123+01:00", 1),
        ("2099-01-01T00:00:00Z", 0),
        ("", 3),
    ],
)
def test_only_those_after_a_moment(measured, after, left):
    async def scene(site):
        put(site, 1_700_000_000_123, 1_700_000_001_123, 1_700_000_002_123)
        found = (await site.http.get(f"/api/performance?after={after}")).json()
        assert (len(found["sys_stats"]), len(found["gpu_stats"])) == (left, left)
        if left:
            last = found["sys_stats"][-1]["timestamp"]
            again = (await site.http.get(f"/api/performance?after={last}")).json()
            assert again["sys_stats"] == []

    measured(scene)


@pytest.mark.parametrize(
    "after",
    ["yesterday", "1700000000", "2023-11-14", "2023-11-14T22:13:20", "2023-06-31T00:00:00Z"],
)
def test_a_time_that_is_none(measured, after):
    async def scene(site):
        answer = await site.http.get("/api/performance", params={"after": after})
        assert answer.status_code == 400
        assert "`after` must be a time like" in answer.json()["error"]["message"]

    measured(scene)


def test_disabled_the_gauges_vanish_and_the_rest_stays(measured):
    async def scene(site):
        answer = await site.http.get("/api/performance")
        assert (answer.status_code, answer.json()) == (503, {"enabled": False})
        text = await scraped(site)
        assert "llamaswap_" not in text
        assert "corral_model_resident" in text
        assert (await site.http.get("/api/hardware")).status_code == 200

    measured(scene, "performance: {disabled: true}\n")


def test_where_nobody_measures(play, world):
    async def scene(site):
        assert (await site.http.get("/api/performance")).status_code == 503
        assert (await site.http.get("/api/hardware")).status_code == 503
        assert "llamaswap_" not in await scraped(site)

    play(world.alone("a"), scene)


def test_the_gauges_and_the_processes_are_in_the_scrape(measured):
    async def scene(site):
        put(site, 1)
        await site.house.use("a")
        text = await scraped(site)
        card = {"id": "0", "name": 'RTX "5090"\\', "uuid": "GPU-1"}
        assert value(text, "llamaswap_gpu_memory_util_percent", **card) == 25.0
        assert value(text, "llamaswap_cpu_util_percent", core="0") == 12.5
        assert value(text, "llamaswap_network_bytes_total", interface="eth0", direction="recv") == 7
        assert value(text, "corral_process_memory_bytes", model="a") == 1000
        assert value(text, "corral_process_gpu_memory_bytes", model="a", id="0") == 50

    measured(scene)


def test_the_hardware(measured):
    async def scene(site):
        answer = await site.http.get("/api/hardware")
        assert (answer.status_code, answer.json()) == (200, {"schema_version": 1})

    measured(scene)


def test_hardware_that_cannot_be_found_out(measured):
    async def scene(site):
        site.house.gateway.performance.probes.facts = None
        answer = await site.http.get("/api/hardware")
        assert (answer.status_code, answer.text) == (503, "hardware detection unavailable")

    measured(scene)


PIECES = (
    *("# TYPE ", "# HELP ", "# ", "x", "x_total", "x_bucket", "corral_x", "histogram", "counter"),
    *("gauge", "info", " ", "\n", "{", "}", '"', "\\", ",", 'a="b"', 'model="m"', 'le="1"', "\0"),
    *("1", "-", "1e400", "NaN", "9" * 400, "9" * 5000, "é", " # {} 1", "__name__=", "\r"),
)


@settings(max_examples=300, deadline=None)
@given(strategies.lists(strategies.sampled_from(PIECES), max_size=20).map("".join))
def test_whatever_an_engine_says_the_scrape_is_answered(text):
    exposition = rendered([(metrics.IN_FLIGHT, [(("a",), 1)])], {"a": text, "b": "x 1\n"})
    told = samples(exposition.text.decode())
    assert told["corral_requests_in_flight", (("model", "a"),)] == 1
    assert told["x", (("model", "b"),)] == 1
    assert set(exposition.refused) <= {"a"}


LINES = (
    *(
        "# TYPE x gauge",
        "# TYPE x counter",
        "# TYPE x histogram",
        "# TYPE x info",
        "# HELP x a \\n",
    ),
    *("# TYPE x_total gauge", "# TYPE x_total counter", "x 1", "x_total 2", 'x_total{model="k"} 2'),
    *(
        'x_bucket{le="1"} 1',
        "x_count 3",
        "x_created 7",
        'x_info{a="b"} 1',
        "# TYPE x_created gauge",
    ),
)


@settings(max_examples=300, deadline=None)
@given(*[strategies.lists(strategies.sampled_from(LINES), max_size=8).map("\n".join)] * 2)
def test_whatever_engines_disagree_about_every_name_is_told_once(one, other):
    exposition = rendered([], {"a": one, "b": other})
    types = re.findall(r"^# TYPE (\S+)", exposition.text.decode(), re.MULTILINE)
    assert len(set(types)) == len(types)
