"""Data to a `File`: unknown keys, wrong kinds of values, each said in plain words at its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from corral.config.document import Document, Path, Problems, Told, as_text, dotted
from corral.config.nearest import did_you_mean, nearest
from corral.config.written import File

Said = Callable[[Mapping[str, Any], Any], str]
Kind = TypeVar("Kind", bound=BaseModel)

# What keys are called in other formats.
_ELSEWHERE = {"modelTTL": "globalTTL"}
_READ_PAST = frozenset({("logLevel",), ("logTimeFormat",)})
_HIDDEN = "***"


def shape(data: dict[str, Any], problems: Problems, kind: type[Kind]) -> Kind:
    """The file, as far as it can be read: what is wrong is noted in `problems` and left out (a list
    as a whole). `data` holds no unknown keys any more."""
    try:
        return kind.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        wrong = []
        for mistake in error.errors(include_url=False):
            path = _real(mistake["loc"])
            say = _SAID.get(mistake["type"])
            value = _HIDDEN if _secret(path) else mistake["input"]
            context = mistake.get("ctx", {})
            tell = problems.slight if path in _READ_PAST else problems.add
            tell(path, say(context, value) if say else mistake["msg"])
            wrong.append(_to_the_list(path))
        return shape(_without(_models_kept(data, wrong), wrong), problems, kind)


def drop_unknown(data: dict[str, Any], told: Told, kind: type[BaseModel]) -> dict[str, Any]:
    """`data` without the keys that the schema does not know, each told with a suggestion."""
    unknown = list(_unknown(data, kind))
    for path in unknown:
        told(path, _unknown_key(path, kind))
    return _without(data, unknown)


def _unknown(data: dict[str, Any], kind: type[BaseModel]) -> Iterator[Path]:
    try:
        kind.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        for mistake in error.errors(include_url=False):
            if mistake["type"] == "extra_forbidden":
                yield _real(mistake["loc"])


def drop_ignored(document: Document) -> dict[str, Any]:
    """The document's data without the top-level sections that are nobody's: `x-...`, `.hidden`, and
    those that hold anchors used elsewhere; but a near miss of a key is a mistake, and stays."""
    known = _known_keys((), File)
    return {
        key: value
        for key, value in document.data.items()
        if key in known
        or not (
            key.startswith(("x-", "."))
            or (key in document.anchors and not nearest(key, known, cutoff=0.8))
        )
    }


def _known_keys(section: Path, kind: Any) -> list[str]:
    """What may be written in the section at `section`; nothing for a free map."""
    for step in section:
        kind = _inside(kind, step)
    return [row.alias or name for name, row in _fields(kind).items()]


def _unknown_key(path: Path, kind: type[BaseModel]) -> str:
    """`unknown key \\`x\\` at models.m; did you mean \\`y\\`?`."""
    section, key = path[:-1], str(path[-1])
    where = dotted(section) or "the top level"
    known = _known_keys(section, kind)
    hint = did_you_mean(_ELSEWHERE.get(key, key), known)
    return f"unknown key `{key}` at {where}{hint}"


def _fields(kind: Any) -> Mapping[str, Any]:
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}


def _inside(kind: Any, step: str | int) -> Any:
    """The type found at key `step` of a value of type `kind`."""
    if get_origin(kind) is dict:
        return get_args(kind)[-1]
    found = [row.annotation for name, row in _fields(kind).items() if (row.alias or name) == step]
    parts = [found[0], *get_args(found[0])] if found else []
    return next((part for part in parts if _fields(part) or get_origin(part) is dict), None)


def _real(location: tuple[int | str, ...]) -> Path:
    # pydantic marks a mistake in a mapping's key with a step of its own.
    return tuple(step for step in location if step != "[key]")


def _secret(path: Path) -> bool:
    return path[:1] == ("apiKeys",) or path[-1:] == ("apiKey",)


def _to_the_list(path: Path) -> Path:
    return next((path[:n] for n, step in enumerate(path) if isinstance(step, int)), path)


def _models_kept(data: dict[str, Any], wrong: list[Path]) -> dict[str, Any]:
    """A model that is no mapping still has its name, for others to refer to."""
    empty: dict[str, Any] = {
        str(path[1]): {} for path in wrong if path[0] == "models" and len(path) == 2
    }
    if not empty:
        return data
    wrong[:] = [path for path in wrong if path[1:] not in {(name,) for name in empty}]
    return data | {"models": data["models"] | empty}


def _without(data: dict[str, Any], paths: list[Path]) -> dict[str, Any]:
    """`data` without what stands at `paths`, which lead through mappings only."""
    if not paths:
        return data
    deeper: dict[str | int, list[Path]] = {}
    for path in paths:
        deeper.setdefault(path[0], []).append(path[1:])
    return {
        key: _without(value, deeper[key]) if key in deeper else value
        for key, value in data.items()
        if () not in deeper.get(key, ())
    }


def _but(wanted: str) -> Said:
    return lambda _, value: f"must be {wanted}, not {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = str(as_text(value))
    return f"`{text if len(text) <= 40 else text[:40] + '...'}`"


def _choice(context: Mapping[str, Any], value: Any) -> str:
    names = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
    hint = did_you_mean(str(value), [name for name in names if name])
    return f"unknown value {_shown(value)}; known: {', '.join(filter(None, names))}{hint}"


def _flag(_: Mapping[str, Any], value: Any) -> str:
    meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}
    word = meant.get(str(value).lower())
    return f"must be true or false, not {_shown(value)}" + (f"; write `{word}`" if word else "")


_SAID: dict[str, Said] = {
    "wrong": lambda context, _: str(context["text"]),
    "bool_type": _flag,
    "dict_type": _but("a mapping"),
    "float_type": _but("a number"),
    "greater_than": lambda context, _: f"must be more than {context['gt']:g}",
    "greater_than_equal": lambda context, _: f"must be at least {context['ge']:g}",
    "int_type": _but("a whole number"),
    "less_than_equal": lambda context, _: f"must be at most {context['le']:g}",
    "literal_error": _choice,
    "model_type": _but("a mapping"),
    "string_type": _but("text"),
    "too_short": lambda _, __: "must not be empty",
    "tuple_type": _but("a list"),
}
