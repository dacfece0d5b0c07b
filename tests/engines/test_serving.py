"""The routes of llama.cpp's server, as the shipped engine serves them."""

import json

import pytest

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}


@pytest.mark.parametrize(
    ("path", "body", "reads"),
    [
        ("/v1/chat/completions", CHAT, lambda a: a["choices"][0]["message"]["role"] == "assistant"),
        (
            "/v1/completions",
            {"prompt": "hi", "max_tokens": 4},
            lambda a: a["usage"]["completion_tokens"] > 0,
        ),
        (
            "/v1/messages",
            CHAT,
            lambda a: a["type"] == "message" and a["usage"]["output_tokens"] > 0,
        ),
        ("/v1/messages/count_tokens", CHAT, lambda a: a["input_tokens"] > 2),
        (
            "/v1/responses",
            {"input": "hi", "max_output_tokens": 4},
            lambda a: a["object"] == "response",
        ),
        ("/completion", {"prompt": "hi", "n_predict": 4}, lambda a: a["tokens_predicted"] > 0),
        ("/tokenize", {"content": "hi"}, lambda a: len(a["tokens"]) >= 2),
        ("/detokenize", {"tokens": [107, 108]}, lambda a: a["content"].strip() == "hi"),
        ("/apply-template", CHAT, lambda a: a["prompt"] == "user: hi\nassistant: "),
        (
            "/infill",
            {"input_prefix": "a", "input_suffix": "b", "n_predict": 1},
            lambda a: "error" in a,
        ),
    ],
)
def test_a_route_answers(serving, path, body, reads):
    answer = serving.post(path, json=body).json()
    assert reads(answer), answer


def test_a_stream_ends_with_done(serving):
    with serving.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer:
        events = [line for line in answer.iter_lines() if line.startswith("data: ")]
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[0][6:])["object"] == "chat.completion.chunk"


def test_embeddings_come_from_an_embedding_model(engine, embedder):
    with engine("-m", embedder, "--embedding") as running, running.ready() as client:
        data = client.post("/v1/embeddings", json={"input": ["one", "two"]}).json()["data"]
        assert [len(item["embedding"]) for item in data] == [64, 64]
        assert data[0]["embedding"] != data[1]["embedding"]


def test_a_slot_is_saved_and_restored(serving):
    serving.post("/completion", json={"prompt": "a" * 100, "n_predict": 1})
    saved = serving.post("/slots/0?action=save", json={"filename": "one"}).json()
    erased = serving.post("/slots/0?action=erase").json()
    restored = serving.post("/slots/0?action=restore", json={"filename": "one"}).json()
    assert saved["n_saved"] > 100
    assert erased["n_erased"] == restored["n_restored"] == saved["n_saved"]


def test_it_serves_on_a_unix_socket_and_leaves_none_behind(engine, tiny, tmp_path):
    path = tmp_path / "engine.sock"
    with engine("-m", tiny, "--host", path) as running:
        with running.ready() as client:
            assert client.get("/v1/models").json()["data"][0]["id"] == str(tiny)
        assert path.is_socket()
        running.tell(15)
    assert not path.exists()


def test_defaults_are_llama_servers(engine, tiny):
    with engine("-m", tiny) as running, running.ready() as client:
        props = client.get("/props").json()
        assert props["total_slots"] == 4
        assert props["default_generation_settings"]["n_ctx"] == 4096
        assert props["endpoint_slots"] is True
        assert props["endpoint_metrics"] is False
        assert client.get("/slots").status_code == 200
        assert client.get("/metrics").status_code == 501
        assert client.post("/apply-template", json=CHAT).json()["prompt"].endswith("assistant: ")


def test_flags_reach_the_server(engine, tiny):
    flags = (
        "-c 512 -np 2 --alias one,two --no-slots --metrics --temp 0.25 --api-key k1,k2 --top-k 7"
    )
    with engine("-m", tiny, *flags.split()) as running, running.ready() as client:
        assert client.get("/props").status_code == 401
        client.headers["Authorization"] = "Bearer k2"
        props = client.get("/props").json()
        settings = props["default_generation_settings"]
        assert (props["total_slots"], settings["n_ctx"]) == (2, 256)
        assert (settings["params"]["temperature"], settings["params"]["top_k"]) == (0.25, 7)
        assert client.get("/slots").status_code == 501
        assert client.get("/metrics").status_code == 200
        listed = client.get("/v1/models").json()["data"][0]
        assert {listed["id"], *listed["aliases"]} >= {"one", "two"}


def test_variables_count_where_the_command_line_says_nothing(engine, tiny):
    environ = {
        "LLAMA_ARG_CTX_SIZE": "1024",
        "LLAMA_ARG_N_PARALLEL": "1",
        "LLAMA_ARG_MODEL": str(tiny),
    }
    with engine("-c", "512", environ=environ) as running, running.ready() as client:
        props = client.get("/props").json()
        assert (props["total_slots"], props["default_generation_settings"]["n_ctx"]) == (1, 512)


def test_a_template_of_ones_own_is_used(engine, tiny, tmp_path):
    template = tmp_path / "chat.jinja"
    template.write_text("{{ tone }}{% for m in messages %}[{{ m.content }}]{% endfor %}")
    arguments = ("--chat-template-file", template, "--chat-template-kwargs", '{"tone": "calm"}')
    with engine("-m", tiny, "--jinja", *arguments) as running, running.ready() as client:
        assert client.post("/apply-template", json=CHAT).json()["prompt"] == "calm[hi]"


def test_a_draft_model_speculates(engine, tiny):
    draft = ("-md", tiny, "--spec-type", "draft-simple", "--draft-max", "4")
    with engine("-m", tiny, *draft, "-c", "512") as running, running.ready() as client:
        body = {"prompt": "hi", "n_predict": 32, "temperature": 0, "ignore_eos": True}
        assert client.post("/completion", json=body).json()["timings"]["draft_n"] > 0
