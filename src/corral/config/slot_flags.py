"""llama-server's flags for saving slots, and what of a command decides on what is in a slot.

1. What the command, or its environment, says for itself stands; only flags that the program lists in its help are added.
2. The same identity means the same command but for where it listens and what it logs, and the same variables of llama.cpp's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise

PATH = "--slot-save-path"
KEEP = "--no-cache-idle-slots"
"""Without it an idle slot may be emptied into llama-server's cache in memory, which cannot be saved."""
SHIPPED = frozenset({PATH, KEEP})
"""Which of these the shipped engine has."""
_KEEPS = (KEEP, "--cache-idle-slots")
_PATH_VARIABLE = "LLAMA_ARG_SLOT_SAVE_PATH"
_KEEP_VARIABLES = ("LLAMA_ARG_CACHE_IDLE_SLOTS", "LLAMA_ARG_NO_CACHE_IDLE_SLOTS")
_MODELS = ("-m", "--model")
_MODEL_VARIABLE = "LLAMA_ARG_MODEL"

_WITH_VALUE = frozenset(
    {"--host", "--port", "--log-file", "--log-colors", "--log-verbosity", "-lv"}
)
_ALONE = re.compile(r"--(no-)?(log-(prefix|timestamps|jsonl|disable)|verbose|log-verbose)|-v")
_VARIABLES = ("LLAMA_", "GGML_")
_BESIDE = re.compile(r"LLAMA_ARG_(HOST|PORT|LOG_\w+)|LLAMA_LOG_\w+")


def added(
    argv: Sequence[str], environment: Mapping[str, str], listed: Collection[str], folder: str
) -> tuple[str, ...]:
    """What to append to `argv` to have slots saved in `folder`; `listed` are the program's options. Empty when it cannot."""
    if PATH not in listed:
        return ()
    said = {_plain(word) for word in argv}
    path = () if own_folder(argv, environment) else (PATH, folder)
    told = said.intersection(_KEEPS) or any(map(environment.get, _KEEP_VARIABLES))
    return path if told or KEEP not in listed else (*path, KEEP)


def own_folder(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """The folder for slots that the command names itself; empty when it names none."""
    return _value(argv, (PATH,)) or environment.get(_PATH_VARIABLE, "")


def model_file(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """The model's file; empty where it is named in another way (by a repository, a URL): nobody knows then which file that will be."""
    return _value(argv, _MODELS) or environment.get(_MODEL_VARIABLE, "")


def shaping(argv: Sequence[str]) -> tuple[str, ...]:
    """The arguments without those that have nothing to do with what the model reads."""
    return tuple(_shaping(iter(argv[1:])))


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Those that llama.cpp reads, as far as they have to do with what the model reads."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(_VARIABLES) and not _BESIDE.fullmatch(name)
    }


def perhaps_files(argv: Sequence[str], environment: Mapping[str, str]) -> Iterator[str]:
    """Whatever in a command may be a file's name: an argument, an element of a list, one with a scale behind a colon."""
    for word in (*argv[1:], *variables(environment).values()):
        for element in dict.fromkeys((word, *word.split(","))):
            yield element
            name, colon, _ = element.rpartition(":")
            if colon:
                yield name


def _shaping(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        if _plain(word) in _WITH_VALUE:
            next(words, None)
        elif not _ALONE.fullmatch(_plain(word)):
            yield word


def _value(argv: Sequence[str], flags: Sequence[str]) -> str:
    """What stands behind the last of these flags."""
    return next(
        (value for flag, value in reversed(list(pairwise(argv))) if _plain(flag) in flags), ""
    )


def _plain(word: str) -> str:
    """llama-server takes `_` for `-` in long flags."""
    return word.replace("_", "-") if word.startswith("--") else word
