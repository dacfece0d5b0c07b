"""The kinds of values a key may have, and how each complains.

Nothing is guessed: `"300"` is no number and `1` is no flag. Where text is wanted, a number or a flag
is taken as it was spelled (`name: 1.10`); where a flag is, YAML 1.1's words are one, as for Go.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from corral.config.document import as_text, plain
from corral.config.patterns import go_duration, go_pattern

_WORDS = dict.fromkeys(("y", "Y", "yes", "on"), True) | dict.fromkeys(
    ("n", "N", "no", "off"), False
)
"""What go-yaml takes for a flag beside `true` and `false`."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SIZE = re.compile(r"(\d{1,15})\s*([kmg]i?|)b?", re.IGNORECASE)


def wrong(message: str) -> PydanticCustomError:
    """The error that makes pydantic say `message`."""
    # The message goes in as a value: pydantic would read braces in it as a template.
    return PydanticCustomError("wrong", "{text}", {"text": message})


def _command(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        words = [as_text(word) for word in value]
        if all(isinstance(word, str) for word in words):
            return tuple(str(word) for word in words)
    raise wrong("must be text or a list of arguments")


def _flag(value: Any) -> Any:
    return _WORDS.get(value, value) if isinstance(value, str) else value


def _whole(value: Any) -> Any:
    number = plain(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _size(value: Any) -> int:
    found = _SIZE.fullmatch(str(as_text(value)).strip())
    if not found or isinstance(value, bool):
        raise wrong("must be a number of bytes, or a size such as `512MiB`")
    return int(found[1]) * _UNITS[found[2].lower()]


def _scalars(value: Any) -> Any:
    return value if isinstance(value, dict) else {}


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _stripped(value: str) -> str:
    return value.strip()


def _duration(value: Any) -> float:
    seconds = go_duration(value) if isinstance(value, str) else None
    if seconds is None and not (value == 0 and not isinstance(value, bool)):
        raise wrong("must be a time such as `10s` or `1m30s`")
    return seconds or 0.0


def _comma_list(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, list | tuple) else [value]
    texts = [as_text(item) for item in listed]
    if not all(isinstance(text, str) for text in texts):
        raise wrong("must be text: names between commas")
    return tuple(sorted({name.strip() for name in ",".join(map(str, texts)).split(",")} - {""}))


def _pattern(value: Any) -> re.Pattern[str]:
    if isinstance(value, re.Pattern):
        return value
    text = as_text(value)
    if not isinstance(text, str):
        raise wrong("must be a regular expression")
    try:
        return go_pattern(text)
    except ValueError as error:
        raise wrong(f"invalid regular expression `{text}`: {error}") from None


def _header_names(names: tuple[str, ...]) -> tuple[str, ...]:
    first: dict[str, str] = {}
    for name in filter(None, map(str.strip, names)):
        if not _HEADER.fullmatch(name):
            raise wrong(f"`{name}` cannot be the name of a header")
        first.setdefault(name.lower(), name)
    return tuple(first.values())


def _once(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _empty_for_none(value: Any) -> Any:
    return {} if value is None else value


def _no_text_for_none(value: Any) -> Any:
    return "" if value is None else value


Seconds = Annotated[float, Strict(), BeforeValidator(plain), Field(ge=0, le=1e9)]
Whole = Annotated[int, Strict(), BeforeValidator(_whole), Field(le=2**53)]
Count = Annotated[int, Strict(), BeforeValidator(_whole), Field(ge=1, le=2**53)]
Ratio = Annotated[float, Strict(), BeforeValidator(plain), Field(gt=0, le=1e9)]
Flag = Annotated[bool, Strict(), BeforeValidator(_flag)]
Text = Annotated[str, BeforeValidator(as_text)]
Name = Annotated[Text, AfterValidator(_stripped)]
Names = tuple[Text, ...]
Free = Annotated[Any, BeforeValidator(plain)]
AnyCase = BeforeValidator(_lower)
EachOnce = AfterValidator(_once)
FreeMaps = dict[Text, Annotated[dict[Text, Free], BeforeValidator(_empty_for_none)]]
Pins = dict[Text, Annotated[Text, BeforeValidator(_no_text_for_none)]]
HeaderNames = Annotated[Names, AfterValidator(_header_names)]
Duration = Annotated[
    float, BeforeValidator(_duration), WithJsonSchema({"type": ["string", "integer"]})
]
CommaList = Annotated[
    tuple[str, ...], BeforeValidator(_comma_list), WithJsonSchema({"type": "string"})
]
Pattern = Annotated[
    re.Pattern[str],
    BeforeValidator(_pattern),
    WithJsonSchema({"type": "string", "format": "regex"}),
]
Command = Annotated[str | tuple[str, ...], BeforeValidator(_command)]
Size = Annotated[
    int, BeforeValidator(_size), WithJsonSchema({"type": ["integer", "string"], "minimum": 0})
]
# `macros.py` has already said what is wrong with them.
Macros = Annotated[
    dict[str, Any],
    BeforeValidator(_scalars),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": ["string", "integer", "number", "boolean"]},
        }
    ),
]
# `matrix.py` says what is wrong with them, name by name.
_COST = {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}
Costs = Annotated[
    Any,
    BeforeValidator(plain),
    WithJsonSchema(
        {"anyOf": [{"type": "object", "additionalProperties": _COST}, {"const": "auto"}]}
    ),
]
