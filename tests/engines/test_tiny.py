"""The tiny models."""

import subprocess
import sys

import gguf
import pytest

from corral.engines.tiny import TEMPLATE, write


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    one, two = (write(tmp_path / name, seed=7).read_bytes() for name in "ab")
    assert one == two


@pytest.mark.parametrize(
    "other", [{"seed": 8}, {"embedding": True}, {"name": "other"}, {"layers": 3}, {"context": 64}]
)
def test_other_arguments_give_other_bytes(tmp_path, other):
    assert (
        write(tmp_path / "a", seed=7).read_bytes()
        != write(tmp_path / "b", **{"seed": 7} | other).read_bytes()
    )


def test_it_is_small_and_says_what_it_is(tmp_path):
    path = write(tmp_path / "x.gguf", context=1234, name="mouse")
    fields = gguf.GGUFReader(path).fields
    assert path.stat().st_size < 500_000
    assert fields["general.architecture"].contents() == "llama"
    assert fields["general.name"].contents() == "mouse"
    assert fields["llama.context_length"].contents() == 1234
    assert fields["tokenizer.chat_template"].contents() == TEMPLATE
    assert "llama.pooling_type" not in fields


def test_one_that_embeds_pools(tmp_path):
    fields = gguf.GGUFReader(write(tmp_path / "x.gguf", embedding=True)).fields
    assert fields["llama.pooling_type"].contents() == gguf.PoolingType.MEAN


def test_a_width_that_heads_cannot_share_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a width of 64 cannot be divided among 3 heads"):
        write(tmp_path / "x.gguf", heads=3)
    assert not list(tmp_path.iterdir())


def test_as_a_program_it_writes_the_same(tmp_path):
    command = [
        sys.executable,
        "-m",
        "corral.engines.tiny",
        tmp_path / "a",
        "--seed",
        "3",
        "--embedding",
        "--context",
        "99",
    ]
    subprocess.run(command, check=True)
    assert (tmp_path / "a").read_bytes() == write(
        tmp_path / "b", seed=3, embedding=True, context=99
    ).read_bytes()


def test_as_a_program_it_says_what_is_wrong(tmp_path):
    command = [sys.executable, "-m", "corral.engines.tiny", tmp_path / "no" / "such" / "x.gguf"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "No such file or directory" in told.stderr


def test_it_talks_in_letters_and_comes_to_an_end(engine, tiny):
    with engine("-m", tiny) as running, running.ready() as client:
        body = {"messages": [{"role": "user", "content": "hi"}], "seed": 1}
        choice = client.post("/v1/chat/completions", json=body).json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"].isprintable()


def test_a_seed_makes_another_model(engine, tiny, tmp_path):
    other = write(tmp_path / "other.gguf", seed=1)
    assert greedy(engine, tiny) == greedy(engine, tiny) != greedy(engine, other)


def greedy(engine, model):
    body = {"prompt": "hi", "n_predict": 8, "temperature": 0, "ignore_eos": True}
    with engine("-m", model) as running, running.ready() as client:
        return client.post("/completion", json=body).json()["content"]
