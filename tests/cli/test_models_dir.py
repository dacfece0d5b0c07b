from __future__ import annotations

import json
from pathlib import PurePosixPath

import pytest

from corral.cli import models_dir


def models(*paths: str) -> dict[str, list[str]]:
    """Model → the files its command names, for a listing of /m."""
    text = models_dir.configuration(PurePosixPath("/m", path) for path in paths)
    made = json.loads(text)["models"]
    assert all(m["cmd"][0] == "llama-server" and m["cmd"][-1] == "${PORT}" for m in made.values())
    return {
        name: [word.removeprefix("/m/") for word in model["cmd"] if word.startswith("/m/")]
        for name, model in made.items()
    }


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        pytest.param([], {}, id="empty"),
        pytest.param(["a.gguf", "b.GGUF"], {"a": ["a.gguf"], "b": ["b.GGUF"]}, id="one file each"),
        pytest.param(["x.txt", "gguf", ".gguf", "._a.gguf", "a.gguf.part"], {}, id="no models"),
        pytest.param(["Llama-3.2-1B.Q4.gguf"], {"Llama-3.2-1B.Q4": ["Llama-3.2-1B.Q4.gguf"]}, id="dots"),
        pytest.param(
            ["kimi-00002-of-00003.gguf", "kimi-00001-of-00003.gguf", "kimi-00003-of-00003.gguf"],
            {"kimi": ["kimi-00001-of-00003.gguf"]},
            id="shards",
        ),
        pytest.param(["half-00002-of-00002.gguf"], {}, id="first shard missing"),
        pytest.param(["kimi/kimi.gguf"], {"kimi": ["kimi/kimi.gguf"]}, id="subfolder"),
        pytest.param(
            ["a/m.gguf", "b/m.gguf", "c.gguf"],
            {"a/m": ["a/m.gguf"], "b/m": ["b/m.gguf"], "c": ["c.gguf"]},
            id="same stem twice",
        ),
        pytest.param(
            ["gemma/gemma.gguf", "gemma/mmproj-F16.gguf"],
            {"gemma": ["gemma/gemma.gguf", "gemma/mmproj-F16.gguf"]},
            id="projector beside the only model",
        ),
        pytest.param(
            ["v/big-00001-of-00002.gguf", "v/big-00002-of-00002.gguf", "v/mmproj-other.gguf"],
            {"big": ["v/big-00001-of-00002.gguf", "v/mmproj-other.gguf"]},
            id="projector beside one model in shards",
        ),
        pytest.param(
            ["g/gemma-Q4_K_M.gguf", "g/gemma-Q8_0.gguf", "g/mmproj-BF16.gguf"],
            {
                "gemma-Q4_K_M": ["g/gemma-Q4_K_M.gguf", "g/mmproj-BF16.gguf"],
                "gemma-Q8_0": ["g/gemma-Q8_0.gguf", "g/mmproj-BF16.gguf"],
            },
            id="nameless projector belongs to all beside it",
        ),
        pytest.param(
            ["Gemma-3-4b-Q4_K_M.gguf", "llama.gguf", "mmproj-gemma-3-4b-f16.gguf"],
            {
                "Gemma-3-4b-Q4_K_M": ["Gemma-3-4b-Q4_K_M.gguf", "mmproj-gemma-3-4b-f16.gguf"],
                "llama": ["llama.gguf"],
            },
            id="a projector's name says whose it is",
        ),
        pytest.param(["a.gguf", "v/b.gguf", "v/mmproj.gguf"],
                     {"a": ["a.gguf"], "b": ["v/b.gguf", "v/mmproj.gguf"]}, id="not across folders"),
        pytest.param(["mmproj.gguf"], {}, id="a projector alone is no model"),
    ],
)  # fmt: skip
def test_listings(listing, expected):
    assert models(*listing) == expected
    assert models(*reversed(listing)) == expected


def test_a_name_with_spaces_stays_one_argument():
    assert models("my model.gguf") == {"my model": ["my model.gguf"]}


@pytest.mark.parametrize("name", ["bad\udcff.gguf", "two\nlines.gguf", "bell\a.gguf"])
def test_a_path_that_is_no_text_is_refused(name):
    with pytest.raises(ValueError, match="not printable text; rename it"):
        models(name)


def test_a_path_that_would_be_a_macro_is_refused():
    with pytest.raises(ValueError, match=r"/m/\$\{x\}\.gguf: .* rename it"):
        models("${x}.gguf")
