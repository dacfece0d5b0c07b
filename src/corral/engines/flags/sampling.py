"""How tokens are chosen, unless a request says otherwise."""

from __future__ import annotations

from corral.engines.flags.kinds import (
    INTEGER,
    NUMBER,
    SWITCH,
    TEXT,
    Kind,
    content,
    integer,
    put,
    real,
)
from corral.engines.flags.row import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_SAMPLERS = {
    "e": "penalties",
    "d": "dry",
    "s": "top_n_sigma",
    "k": "top_k",
    "y": "typ_p",
    "p": "top_p",
    "m": "min_p",
    "x": "xtc",
    "t": "temperature",
    "i": "infill",
    "a": "adaptive_p",
}
# The names that llama-server takes besides its own.
_OTHER_NAMES = {
    "top-k": "top_k",
    "top-p": "top_p",
    "nucleus": "top_p",
    "typical-p": "typ_p",
    "typical_p": "typ_p",
    "typical": "typ_p",
    "typ-p": "typ_p",
    "typ": "typ_p",
    "min-p": "min_p",
    "temp": "temperature",
    "top-n-sigma": "top_n_sigma",
    "adaptive-p": "adaptive_p",
}


def _samplers(text: str) -> str:
    names = [_OTHER_NAMES.get(name, name) for name in text.split(";")]
    for name in names:
        if name not in _SAMPLERS.values():
            raise ValueError(f"{name!r} is none of {', '.join(_SAMPLERS.values())}")
    return ";".join(names)


def _sequence(text: str) -> str:
    for letter in text:
        if letter not in _SAMPLERS:
            raise ValueError(f"{letter!r} is none of {''.join(_SAMPLERS)}")
    return ";".join(_SAMPLERS[letter] for letter in text)


def _positive(text: str) -> float:
    number = real(text)
    if number <= 0:
        raise ValueError("must be above 0")
    return number


def _seed(text: str) -> int:
    """-1 is a random one; C++ counts it from the other end."""
    return int(integer(-(2**31), 2**32 - 1).parse(text)) % 2**32


def _constrain(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    put(wheel, params, path + ".grammar", value)
    put(wheel, params, path + ".type", "COMMON_GRAMMAR_TYPE_USER")


def _constrain_json(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    put(wheel, params, path + ".grammar", wheel.json_schema_to_grammar(value))
    put(wheel, params, path + ".type", "COMMON_GRAMMAR_TYPE_OUTPUT_FORMAT")


SAMPLERS = Kind("A;B;...", _samplers)
SEQUENCE = Kind("LETTERS", _sequence)
SEED = Kind("N", _seed)
POSITIVE = Kind("N", _positive)
GRAMMAR = Kind("TEXT", str, _constrain)
GRAMMAR_FILE = Kind("FILE", content, _constrain)
SCHEMA = Kind("JSON", str, _constrain_json)
SCHEMA_FILE = Kind("FILE", content, _constrain_json)
WINDOW = integer(-1)

# A table is read in rows.
# fmt: off
SAMPLING: tuple[Flag, ...] = (
    Flag("-n --predict --n-predict", "tokens to generate at most, -1 without limit", "n_predict", INTEGER, "LLAMA_ARG_N_PREDICT"),
    Flag("--samplers", "the samplers and their order", "sampling.samplers", SAMPLERS, mark="SAMPLERS"),
    Flag("--sampler-seq --sampling-seq", "the same in letters", "sampling.samplers", SEQUENCE),
    Flag("-s --seed", "where randomness begins, -1 for anywhere", "sampling.seed", SEED),
    Flag("--ignore-eos", "go on at the end of a text", "sampling.ignore_eos", SWITCH),
    Flag("--temperature --temp", "temperature", "sampling.temp", NUMBER, "LLAMA_ARG_TEMPERATURE", mark="TEMP"),
    Flag("--top-k", "choose among the K likeliest, 0 for all", "sampling.top_k", INTEGER, "LLAMA_ARG_TOP_K", mark="TOP_K"),
    Flag("--top-p", "choose among the likeliest that make up P", "sampling.top_p", NUMBER, "LLAMA_ARG_TOP_P", mark="TOP_P"),
    Flag("--min-p", "choose among those at least P times as likely as the first", "sampling.min_p", NUMBER, "LLAMA_ARG_MIN_P", mark="MIN_P"),
    Flag("--top-nsigma --top-n-sigma", "choose within N standard deviations", "", NUMBER),
    Flag("--xtc-probability", "XTC: how often", "sampling.xtc_probability", NUMBER, mark="XTC_PROBABILITY"),
    Flag("--xtc-threshold", "XTC: from which likelihood", "sampling.xtc_threshold", NUMBER, mark="XTC_THRESHOLD"),
    Flag("--typical --typical-p", "locally typical sampling", "sampling.typ_p", NUMBER),
    Flag("--repeat-last-n", "tokens that a penalty looks back on, -1 for all", "sampling.penalty_last_n", WINDOW, mark="PENALTY_LAST_N"),
    Flag("--repeat-penalty", "against repetition", "sampling.penalty_repeat", POSITIVE, "LLAMA_ARG_REPEAT_PENALTY", mark="PENALTY_REPEAT"),
    Flag("--presence-penalty", "against what was said", "sampling.penalty_present", NUMBER, "LLAMA_ARG_PRESENCE_PENALTY"),
    Flag("--frequency-penalty", "against what was said often", "sampling.penalty_freq", NUMBER, "LLAMA_ARG_FREQUENCY_PENALTY"),
    Flag("--dry-multiplier", "DRY: how strong", "sampling.dry_multiplier", NUMBER),
    Flag("--dry-base", "DRY: how fast it grows", "sampling.dry_base", NUMBER),
    Flag("--dry-allowed-length", "DRY: the repetition that is allowed", "sampling.dry_allowed_length", INTEGER),
    Flag("--dry-penalty-last-n", "DRY: tokens that it looks back on", "sampling.dry_penalty_last_n", WINDOW),
    Flag("--dry-sequence-breaker", "DRY: what ends a repetition", "", TEXT),
    Flag("--adaptive-target", "adaptive-p: the likelihood to aim at", "sampling.adaptive_target", NUMBER),
    Flag("--adaptive-decay", "adaptive-p: how slowly it adapts", "sampling.adaptive_decay", NUMBER),
    Flag("--dynatemp-range", "dynamic temperature: its range", "sampling.dynatemp_range", NUMBER),
    Flag("--dynatemp-exp", "dynamic temperature: its exponent", "sampling.dynatemp_exponent", NUMBER),
    Flag("--mirostat", "Mirostat, 1 or 2", "sampling.mirostat", INTEGER, mark="MIROSTAT"),
    Flag("--mirostat-lr", "Mirostat: its learning rate", "sampling.mirostat_eta", NUMBER, mark="MIROSTAT_ETA"),
    Flag("--mirostat-ent", "Mirostat: the entropy to aim at", "sampling.mirostat_tau", NUMBER, mark="MIROSTAT_TAU"),
    Flag("-l --logit-bias", "make a token likelier or less likely", "", Kind("TOKEN+BIAS")),
    Flag("--grammar", "allow only what this grammar derives", "sampling.grammar", GRAMMAR),
    Flag("--grammar-file", "the same from a file", "sampling.grammar", GRAMMAR_FILE),
    Flag("-j --json-schema", "allow only what this JSON schema describes", "sampling.grammar", SCHEMA),
    Flag("-jf --json-schema-file", "the same from a file", "sampling.grammar", SCHEMA_FILE),
    Flag("-bs --backend-sampling", "sample where the model runs", "sampling.backend_sampling", SWITCH, "LLAMA_ARG_BACKEND_SAMPLING"),
)
# fmt: on
