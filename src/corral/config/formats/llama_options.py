"""llama-server's options by all their names: what tells that two of them say the same thing, and which take no value.

A preset INI may name an option by a short name, a long one or its variable (`c`, `ctx-size`, `LLAMA_ARG_CTX_SIZE`). An option that
is not listed here has one name and takes a value; its variable is `LLAMA_ARG_` and that name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

TRUE = frozenset(("on", "enabled", "true", "1"))
"""What llama-server takes for yes."""

_WITH_A_VALUE = """
model m; model-url mu; hf-repo hf hfr; hf-file hff; hf-token hft HF_TOKEN; docker-repo dr;
alias a; load-mode lm; lazy-mode lzm; override-tensor ot; n-cpu-moe ncmoe; n-cpu-ffn ncffn;
mmproj mm; mmproj-url mmu; mmproj-device mmdev MTMD_BACKEND_DEVICE; threads t; threads-batch tb;
cpu-mask C; cpu-range Cr; cpu-mask-batch Cb; cpu-range-batch Crb; ctx-size c;
batch-size b LLAMA_ARG_BATCH; ubatch-size ub LLAMA_ARG_UBATCH; flash-attn fa;
rope-scaling LLAMA_ARG_ROPE_SCALING_TYPE; cache-type-k ctk; cache-type-v ctv; defrag-thold dt;
parallel np LLAMA_ARG_N_PARALLEL; ctx-checkpoints ctxcp swa-checkpoints;
checkpoint-min-step cms LLAMA_ARG_CHECKPOINT_MIN_SPACING_NT; cache-ram cram;
n-gpu-layers ngl gpu-layers; device dev; split-mode sm; tensor-split ts; main-gpu mg; fit fit;
fit-target fitt; fit-ctx fitc; path LLAMA_ARG_STATIC_PATH; api-key LLAMA_API_KEY; timeout to;
slot-prompt-similarity sps; ui-config webui-config; ui-config-file webui-config-file;
log-verbosity lv verbosity; reasoning rea; reasoning-format LLAMA_ARG_THINK;
reasoning-budget LLAMA_ARG_THINK_BUDGET;
reasoning-budget-message LLAMA_ARG_THINK_BUDGET_MESSAGE; reverse-prompt r; n-predict n predict;
sampling-seq sampler-seq; seed s; temp temperature LLAMA_ARG_TEMPERATURE;
top-n-sigma top-nsigma; typical-p typical; logit-bias l; json-schema j; json-schema-file jf;
spec-draft-model md model-draft;
spec-draft-hf hfd hfrd hf-repo-draft LLAMA_ARG_SPEC_DRAFT_HF_REPO;
spec-draft-threads td threads-draft; spec-draft-threads-batch tbd threads-batch-draft;
spec-draft-cpu-mask Cd cpu-mask-draft; spec-draft-cpu-range Crd cpu-range-draft;
spec-draft-cpu-strict cpu-strict-draft; spec-draft-prio prio-draft; spec-draft-poll poll-draft;
spec-draft-cpu-mask-batch Cbd cpu-mask-batch-draft;
spec-draft-cpu-strict-batch cpu-strict-batch-draft; spec-draft-prio-batch prio-batch-draft;
spec-draft-poll-batch poll-batch-draft;
spec-draft-type-k ctkd cache-type-k-draft LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_K;
spec-draft-type-v ctvd cache-type-v-draft LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_V;
spec-draft-override-tensor otd override-tensor-draft;
spec-draft-n-cpu-moe ncmoed n-cpu-moe-draft spec-draft-ncmoe;
spec-draft-device devd device-draft;
spec-draft-ngl ngld gpu-layers-draft n-gpu-layers-draft LLAMA_ARG_N_GPU_LAYERS_DRAFT;
spec-draft-n-max draft draft-n draft-max LLAMA_ARG_DRAFT_MAX;
spec-draft-n-min draft-n-min draft-min LLAMA_ARG_DRAFT_MIN; spec-draft-p-split draft-p-split;
spec-draft-p-min draft-p-min; lookup-cache-static lcs; lookup-cache-dynamic lcd
"""
"""Each with its other names and variables; separated by `;`."""

_SWITCHES = """
offline; check-tensors; mlock; mmap; no-mmap; direct-io dio LLAMA_ARG_DIO;
repack / no-repack nr; no-host; cpu-moe cmoe; lora-init-without-apply;
mmproj-auto / no-mmproj-auto no-mmproj; mmproj-offload / no-mmproj-offload; embd-gemma-default;
fim-qwen-1.5b-default; fim-qwen-3b-default; fim-qwen-7b-default; fim-qwen-7b-spec;
fim-qwen-14b-spec; fim-qwen-30b-default; gpt-oss-20b-default; gpt-oss-120b-default;
vision-gemma-4b-default; vision-gemma-12b-default; swa-full; perf / no-perf;
kv-offload kvo / no-kv-offload nkvo; op-offload / no-op-offload;
cont-batching cb / no-cont-batching nocb; kv-unified kvu / no-kv-unified no-kvu;
cache-idle-slots / no-cache-idle-slots; cache-prompt / no-cache-prompt;
context-shift / no-context-shift; warmup / no-warmup; reuse-port;
cors-credentials / no-cors-credentials; metrics LLAMA_ARG_ENDPOINT_METRICS;
props LLAMA_ARG_ENDPOINT_PROPS; slots LLAMA_ARG_ENDPOINT_SLOTS / no-slots; embeddings embedding;
reranking rerank; ui webui / no-ui no-webui;
ui-mcp-proxy webui-mcp-proxy / no-ui-mcp-proxy no-webui-mcp-proxy; agent ag / no-agent no-ag;
models-autoload / no-models-autoload; verbose v log-verbose; log-disable;
log-jsonl / no-log-jsonl; log-prefix / no-log-prefix; log-timestamps / no-log-timestamps;
jinja / no-jinja; skip-chat-parsing / no-skip-chat-parsing;
prefill-assistant / no-prefill-assistant; reasoning-preserve / no-reasoning-preserve;
special sp; spm-infill; escape e / no-escape; ignore-eos; backend-sampling bs; spec-default;
spec-draft-cpu-moe cmoed cpu-moe-draft;
spec-draft-backend-sampling / no-spec-draft-backend-sampling
"""
"""The same; after `/` what says no, the usual spelling first."""

_VARIABLE = "LLAMA_ARG_"


def _rows(table: str) -> Iterator[tuple[list[str], list[str]]]:
    for row in table.split(";"):
        yes, _, no = row.partition("/")
        yield yes.split(), no.split()


_NAMES = {
    name: names[0]
    for table in (_WITH_A_VALUE, _SWITCHES)
    for names, _ in _rows(table)
    for name in names
}
_NO = {name: yes[0] for yes, no in _rows(_SWITCHES) for name in no}
_OFF = {yes[0]: no[0] if no else "" for yes, no in _rows(_SWITCHES)}


def option(key: str) -> tuple[str, bool]:
    """The one name of the option that a key of an INI names, and whether the key says yes or no (`no-warmup`)."""
    if key in _NAMES:
        return _NAMES[key], True
    if key in _NO:
        return _NO[key], False
    if not key.startswith(_VARIABLE):
        return key, True
    if (yes := key.replace("_NO_", "_", 1)) in _NAMES:
        return _NAMES[yes], False
    name = key.removeprefix(_VARIABLE).lower().replace("_", "-")
    return option(name)


def united(layers: Sequence[Mapping[str, str]]) -> dict[str, str | bool]:
    """What several sections say together, by the options' names; a later one wins. The value of a switch is a flag."""
    found: dict[str, str | bool] = {}
    for layer in layers:
        for key, value in layer.items():
            name, yes = option(key)
            found.pop(name, None)
            found[name] = (value.lower() in TRUE) is yes if name in _OFF else value
    return found


def arguments(options: Mapping[str, str | bool]) -> Iterator[str]:
    """These options as words of a command line; a switch that cannot say no is left out."""
    for name, value in options.items():
        if isinstance(value, str):
            yield from (_flag(name), value)
        elif value or _OFF[name]:
            yield _flag(name if value else _OFF[name])


def _flag(name: str) -> str:
    return f"--{name}" if len(name) > 1 else f"-{name}"
