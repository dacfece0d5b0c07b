"""Tiny GGUF models: half a megabyte of noise that llama.cpp loads in milliseconds and serves like any other.

They are real models of the `llama` architecture with a byte-fallback tokenizer, so every route of the server works. What
they say is random, but readable: letters are made likely and control bytes impossible, and a turn ends by itself after some
thirty tokens. The same arguments give the same bytes.

As a program: `python -m corral.engines.tiny PATH [--seed N] [--embedding] [--context N] ...`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy as np

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
"""A chat template of one line."""

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
_TOKENS = ["<unk>", "<s>", "</s>", *_BYTES]
_EOS = _TOKENS.index("</s>")
_PRINTABLE = [_TOKENS.index(_BYTES[byte]) for byte in range(32, 127)]
_NOISE = 0.05
# The first dimension is large, and the same for every token. The output row of each token weighs it: this
# decides between letters and the rest, while the other dimensions decide among letters.
_CONSTANT, _SPREAD = 8.0, 0.25
_LETTER, _END, _NEVER = 2.0, 2.06, -2.0


def write(
    path: str | Path,
    *,
    seed: int = 0,
    embedding: bool = False,
    layers: int = 2,
    width: int = 64,
    heads: int = 2,
    context: int = 4096,
    template: str = TEMPLATE,
    name: str = "tiny",
) -> Path:
    """Write a model to `path` and return it.

    `embedding` gives one that pools (mean), so that it embeds as well as talks. A head (`width / heads`) of 32 or a multiple of it is what
    quantised caches need. Raises ValueError when `width` is no multiple of `heads`, OSError when the file cannot be written.
    """
    if width % heads:
        raise ValueError(f"a width of {width} cannot be divided among {heads} heads")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    _size(writer, layers, width, heads, context)
    _tokenize(writer)
    writer.add_chat_template(template)
    if embedding:
        writer.add_pooling_type(gguf.PoolingType.MEAN)
    for tensor, values in _tensors(np.random.default_rng(seed), layers, width):
        writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(path)


def _size(writer: gguf.GGUFWriter, layers: int, width: int, heads: int, context: int) -> None:
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(len(_TOKENS))


def _tokenize(writer: gguf.GGUFWriter) -> None:
    kinds = gguf.TokenType
    writer.add_tokenizer_model("llama")
    writer.add_token_list(_TOKENS)
    writer.add_token_scores([0.0] * len(_TOKENS))
    writer.add_token_types(
        [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL] + [kinds.BYTE] * len(_BYTES)
    )
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(_EOS)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(value=True)
    writer.add_add_eos_token(value=False)


Tensor = tuple[str, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]


def _tensors(random: np.random.Generator, layers: int, width: int) -> list[Tensor]:
    def noise(rows: int, columns: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return (random.standard_normal((rows, columns)) * _NOISE).astype(np.float32)

    ones = np.ones(width, np.float32)
    embedded, spoken = noise(len(_TOKENS), width), noise(len(_TOKENS), width)
    _teach(embedded, spoken)
    tensors = [
        ("token_embd.weight", embedded),
        ("output_norm.weight", ones),
        ("output.weight", spoken),
    ]
    for layer in range(layers):
        block = f"blk.{layer}."
        square = ("attn_q", "attn_k", "attn_v", "attn_output")
        tensors += [(f"{block}{part}.weight", noise(width, width)) for part in square]
        tensors += [
            (f"{block}{part}.weight", noise(2 * width, width)) for part in ("ffn_gate", "ffn_up")
        ]
        tensors += [(f"{block}ffn_down.weight", noise(width, 2 * width))]
        tensors += [(f"{block}{part}_norm.weight", ones) for part in ("attn", "ffn")]
    return tensors


def _teach(
    embedded: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    spoken: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> None:
    """Make letters likely, the end of a turn a little less so, and all else impossible."""
    embedded[:, 0] = _CONSTANT
    spoken *= _SPREAD / _NOISE
    spoken[_EOS] = 0.0
    spoken[:, 0] = _NEVER
    spoken[_PRINTABLE, 0] = _LETTER
    spoken[_EOS, 0] = _END


def main() -> None:
    """Write one model, as the arguments say."""
    parser = argparse.ArgumentParser(
        prog="python -m corral.engines.tiny", description="Write a tiny GGUF model."
    )
    parser.add_argument("path", type=Path)
    parser.add_argument("--embedding", action="store_true", help="one that embeds as well as talks")
    for option, default in (
        ("seed", 0),
        ("layers", 2),
        ("width", 64),
        ("heads", 2),
        ("context", 4096),
    ):
        parser.add_argument(f"--{option}", type=int, default=default, help=f"default: {default}")
    parser.add_argument("--template", default=TEMPLATE, help="the chat template")
    parser.add_argument("--name", default="tiny", help="the model's own name")
    options = vars(parser.parse_args())
    try:
        write(options.pop("path"), **options)
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
