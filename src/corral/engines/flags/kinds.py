"""How a flag's value is written, and how it reaches its field.

1. `parse` takes the words after the flag and returns a value, or raises ValueError with a reason that needs no context.
2. `put` takes the wheel, the parameters, one dotted path and that value. It may read the field first: the field's present
   value tells the type of an enum and the length of a fixed array, so that no number of llama.cpp's is written down here.
"""

from __future__ import annotations

import enum
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass

TYPE_CHECKING = False  # what typing says too; importing typing would cost every start 4 ms
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    Put = Callable[[ModuleType, Any, str, Any], None]

TRUE = frozenset(("on", "enabled", "true", "1"))
FALSE = frozenset(("off", "disabled", "false", "0"))


def get(params: Any, path: str) -> Any:
    """The field at a dotted path."""
    for name in path.split("."):
        params = getattr(params, name)
    return params


def put(_wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    """Set a field; the name of an enum's member stands for the member."""
    *parents, leaf = path.split(".")
    owner = get(params, ".".join(parents)) if parents else params
    old = getattr(owner, leaf)
    setattr(
        owner,
        leaf,
        type(old)[value] if isinstance(old, enum.Enum) and isinstance(value, str) else value,
    )


def extend(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    """Add to a list."""
    put(wheel, params, path, [*get(params, path), *value])


def unite(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    """Add to a set."""
    put(wheel, params, path, {*get(params, path), *value})


def overlay(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    """Set the first values of an array of fixed length."""
    old, new = list(get(params, path)), list(value)
    if len(new) > len(old):
        raise ValueError(f"at most {len(old)} values")
    put(wheel, params, path, [*new, *old[len(new) :]])


def merge(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    """Add to a mapping."""
    put(wheel, params, path, {**get(params, path), **value})


def join(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    """Add to a text of parts between commas."""
    put(wheel, params, path, ",".join(filter(None, (str(get(params, path)), str(value)))))


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to write a value: the words of `metavar` are the arguments it takes; none for a switch."""

    metavar: str = ""
    parse: Callable[..., Any] = str
    put: Put = put
    action: bool = False


def integer(low: int = -(2**31), high: int = 2**31 - 1, *, scale: int = 1) -> Kind:
    """A whole number within bounds, times `scale` on its way to the field."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"not a whole number: {text!r}") from None
        if not low <= number <= high:
            raise ValueError(f"{number} is not between {low} and {high}")
        return number * scale

    return Kind("N", parse)


def real(text: str) -> float:
    """A finite number."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"not a number: {text!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"not a finite number: {text!r}")
    return number


def choice(prefix: str, **members: str) -> Kind:
    """One word of several, each standing for a member of the field's enum. A word's underscore is written as it is."""
    return chosen({word: prefix + member for word, member in members.items()})


def chosen(values: dict[str, str]) -> Kind:
    """One word of several, each standing for a value."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"{text!r} is none of {', '.join(values)}")
        return values[text]

    return Kind("{" + ",".join(values) + "}", parse)


def truth(text: str) -> bool:
    """Yes or no, in any of the words that llama-server takes."""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError(f"{text!r} is neither on nor off")


def words(text: str) -> list[str]:
    """The parts between commas."""
    return [word for word in text.split(",") if word]


def content(path: str) -> str:
    """What a file says."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs a start-up 5 ms
            return file.read()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


def directory(path: str) -> str:
    """A directory that is there, with the slash at its end that llama.cpp joins names to."""
    if not os.path.isdir(path):  # noqa: PTH112 - pathlib costs a start-up 5 ms
        raise ValueError(f"not a directory: {path}")
    return path.rstrip("/") + "/"


def mapping(text: str) -> dict[str, str]:
    """A JSON object, its values left as JSON."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"not a JSON object: {text}")  # noqa: TRY004 - what every reader of a value raises
    return {key: json.dumps(value, separators=(",", ":")) for key, value in values.items()}


TEXT = Kind("TEXT")
WORD = Kind("NAME")
PATH = Kind("FILE")
FOLDER = Kind("DIR", directory)
URL = Kind("URL")
INTEGER = integer()
COUNT = integer(0)
NUMBER = Kind("N", real)
TRUTH = Kind("on|off", truth)
LIST = Kind("A,B,...", words)
MORE = Kind("A,B,...", words, extend)
NAMES = Kind("A,B,...", words, unite)
CONTENT = Kind("FILE", content)
JSON_OBJECT = Kind("JSON", mapping, merge)
SWITCH = Kind()
ACTION = Kind(action=True)
CACHE_TYPE = choice(
    "GGML_TYPE_",
    f32="F32",
    f16="F16",
    bf16="BF16",
    q8_0="Q8_0",
    q4_0="Q4_0",
    q4_1="Q4_1",
    iq4_nl="IQ4_NL",
    q5_0="Q5_0",
    q5_1="Q5_1",
)
