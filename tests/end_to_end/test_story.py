"""The story corral was asked for with: a voice pair stays warm together, a coding model takes the machine when asked for."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_voice_pair_and_coding_model_share_the_machine(corral):
    house = corral(EXAMPLES / "voice-matrix.yaml")
    assert house.running() == set()

    # 1. Someone speaks: the small model comes, alone.
    first = house.chat("chat-small")
    assert first.status_code == 200, first.text
    assert int(first.headers["x-corral-load-ms"]) > 0
    assert house.running() == {"chat-small"}

    # 2. A harder question: the thinking model joins, nobody leaves.
    assert house.chat("think-small").status_code == 200
    assert house.running() == {"chat-small", "think-small"}
    warm = house.chat("chat-small")
    assert warm.headers["x-corral-load-ms"] == "0"

    # 3. A coding session: the big profile evicts both.
    assert house.chat("think-big").status_code == 200
    assert house.running() == {"think-big"}

    # 4. Back to talking: the voice set replaces it; only who is asked for comes.
    assert house.chat("chat-small").status_code == 200
    assert house.running() == {"chat-small"}
    assert house.stop() == 0


def test_matrix_example_keeps_the_expensive_model(corral):
    house = corral(EXAMPLES / "matrix-dsl.yaml")
    for model, resident in [
        ("voxtral-model", {"voxtral-model"}),
        ("gemma-model", {"voxtral-model", "gemma-model"}),
        ("qwen-model", {"voxtral-model", "qwen-model"}),
        ("reranker-model", {"voxtral-model", "qwen-model", "reranker-model"}),
        ("stable-diffusion", {"qwen-model", "stable-diffusion"}),
        ("llama-70B", {"llama-70B"}),
        ("gemma-model", {"gemma-model"}),
    ]:
        loaded = house.http.post(f"/api/models/load/{model}")
        assert loaded.status_code == 200, loaded.text
        assert house.running() == resident, f"after {model}"


def test_guide_group_loads_together_and_leaves_together(corral):
    house = corral(EXAMPLES / "guide-groups.yaml")
    assert house.chat("llama3").status_code == 200
    house.until(
        lambda: set(house.http.get("/running").json()["running"]) == {"llama3", "nomic-embed"}
    )
    assert house.chat("deepseek-coder").status_code == 200
    assert house.http.get("/running").json() == {"running": ["deepseek-coder"]}


def test_guide_persistent_model_stays(corral):
    house = corral(EXAMPLES / "guide-persist.yaml")
    embedded = house.openai().embeddings.create(model="nomic-embed", input="a")
    assert len(embedded.data[0].embedding) == 64
    for model in ("llama3", "llava-1.6"):
        assert house.chat(model).status_code == 200
        assert house.http.get("/running").json() == {"running": sorted([model, "nomic-embed"])}
    assert house.http.delete("/upstream/nomic-embed").status_code == 200
    assert house.http.get("/running").json() == {"running": ["llava-1.6"]}
    assert house.http.get("/upstream/llama3/load").status_code == 200
    assert house.http.get("/running").json() == {"running": ["llama3"]}
