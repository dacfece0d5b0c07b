"""Which model, where it comes from, and how it is read into memory."""

from __future__ import annotations

from corral.engines.flags.kinds import (
    COUNT,
    INTEGER,
    LIST,
    NAMES,
    PATH,
    SWITCH,
    URL,
    WORD,
    Kind,
    chosen,
    extend,
    get,
    join,
    put,
    real,
    words,
)
from corral.engines.flags.row import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_MODE = "LLAMA_LOAD_MODE_"
EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
_DENSE = r"\.ffn_(up|down|gate)\."


def _shift_mode(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    """Carry over a switch that `--load-mode` has replaced. The switches add up as they used to."""
    present = get(params, path).name.removeprefix(_MODE)
    put(wheel, params, path, _MODE + value.get(present, value[""]))


def _adapters(text: str) -> list[tuple[str, float]]:
    return [(path, 1.0) for path in words(text)]


def _scaled_adapters(text: str) -> list[tuple[str, float]]:
    pairs = [word.rpartition(":") for word in words(text)]
    if not all(path for path, _, _ in pairs):
        raise ValueError("write FILE:SCALE")
    return [(path, real(scale)) for path, _, scale in pairs]


def _load_adapters(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    extend(wheel, params, path, [wheel.CommonAdapterLoraInfo(file, scale) for file, scale in value])


def blocks(pattern: str) -> Kind:
    """The first N blocks' tensors of one kind, kept in main memory."""

    def parse(text: str) -> str:
        count = COUNT.parse(text)
        return ",".join(rf"blk\.{block}{pattern}=CPU" for block in range(count))

    return Kind("N", parse, join)


def _set_range(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    for end, number in zip(("start", "end"), value, strict=True):
        put(wheel, params, path.replace("start", end), number)


def _hub(repository: str, file: str = "", into: str = "model") -> tuple[tuple[str, object], ...]:
    """What says that a model of llama.cpp's own collection is to be downloaded."""
    source = ((f"{into}.hf_repo", "ggml-org/" + repository),)
    return (*source, (f"{into}.hf_file", file)) if file else source


# What llama-server sets for each family of the models it knows by name.
_EMBED = (
    ("port", 8011),
    ("n_ubatch", 2048),
    ("n_batch", 2048),
    ("n_parallel", 32),
    ("n_ctx", 65536),
    ("verbose_prompt", True),
    ("embedding", True),
)
_FILL = (
    ("port", 8012),
    ("n_ubatch", 1024),
    ("n_batch", 1024),
    ("n_ctx", 0),
    ("n_cache_reuse", 256),
)
_OSS = (
    ("port", 8013),
    ("n_ubatch", 2048),
    ("n_batch", 32768),
    ("n_parallel", 2),
    ("n_ctx", 262144),
    ("sampling.temp", 1.0),
    ("sampling.top_p", 1.0),
    ("sampling.top_k", 0),
    ("sampling.min_p", 0.01),
)
_SEE = (("port", 8014), ("n_ctx", 0))
_DRAFT = _hub(
    "Qwen2.5-Coder-0.5B-Q8_0-GGUF", "qwen2.5-coder-0.5b-q8_0.gguf", "speculative.draft.mparams"
)

LOAD_MODE = chosen(
    {
        "auto": _MODE + "AUTO",
        "none": _MODE + "NONE",
        "mmap": _MODE + "MMAP",
        "mlock": _MODE + "MLOCK",
        "mmap+mlock": _MODE + "MMAP_MLOCK",
        "dio": _MODE + "DIRECT_IO",
    }
)
LAZY_MODE = chosen({word: "LLAMA_LAZY_MODE_" + word.upper() for word in ("on", "auto", "off")})
OLD_MODE = Kind(put=_shift_mode)
LORA = Kind("FILE,...", _adapters, _load_adapters)
SCALED_LORA = Kind("FILE:SCALE,...", _scaled_adapters, _load_adapters)
OVERRIDES = Kind("PATTERN=BUFFER,...", str, join)
APPEND = Kind(put=join)
RANGE = Kind("FIRST LAST", lambda *ends: [INTEGER.parse(end) for end in ends], _set_range)

# A table is read in rows.
# fmt: off
MODEL: tuple[Flag, ...] = (
    Flag("-m --model", "the GGUF file to serve (a shard's first part for a model of several)", "model.path", PATH, "LLAMA_ARG_MODEL"),
    Flag("-mu --model-url", "download the model from here first", "model.url", URL, "LLAMA_ARG_MODEL_URL"),
    Flag("-hf -hfr --hf-repo", "download the model from this Hugging Face repository: USER/MODEL[:QUANT]", "model.hf_repo", WORD, "LLAMA_ARG_HF_REPO"),
    Flag("-hff --hf-file", "the file of that repository", "model.hf_file", WORD, "LLAMA_ARG_HF_FILE"),
    Flag("-hft --hf-token", "the token to download with", "hf_token", WORD, "HF_TOKEN"),
    Flag("-dr --docker-repo", "download the model from Docker Hub: [REPO/]MODEL[:QUANT]", "model.docker_repo", WORD, "LLAMA_ARG_DOCKER_REPO"),
    Flag("--offline", "use what was downloaded before, never the network", "offline", SWITCH, "LLAMA_ARG_OFFLINE"),
    Flag("-a --alias", "the names the API gives the model", "model_alias", NAMES, "LLAMA_ARG_ALIAS"),
    Flag("--tags", "words about the model, shown in listings", "model_tags", NAMES, "LLAMA_ARG_TAGS"),
    Flag("--check-tensors", "look for invalid values in the model's data", "check_tensors", SWITCH),
    Flag("--override-kv", "override the model's metadata", "", Kind("KEY=TYPE:VALUE,...")),
    Flag("-lm --load-mode", "how the file is read", "load_mode", LOAD_MODE, "LLAMA_ARG_LOAD_MODE"),
    Flag("--mlock", "older spelling: keep the model in RAM", "load_mode", OLD_MODE, "LLAMA_ARG_MLOCK", value={"": "MMAP_MLOCK", "NONE": "MLOCK", "MLOCK": "MLOCK"}),
    Flag("--mmap", "older spelling: map the file into memory", "load_mode", OLD_MODE, "LLAMA_ARG_MMAP", value={"": "MMAP", "MLOCK": "MMAP_MLOCK", "MMAP_MLOCK": "MMAP_MLOCK"}),
    Flag("--no-mmap", "older spelling: read the file whole", "load_mode", OLD_MODE, "LLAMA_ARG_NO_MMAP", value={"": "NONE", "MLOCK": "MLOCK", "MMAP_MLOCK": "MLOCK"}),
    Flag("-dio --direct-io", "older spelling: read past the page cache", "load_mode", OLD_MODE, "LLAMA_ARG_DIO", value={"": "DIRECT_IO"}),
    Flag("-lzm --lazy-mode", "read rows of very large tables when they are needed", "lazy_mode", LAZY_MODE, "LLAMA_ARG_LAZY_MODE"),
    Flag("--repack", "repack weights for this processor", "no_extra_bufts", SWITCH, "LLAMA_ARG_REPACK", off="-nr --no-repack", value=False),
    Flag("--no-host", "do not use the host buffer", "no_host", SWITCH, "LLAMA_ARG_NO_HOST"),
    Flag("-ot --override-tensor", "where tensors are kept", "tensor_buft_overrides", OVERRIDES, "LLAMA_ARG_OVERRIDE_TENSOR"),
    Flag("-cmoe --cpu-moe", "keep all experts in main memory", "tensor_buft_overrides", APPEND, "LLAMA_ARG_CPU_MOE", value=EXPERTS + "=CPU"),
    Flag("-ncmoe --n-cpu-moe", "keep the experts of the first N layers in main memory", "tensor_buft_overrides", blocks(EXPERTS), "LLAMA_ARG_N_CPU_MOE"),
    Flag("-ncffn --n-cpu-ffn", "keep the dense feed-forward weights of the first N layers in main memory", "tensor_buft_overrides", blocks(_DENSE), "LLAMA_ARG_N_CPU_FFN"),
    Flag("--lora", "apply LoRA adapters", "lora_adapters", LORA),
    Flag("--lora-scaled", "apply LoRA adapters at a strength", "lora_adapters", SCALED_LORA),
    Flag("--lora-init-without-apply", "load the adapters, apply none until POST /lora-adapters says so", "lora_init_without_apply", SWITCH),
    Flag("--control-vector", "add control vectors", "", LIST),
    Flag("--control-vector-scaled", "add control vectors at a strength", "", LIST),
    Flag("--control-vector-layer-range", "the layers that control vectors apply to", "control_vector_layer_start", RANGE),
    Flag("-mm --mmproj", "the multimodal projector's file", "mmproj.path", PATH, "LLAMA_ARG_MMPROJ"),
    Flag("-mmu --mmproj-url", "download the multimodal projector from here first", "mmproj.url", URL, "LLAMA_ARG_MMPROJ_URL"),
    Flag("--mmproj-auto", "use the projector that a repository holds", "no_mmproj", SWITCH, "LLAMA_ARG_MMPROJ_AUTO", off="--no-mmproj --no-mmproj-auto", value=False),
    Flag("--mmproj-offload", "put the projector on the GPU", "mmproj_use_gpu", SWITCH, "LLAMA_ARG_MMPROJ_OFFLOAD", off="--no-mmproj-offload"),
    Flag("-mmdev --mmproj-device", "the device for the projector, or none", "mmproj_device", WORD, "MTMD_BACKEND_DEVICE"),
    Flag("-cl --cache-list", "list what was downloaded", "", SWITCH),
    Flag("--embd-gemma-default", "download and serve EmbeddingGemma 300M", also=(*_hub("embeddinggemma-300M-qat-q4_0-GGUF", "embeddinggemma-300M-qat-Q4_0.gguf"), *_EMBED), kind=SWITCH),
    Flag("--fim-qwen-1.5b-default", "download and serve Qwen 2.5 Coder 1.5B", also=(*_hub("Qwen2.5-Coder-1.5B-Q8_0-GGUF", "qwen2.5-coder-1.5b-q8_0.gguf"), *_FILL), kind=SWITCH),
    Flag("--fim-qwen-3b-default", "download and serve Qwen 2.5 Coder 3B", also=(*_hub("Qwen2.5-Coder-3B-Q8_0-GGUF", "qwen2.5-coder-3b-q8_0.gguf"), *_FILL), kind=SWITCH),
    Flag("--fim-qwen-7b-default", "download and serve Qwen 2.5 Coder 7B", also=(*_hub("Qwen2.5-Coder-7B-Q8_0-GGUF", "qwen2.5-coder-7b-q8_0.gguf"), *_FILL), kind=SWITCH),
    Flag("--fim-qwen-7b-spec", "the same, drafted for by the 0.5B model", also=(*_hub("Qwen2.5-Coder-7B-Q8_0-GGUF", "qwen2.5-coder-7b-q8_0.gguf"), *_FILL, *_DRAFT), kind=SWITCH),
    Flag("--fim-qwen-14b-spec", "download and serve Qwen 2.5 Coder 14B, drafted for by the 0.5B model", also=(*_hub("Qwen2.5-Coder-14B-Q8_0-GGUF", "qwen2.5-coder-14b-q8_0.gguf"), *_FILL, *_DRAFT), kind=SWITCH),
    Flag("--fim-qwen-30b-default", "download and serve Qwen 3 Coder 30B A3B", also=(*_hub("Qwen3-Coder-30B-A3B-Instruct-Q8_0-GGUF", "qwen3-coder-30b-a3b-instruct-q8_0.gguf"), *_FILL), kind=SWITCH),
    Flag("--gpt-oss-20b-default", "download and serve gpt-oss 20B", also=(*_hub("gpt-oss-20b-GGUF", "gpt-oss-20b-mxfp4.gguf"), *_OSS), kind=SWITCH),
    Flag("--gpt-oss-120b-default", "download and serve gpt-oss 120B", also=(*_hub("gpt-oss-120b-GGUF"), *_OSS), kind=SWITCH),
    Flag("--vision-gemma-4b-default", "download and serve Gemma 3 4B", also=(*_hub("gemma-3-4b-it-qat-GGUF"), *_SEE), kind=SWITCH),
    Flag("--vision-gemma-12b-default", "download and serve Gemma 3 12B", also=(*_hub("gemma-3-12b-it-qat-GGUF"), *_SEE), kind=SWITCH),
)
# fmt: on
