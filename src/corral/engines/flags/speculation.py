"""Speculative decoding: a draft model, or n-grams."""

from __future__ import annotations

from corral.engines.flags.compute import CPU_MASK, CPU_RANGE, LAYERS, POLL, PRIORITY, ZERO_ONE
from corral.engines.flags.kinds import (
    CACHE_TYPE,
    COUNT,
    INTEGER,
    NUMBER,
    PATH,
    SWITCH,
    WORD,
    Kind,
    get,
    integer,
    put,
    real,
    words,
)
from corral.engines.flags.model import APPEND, EXPERTS, OVERRIDES, blocks
from corral.engines.flags.row import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_DRAFT = "speculative.draft."
_TYPE = "COMMON_SPECULATIVE_TYPE_"
_TYPES = (
    "none",
    "draft-simple",
    "draft-eagle3",
    "draft-mtp",
    "draft-dflash",
    "draft-dspark",
    "ngram-simple",
    "ngram-map-k",
    "ngram-map-k4v",
    "ngram-mod",
    "ngram-cache",
)


def _types(text: str) -> list[str]:
    for word in words(text):
        if word not in _TYPES:
            raise ValueError(f"{word!r} is none of {', '.join(_TYPES)}")
    return [_TYPE + word.upper().replace("-", "_") for word in words(text)]


def _add_types(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    present = get(params, path)
    put(wheel, params, path, [*present, *(type(present[0])[name] for name in value)])


def _sampling(text: str) -> bool:
    if text not in ("greedy", "probabilistic"):
        raise ValueError(f"{text!r} is none of greedy, probabilistic")
    return text == "probabilistic"


def _ngrams(leaf: str) -> str:
    return " ".join(
        f"speculative.{kind}.{leaf}" for kind in ("ngram_simple", "ngram_map_k", "ngram_map_k4v")
    )


TYPES = Kind("TYPE,...", _types, _add_types)
MORE_TYPES = Kind(put=_add_types)
RATES = Kind("P0,P1,...", lambda text: [real(part) for part in words(text)])
SIZE = integer(1, 1024)
LENGTH = integer(0, 1024)
HITS = integer(1)

# A table is read in rows.
# fmt: off
SPECULATION: tuple[Flag, ...] = (
    Flag("-md --model-draft --spec-draft-model", "the draft model's file", _DRAFT + "mparams.path " + _DRAFT + "mparams.hf_file", PATH, "LLAMA_ARG_SPEC_DRAFT_MODEL"),
    Flag("-hfd -hfrd --hf-repo-draft --spec-draft-hf", "download the draft model from this Hugging Face repository", _DRAFT + "mparams.hf_repo", WORD, "LLAMA_ARG_SPEC_DRAFT_HF_REPO"),
    Flag("--spec-type", "how to speculate: " + ", ".join(_TYPES), "speculative.types", TYPES, "LLAMA_ARG_SPEC_TYPE"),
    Flag("--spec-default", "speculate by n-grams", "speculative.types", MORE_TYPES, value=(_TYPE + "NGRAM_MOD",)),
    Flag("-td --threads-draft --spec-draft-threads", "the draft's threads (default: as --threads)", _DRAFT + "cpuparams.n_threads", INTEGER),
    Flag("-tbd --threads-batch-draft --spec-draft-threads-batch", "the draft's threads for prompts", _DRAFT + "cpuparams_batch.n_threads", INTEGER),
    Flag("-Cd --cpu-mask-draft --spec-draft-cpu-mask", "the draft's processors", _DRAFT + "cpuparams", CPU_MASK),
    Flag("-Crd --cpu-range-draft --spec-draft-cpu-range", "the draft's processors", _DRAFT + "cpuparams", CPU_RANGE),
    Flag("--cpu-strict-draft --spec-draft-cpu-strict", "place the draft's threads strictly", _DRAFT + "cpuparams.strict_cpu", ZERO_ONE),
    Flag("--prio-draft --spec-draft-prio", "the draft's priority", _DRAFT + "cpuparams.priority", PRIORITY),
    Flag("--poll-draft --spec-draft-poll", "how eagerly the draft's threads wait", _DRAFT + "cpuparams.poll", POLL),
    Flag("-Cbd --cpu-mask-batch-draft --spec-draft-cpu-mask-batch", "the same for the draft's prompts", _DRAFT + "cpuparams_batch", CPU_MASK),
    Flag("--cpu-strict-batch-draft --spec-draft-cpu-strict-batch", "the same for the draft's prompts", _DRAFT + "cpuparams_batch.strict_cpu", ZERO_ONE),
    Flag("--prio-batch-draft --spec-draft-prio-batch", "the same for the draft's prompts", _DRAFT + "cpuparams_batch.priority", PRIORITY),
    Flag("--poll-batch-draft --spec-draft-poll-batch", "the same for the draft's prompts", _DRAFT + "cpuparams_batch.poll", POLL),
    Flag("-ctkd --cache-type-k-draft --spec-draft-type-k", "the draft's KV cache's type for K", _DRAFT + "cache_type_k", CACHE_TYPE, "LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_K"),
    Flag("-ctvd --cache-type-v-draft --spec-draft-type-v", "the draft's KV cache's type for V", _DRAFT + "cache_type_v", CACHE_TYPE, "LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_V"),
    Flag("-otd --override-tensor-draft --spec-draft-override-tensor", "where the draft's tensors are kept", _DRAFT + "tensor_buft_overrides", OVERRIDES),
    Flag("-cmoed --cpu-moe-draft --spec-draft-cpu-moe", "keep the draft's experts in main memory", _DRAFT + "tensor_buft_overrides", APPEND, "LLAMA_ARG_SPEC_DRAFT_CPU_MOE", value=EXPERTS + "=CPU"),
    Flag("-ncmoed --n-cpu-moe-draft --spec-draft-ncmoe --spec-draft-n-cpu-moe", "keep the experts of the draft's first N layers in main memory", _DRAFT + "tensor_buft_overrides", blocks(EXPERTS), "LLAMA_ARG_SPEC_DRAFT_N_CPU_MOE"),
    Flag("-devd --device-draft --spec-draft-device", "the draft's devices, or none", _DRAFT + "devices", WORD),
    Flag("-ngld --gpu-layers-draft --n-gpu-layers-draft --spec-draft-ngl", "the draft's layers on the GPU", _DRAFT + "n_gpu_layers", LAYERS, "LLAMA_ARG_N_GPU_LAYERS_DRAFT"),
    Flag("--draft --draft-n --draft-max --spec-draft-n-max", "tokens to draft at most", _DRAFT + "n_max", COUNT, "LLAMA_ARG_SPEC_DRAFT_N_MAX LLAMA_ARG_DRAFT_MAX"),
    Flag("--draft-n-min --draft-min --spec-draft-n-min", "tokens to draft at least", _DRAFT + "n_min", COUNT, "LLAMA_ARG_SPEC_DRAFT_N_MIN LLAMA_ARG_DRAFT_MIN"),
    Flag("--draft-p-split --spec-draft-p-split", "when a draft splits", _DRAFT + "p_split", NUMBER, "LLAMA_ARG_SPEC_DRAFT_P_SPLIT"),
    Flag("--draft-p-min --spec-draft-p-min", "the likelihood a draft must have", _DRAFT + "p_min", NUMBER, "LLAMA_ARG_SPEC_DRAFT_P_MIN"),
    Flag("--spec-draft-backend-sampling", "sample the draft where it runs", _DRAFT + "backend_sampling", SWITCH, "LLAMA_ARG_SPEC_DRAFT_BACKEND_SAMPLING", off="--no-spec-draft-backend-sampling"),
    Flag("--spec-draft-sampling", "how the draft is sampled", _DRAFT + "probabilistic", Kind("greedy|probabilistic", _sampling), "LLAMA_ARG_SPEC_DRAFT_SAMPLING"),
    Flag("--spec-synth-len", "for benchmarks: tokens taken to be accepted", "speculative.synth_len", NUMBER, "LLAMA_ARG_SPEC_SYNTH_LEN"),
    Flag("--spec-synth-rates", "for benchmarks: rates taken to be accepted", "speculative.synth_rates", RATES, "LLAMA_ARG_SPEC_SYNTH_RATES"),
    Flag("--spec-ngram-mod-n-min", "ngram-mod: the shortest draft", "speculative.ngram_mod.n_min", LENGTH),
    Flag("--spec-ngram-mod-n-max", "ngram-mod: the longest draft", "speculative.ngram_mod.n_max", LENGTH),
    Flag("--spec-ngram-mod-n-match", "ngram-mod: tokens to look up", "speculative.ngram_mod.n_match", SIZE),
    Flag("--spec-ngram-simple-size-n", "ngram-simple: tokens to look up", "speculative.ngram_simple.size_n", SIZE),
    Flag("--spec-ngram-simple-size-m", "ngram-simple: tokens to draft", "speculative.ngram_simple.size_m", SIZE),
    Flag("--spec-ngram-simple-min-hits", "ngram-simple: hits needed", "speculative.ngram_simple.min_hits", HITS),
    Flag("--spec-ngram-map-k-size-n", "ngram-map-k: tokens to look up", "speculative.ngram_map_k.size_n", SIZE),
    Flag("--spec-ngram-map-k-size-m", "ngram-map-k: tokens to draft", "speculative.ngram_map_k.size_m", SIZE),
    Flag("--spec-ngram-map-k-min-hits", "ngram-map-k: hits needed", "speculative.ngram_map_k.min_hits", HITS),
    Flag("--spec-ngram-map-k4v-size-n", "ngram-map-k4v: tokens to look up", "speculative.ngram_map_k4v.size_n", SIZE),
    Flag("--spec-ngram-map-k4v-size-m", "ngram-map-k4v: tokens to draft", "speculative.ngram_map_k4v.size_m", SIZE),
    Flag("--spec-ngram-map-k4v-min-hits", "ngram-map-k4v: hits needed", "speculative.ngram_map_k4v.min_hits", HITS),
    Flag("--spec-ngram-size-n", "older spelling for all n-grams: tokens to look up", _ngrams("size_n"), SIZE),
    Flag("--spec-ngram-size-m", "older spelling for all n-grams: tokens to draft", _ngrams("size_m"), SIZE),
    Flag("--spec-ngram-min-hits", "older spelling for all n-grams: hits needed", _ngrams("min_hits"), HITS),
    Flag("-lcs --lookup-cache-static", "a cache for lookup, only read", "speculative.ngram_cache.lookup_cache_static", PATH),
    Flag("-lcd --lookup-cache-dynamic", "a cache for lookup, kept up to date", "speculative.ngram_cache.lookup_cache_dynamic", PATH),
)
# fmt: on
