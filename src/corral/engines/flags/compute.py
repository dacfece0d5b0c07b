"""Threads, memory for the context, and the GPU."""

from __future__ import annotations

from corral.engines.flags.kinds import (
    CACHE_TYPE,
    COUNT,
    INTEGER,
    LIST,
    NUMBER,
    SWITCH,
    TRUTH,
    Kind,
    chosen,
    get,
    integer,
    overlay,
    put,
    real,
    truth,
    words,
)
from corral.engines.flags.row import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_MIB = 2**20


def _mask(text: str) -> list[int]:
    """The processors of a hexadecimal mask."""
    try:
        bits = int(text, 16)
    except ValueError:
        raise ValueError(f"not a hexadecimal mask: {text!r}") from None
    return [cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1]


def _range(text: str) -> list[int]:
    """The processors from the first to the last, both included; either may be left out."""
    first, dash, last = text.partition("-")
    if not dash:
        raise ValueError("write FIRST-LAST")
    return list(range(COUNT.parse(first or "0"), COUNT.parse(last or "511") + 1))


def _pin(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    """Add processors to a thread pool's."""
    mask = get(params, path + ".cpumask")
    if value and value[-1] >= len(mask):
        raise ValueError(f"processors go from 0 to {len(mask) - 1}")
    put(wheel, params, path + ".cpumask", [on or cpu in value for cpu, on in enumerate(mask)])
    put(wheel, params, path + ".mask_valid", value=True)


def _layers(text: str) -> int:
    """A number of layers; -1 lets llama.cpp decide, -2 is all of them."""
    return {"auto": -1, "all": -2}.get(text) or int(INTEGER.parse(text))


def _margins(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    """Memory to leave free on each device; one value is for all of them."""
    count = len(get(params, path))
    overlay(wheel, params, path, value * count if len(value) == 1 else value)


def _flash(text: str) -> str:
    word = "AUTO" if text in ("auto", "-1") else ("ENABLED" if truth(text) else "DISABLED")
    return "LLAMA_FLASH_ATTN_TYPE_" + word


def _inverse(text: str) -> float:
    scale = real(text)
    if not scale:
        raise ValueError("must not be 0")
    return 1 / scale


def _slots(text: str) -> int:
    count = int(INTEGER.parse(text))
    if not count:
        raise ValueError("0 slots serve nobody; -1 lets llama.cpp decide")
    return count


CPU_MASK = Kind("HEX", _mask, _pin)
CPU_RANGE = Kind("FIRST-LAST", _range, _pin)
PRIORITY = chosen(
    {
        str(number): "GGML_SCHED_PRIO_" + word
        for number, word in enumerate(("LOW", "NORMAL", "MEDIUM", "HIGH", "REALTIME"), -1)
    }
)
ZERO_ONE = Kind("0|1", truth)
POLL = integer(0, 100)
LAYERS = Kind("N|auto|all", _layers)
SHARES = Kind(
    "N0,N1,...", lambda text: [real(part) for part in words(text.replace("/", ","))], overlay
)
MARGINS = Kind(
    "MIB0,MIB1,...", lambda text: [COUNT.parse(part) * _MIB for part in words(text)], _margins
)
FLASH = Kind("on|off|auto", _flash)
SPLIT = chosen(
    {word: "LLAMA_SPLIT_MODE_" + word.upper() for word in ("none", "layer", "row", "tensor")}
)
ROPE = chosen(
    {word: "LLAMA_ROPE_SCALING_TYPE_" + word.upper() for word in ("none", "linear", "yarn")}
)
NUMA = chosen(
    {word: "GGML_NUMA_STRATEGY_" + word.upper() for word in ("distribute", "isolate", "numactl")}
)
INVERSE = Kind("N", _inverse)
SLOTS = Kind("N", _slots)

# A table is read in rows.
# fmt: off
COMPUTE: tuple[Flag, ...] = (
    Flag("-t --threads", "threads for generation (default: the processor's cores)", "cpuparams.n_threads", INTEGER, "LLAMA_ARG_THREADS"),
    Flag("-tb --threads-batch", "threads for prompts (default: as --threads)", "cpuparams_batch.n_threads", INTEGER),
    Flag("-C --cpu-mask", "the processors to run on", "cpuparams", CPU_MASK),
    Flag("-Cr --cpu-range", "the processors to run on", "cpuparams", CPU_RANGE),
    Flag("--cpu-strict", "place threads strictly", "cpuparams.strict_cpu", ZERO_ONE),
    Flag("--prio", "the threads' priority, -1 low to 3 real time", "cpuparams.priority", PRIORITY),
    Flag("--poll", "how eagerly threads wait for work, 0 to 100", "cpuparams.poll", POLL),
    Flag("-Cb --cpu-mask-batch", "the same for prompts", "cpuparams_batch", CPU_MASK),
    Flag("-Crb --cpu-range-batch", "the same for prompts", "cpuparams_batch", CPU_RANGE),
    Flag("--cpu-strict-batch", "the same for prompts", "cpuparams_batch.strict_cpu", ZERO_ONE),
    Flag("--prio-batch", "the same for prompts", "cpuparams_batch.priority", PRIORITY),
    Flag("--poll-batch", "the same for prompts", "cpuparams_batch.poll", POLL),
    Flag("--numa", "how memory is spread over NUMA nodes", "numa", NUMA, "LLAMA_ARG_NUMA"),
    Flag("-c --ctx-size", "the context's size in tokens, 0 for the model's own", "n_ctx", COUNT, "LLAMA_ARG_CTX_SIZE"),
    Flag("-b --batch-size", "tokens in a logical batch", "n_batch", COUNT, "LLAMA_ARG_BATCH"),
    Flag("-ub --ubatch-size", "tokens in a physical batch", "n_ubatch", COUNT, "LLAMA_ARG_UBATCH"),
    Flag("--swa-full", "a full cache for sliding-window attention", "swa_full", SWITCH, "LLAMA_ARG_SWA_FULL"),
    Flag("-fa --flash-attn", "flash attention", "flash_attn_type", FLASH, "LLAMA_ARG_FLASH_ATTN"),
    Flag("--perf", "llama.cpp's own timings", "no_perf sampling.no_perf", SWITCH, "LLAMA_ARG_PERF", off="--no-perf", value=False),
    Flag("--rope-scaling", "how RoPE is scaled", "rope_scaling_type", ROPE, "LLAMA_ARG_ROPE_SCALING_TYPE"),
    Flag("--rope-scale", "extend the context N times", "rope_freq_scale", INVERSE, "LLAMA_ARG_ROPE_SCALE"),
    Flag("--rope-freq-base", "RoPE's base frequency", "rope_freq_base", NUMBER, "LLAMA_ARG_ROPE_FREQ_BASE"),
    Flag("--rope-freq-scale", "RoPE's frequency factor", "rope_freq_scale", NUMBER, "LLAMA_ARG_ROPE_FREQ_SCALE"),
    Flag("--yarn-orig-ctx", "YaRN: the context the model was trained with", "yarn_orig_ctx", COUNT, "LLAMA_ARG_YARN_ORIG_CTX"),
    Flag("--yarn-ext-factor", "YaRN: extrapolation", "yarn_ext_factor", NUMBER, "LLAMA_ARG_YARN_EXT_FACTOR"),
    Flag("--yarn-attn-factor", "YaRN: attention's magnitude", "yarn_attn_factor", NUMBER, "LLAMA_ARG_YARN_ATTN_FACTOR"),
    Flag("--yarn-beta-slow", "YaRN: high correction", "yarn_beta_slow", NUMBER, "LLAMA_ARG_YARN_BETA_SLOW"),
    Flag("--yarn-beta-fast", "YaRN: low correction", "yarn_beta_fast", NUMBER, "LLAMA_ARG_YARN_BETA_FAST"),
    Flag("-ctk --cache-type-k", "the KV cache's type for K", "cache_type_k", CACHE_TYPE, "LLAMA_ARG_CACHE_TYPE_K"),
    Flag("-ctv --cache-type-v", "the KV cache's type for V", "cache_type_v", CACHE_TYPE, "LLAMA_ARG_CACHE_TYPE_V"),
    Flag("-kvo --kv-offload", "keep the KV cache on the GPU", "no_kv_offload", SWITCH, "LLAMA_ARG_KV_OFFLOAD", off="-nkvo --no-kv-offload", value=False),
    Flag("--op-offload", "run operations on main memory's tensors on the GPU", "no_op_offload", SWITCH, off="--no-op-offload", value=False),
    Flag("-dt --defrag-thold", "no longer of use", "", NUMBER, "LLAMA_ARG_DEFRAG_THOLD"),
    Flag("-np --parallel", "how many requests run side by side, -1 for llama.cpp's choice", "n_parallel", SLOTS, "LLAMA_ARG_N_PARALLEL"),
    Flag("-cb --cont-batching", "batch requests continuously", "cont_batching", SWITCH, "LLAMA_ARG_CONT_BATCHING", off="-nocb --no-cont-batching"),
    Flag("-kvu --kv-unified", "one KV cache for all slots (default: when -np is -1)", "kv_unified", SWITCH, "LLAMA_ARG_KV_UNIFIED", off="-no-kvu --no-kv-unified"),
    Flag("--kv-unified-per-slot", "tokens for one slot of a common KV cache", "kv_unified_per_slot", COUNT, "LLAMA_ARG_KV_UNIFIED_PER_SLOT"),
    Flag("-ctxcp --swa-checkpoints --ctx-checkpoints", "checkpoints of the context for each slot", "n_ctx_checkpoints", COUNT, "LLAMA_ARG_CTX_CHECKPOINTS"),
    Flag("-cms --checkpoint-min-step", "tokens between two checkpoints at least", "checkpoint_min_step", COUNT, "LLAMA_ARG_CHECKPOINT_MIN_SPACING_NT"),
    Flag("-cram --cache-ram", "MiB of RAM for prompts of the past, -1 without limit, 0 for none", "cache_ram_mib", INTEGER, "LLAMA_ARG_CACHE_RAM"),
    Flag("--cache-idle-slots", "move idle slots to that cache", "cache_idle_slots", SWITCH, "LLAMA_ARG_CACHE_IDLE_SLOTS", off="--no-cache-idle-slots"),
    Flag("--cache-prompt", "reuse what a slot still knows of a prompt", "cache_prompt", SWITCH, "LLAMA_ARG_CACHE_PROMPT", off="--no-cache-prompt"),
    Flag("--cache-reuse", "the shortest piece to reuse by shifting the cache", "n_cache_reuse", COUNT, "LLAMA_ARG_CACHE_REUSE"),
    Flag("--context-shift", "drop the oldest tokens when the context is full", "ctx_shift", SWITCH, "LLAMA_ARG_CONTEXT_SHIFT", off="--no-context-shift"),
    Flag("--keep", "tokens of the prompt that a shift keeps, -1 for all", "n_keep", INTEGER),
    Flag("--warmup", "run the model once, empty, when it is loaded", "warmup", SWITCH, off="--no-warmup"),
    Flag("-ngl --gpu-layers --n-gpu-layers", "layers on the GPU", "n_gpu_layers", LAYERS, "LLAMA_ARG_N_GPU_LAYERS"),
    Flag("-dev --device", "the devices to use, or none", "", LIST, "LLAMA_ARG_DEVICE"),
    Flag("--rpc", "servers to compute on", "", LIST, "LLAMA_ARG_RPC"),
    Flag("-sm --split-mode", "how a model is split over GPUs", "split_mode", SPLIT, "LLAMA_ARG_SPLIT_MODE"),
    Flag("-ts --tensor-split", "each GPU's share of the model", "tensor_split", SHARES, "LLAMA_ARG_TENSOR_SPLIT"),
    Flag("-mg --main-gpu", "the GPU for a model that is not split", "main_gpu", COUNT, "LLAMA_ARG_MAIN_GPU"),
    Flag("-fit --fit", "adjust what is not set to the free memory", "fit_params", TRUTH, "LLAMA_ARG_FIT"),
    Flag("-fitt --fit-target", "MiB that --fit leaves free on each device", "fit_params_target", MARGINS, "LLAMA_ARG_FIT_TARGET"),
    Flag("-fitc --fit-ctx", "the smallest context that --fit may choose", "fit_params_min_ctx", COUNT, "LLAMA_ARG_FIT_CTX"),
    Flag("--moe-cache-mib", "MiB of GPU memory to cache experts in", "moe_cache_size", integer(0, scale=_MIB), "LLAMA_ARG_MOE_CACHE_MIB"),
)
# fmt: on
