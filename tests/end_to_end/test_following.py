"""Someone who follows the events while models come and go and corral stops."""

from __future__ import annotations

import concurrent.futures
import json
import sys
from pathlib import Path

import httpx

ENGINE = Path(__file__).parent / "scripted_engine.py"
PYTHON = f"{sys.executable} -S {ENGINE} --port ${{PORT}}"
CONFIG = f"""
models:
  a: {{cmd: "{PYTHON}"}}
  b: {{cmd: "{PYTHON}"}}
  c: {{cmd: "{sys.executable} -S -c 'import sys; sys.exit(7)' ${{PORT}}"}}
"""


def follow(url: str, began: concurrent.futures.Future[None]) -> list[tuple[str, object]]:
    """Every event until the stream ends by itself: (type, data)."""
    heard = []
    with httpx.stream("GET", f"{url}/api/events", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                envelope = json.loads(line.removeprefix("data: "))
                heard.append((envelope["type"], json.loads(envelope["data"])))
                if not began.done():
                    began.set_result(None)
    return heard


def of(heard, kind):
    return [data for found, data in heard if found == kind]


def test_the_events_tell_the_whole_story_and_end_with_corral(corral):
    house = corral(CONFIG)
    began: concurrent.futures.Future[None] = concurrent.futures.Future()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow, house.url, began)
        began.result(20)
        for model, status in (("a", 200), ("b", 200), ("c", 503)):
            assert house.chat(model).status_code == status
        assert house.stop() == 0
        heard = following.result(20)

    first = ["logData", "logData", "modelStatus", "uiConfig", "profileChanged", "inflight"]
    assert [kind for kind, _ in heard[:6]] == first
    loads = of(heard, "load")
    assert [load["model"] for load in loads] == ["a", "b", "c"]
    assert loads[0]["seconds"] > 0
    assert "code 7" in loads[2]["error"]
    left = of(heard, "eviction")
    assert [(one["model"], one["for"]) for one in left] == [("a", "b"), ("b", "c")]
    log = "".join(one["data"] for one in of(heard, "logData"))
    for one in left:  # the same reason everywhere
        assert f"unloading {one['model']}: {one['why']}" in log
        assert one["why"] in house.output
    states = {one["id"]: one["state"] for one in of(heard, "modelStatus")[-1]}
    assert set(states) == {"a", "b", "c"}
