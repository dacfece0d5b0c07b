"""`${name}` in values, as llama-swap expands it.

1. A scope is an ordered list; it is applied last to first, so a macro may use those declared before
   it. Globals apply to everything but `models`; a model's scope is `MODEL_ID`, the globals (each
   replaced in its position by the model's macro of that name), the model's own.
2. Values are targets, keys are not (but those of `filters.setParamsByID`).
3. A value that is one placeholder takes the macro's type; mixed text takes its text.
4. `${PORT}` and `${SOCKET}` stay in what the host fills in at each start (`cmd`, `cmdStop`, `proxy`,
   `checkEndpoint`, `env`), `${PID}` in `cmdStop`. A model whose expanded `cmd` has `${PORT}` gets a
   number, in sorted order of the ids, and that number replaces `${PORT}` in its other values. A
   router's `cmd` and `env` keep both, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from corral.config.command import without_comments
from corral.config.document import Path, Problems, plain
from corral.config.nearest import did_you_mean

Scope = tuple[tuple[str, Any], ...]

LONGEST = 1 << 20
RESERVED = ("PORT", "PID", "MODEL_ID")

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_PLACEHOLDER = re.compile(r"\$\{([a-zA-Z0-9_-]+)\}")
_COMMANDS = ("cmd", "cmdStop")
_LEFT: dict[str, frozenset[str]] = {
    "cmd": frozenset({"PORT", "SOCKET"}),
    "cmdStop": frozenset({"PORT", "SOCKET", "PID"}),
    "proxy": frozenset({"PORT", "SOCKET"}),
    "checkEndpoint": frozenset({"PORT", "SOCKET"}),
    "env": frozenset({"PORT", "SOCKET"}),
}
_ONLY_IN = {
    "PID": "a model's cmdStop",
    "SOCKET": "a model's cmd, cmdStop, proxy, checkEndpoint and env",
    "PORT": "a model's values",
    "MODEL_ID": "a model's values",
}
# `found in <model>.<field>`; anything else says `model <id> <field>: ...`.
_FIELDS = frozenset({"cmd", "cmdStop", "proxy", "checkEndpoint", "name", "description"})


def expand(data: Mapping[str, Any], problems: Problems) -> tuple[dict[str, Any], dict[str, int]]:
    """`data` with its macros expanded, and the port of each model that takes one.

    Declarations stay as they are. What cannot be expanded is noted in `problems` and stays too.
    """
    scope = _declared(data.get("macros"), ("macros",), "", problems)
    whole = _Expansion(problems, scope)
    models = data.get("models")
    expanded = {
        key: value if key in ("macros", "models") else whole.section(key, value)
        for key, value in data.items()
    }
    ports: dict[str, int] = {}
    if isinstance(models, dict):
        expanded["models"], ports = _models(models, scope, expanded.get("startPort"), problems)
    return expanded, ports


def _models(
    models: dict[str, Any], scope: Scope, start_port: Any, problems: Problems
) -> tuple[dict[str, Any], dict[str, int]]:
    following = start_port if isinstance(start_port, int) else 5800
    done: dict[str, Any] = {}
    ports: dict[str, int] = {}
    for name in sorted(models):
        model, path = models[name], ("models", name)
        if not isinstance(model, dict):
            done[name] = model
            continue
        own = _declared(model.get("macros"), (*path, "macros"), f"model {name}: ", problems)
        expansion = _Expansion(problems, _model_scope(name, scope, own), name)
        done[name] = {key: expansion.field(value, (*path, key)) for key, value in model.items()}
        if uses(done[name].get("cmd"), "PORT"):
            ports[name] = following
            following += 1
        _finish(done[name], path, ports.get(name), problems)
    return {name: done[name] for name in models}, ports


def _declared(macros: Any, path: Path, prefix: str, problems: Problems) -> Scope:
    if macros is None:
        return ()
    if not isinstance(macros, dict):
        problems.add(path, "must be a mapping of names to values")
        return ()
    good = []
    for name, value in macros.items():
        if wrong := _wrong(name, value):
            problems.add((*path, name), prefix + wrong)
        else:
            good.append((name, plain(value)))
    return tuple(good)


def _wrong(name: str, value: Any) -> str:
    if len(name) > 63:
        return f"macro name '{name}' exceeds maximum length of 63 characters"
    if not _NAME.fullmatch(name):
        return f"macro name '{name}' contains invalid characters; letters, digits, _ and - are fine"
    if name in RESERVED:
        return f"macro name '{name}' is reserved"
    if value is None or not isinstance(value, str | int | float):
        return f"macro '{name}' must be a scalar type (text, a number, true or false)"
    if uses(value, name):
        return f"macro '{name}' contains self-reference"
    return ""


def _model_scope(name: str, scope: Scope, own: Scope) -> Scope:
    overrides = dict(own)
    replaced = tuple((key, overrides.pop(key, value)) for key, value in scope)
    return (("MODEL_ID", name), *replaced, *overrides.items())


def uses(value: Any, name: str) -> bool:
    """Whether a text, or any item of a list, holds the placeholder `name`."""
    if isinstance(value, list | tuple):
        return any(uses(item, name) for item in value)
    return isinstance(value, str) and f"${{{name}}}" in value


def as_go_prints(value: Any) -> str:
    """A macro's value inside other text: `1.0` is `1`, True is `true`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


class _Expansion:
    """One scope at work."""

    def __init__(self, problems: Problems, scope: Scope, model: str = "") -> None:
        self._problems = problems
        self._scope = scope
        self._model = model

    def section(self, key: str, value: Any) -> Any:
        """One key of the whole file, beside the models."""
        if key != "routers" or not isinstance(value, dict):
            return self.value(value, (key,))
        return {name: self._router(row, (key, name)) for name, row in value.items()}

    def _router(self, row: Any, path: Path) -> Any:
        if not isinstance(row, dict):
            return row
        return {
            key: self.value(
                without_comments(item) if key == "cmd" and isinstance(item, str) else item,
                (*path, key),
                _LEFT[key] if key in ("cmd", "env") else (),
            )
            for key, item in row.items()
        }

    def field(self, value: Any, path: Path) -> Any:
        """One key of a model."""
        key = path[2]
        if key == "macros":
            return value
        if key in _COMMANDS and isinstance(value, str):
            value = without_comments(value)
        left = _LEFT.get(str(key), frozenset({"PORT"}))
        return self.value(value, path, left)

    def value(self, value: Any, path: Path, left: Iterable[str] = ()) -> Any:
        """Any value, through lists and mappings. `left` names the placeholders that may stay."""
        if isinstance(value, str):
            return self._text(value, path, frozenset(left)) if "${" in value else value
        if isinstance(value, list):
            return [self.value(item, (*path, n), left) for n, item in enumerate(value)]
        if isinstance(value, dict):
            keys = self._keys(value, path)
            return {keys[key]: self.value(item, (*path, key), left) for key, item in value.items()}
        return value

    def _keys(self, value: dict[str, Any], path: Path) -> dict[str, str]:
        if path[-2:] != ("filters", "setParamsByID"):
            return {key: key for key in value}
        keys: dict[str, str] = {}
        for key in value:
            text = str(self._text(key, (*path, key), frozenset()))
            if text in keys.values():
                self._problems.add((*path, key), f"two keys resolve to the same value `{text}`")
            self._problems.renamed((*path, key), (*path, text))
            keys[key] = text
        return keys

    def _text(self, text: str, path: Path, left: frozenset[str]) -> Any:
        for name, value in reversed(self._scope):
            placeholder = f"${{{name}}}"
            if text == placeholder and not isinstance(value, str):
                return value
            text = text.replace(placeholder, as_go_prints(value))
            if len(text) > LONGEST:
                self._problems.add(path, f"macros expand to more than {LONGEST} characters")
                return text[:LONGEST]
        for found in dict.fromkeys(_PLACEHOLDER.findall(text)):
            if found not in left:
                self._problems.add(path, self._unknown(found, path))
        return text

    def _unknown(self, name: str, path: Path) -> str:
        message = f"unknown macro '${{{name}}}'"
        if self._model and (path[2] in _FIELDS or path[2:] == ("filters", "stripParams")):
            message += f" found in {self._model}.{'.'.join(map(str, path[2:]))}"
        elif self._model:
            message = f"model {self._model} {path[2]}: {message}"
        if name in _ONLY_IN:
            return f"{message}; it is only available in {_ONLY_IN[name]}"
        known = {key for key, _ in self._scope}
        if name in known:
            return f"{message}; it is declared below the macro that uses it"
        return message + did_you_mean(name, (*known, *_ONLY_IN))


def _finish(model: dict[str, Any], path: Path, port: int | None, problems: Problems) -> None:
    """Puts the port into the values that take it now, and checks `proxy` against `cmd`."""
    for key, value in model.items():
        if key != "macros" and key not in _LEFT:
            model[key] = _with_port(value, (*path, key), port, problems)
    if "proxy" not in model and uses(model.get("cmd"), "SOCKET"):
        model["proxy"] = "unix:${SOCKET}"
    if model.get("cmd") and not problems.within((*path, "cmd")):
        _check_proxy(model, path, problems)


def _check_proxy(model: Mapping[str, Any], path: Path, problems: Problems) -> None:
    proxy = model.get("proxy") or "http://localhost:${PORT}"
    for name in ("PORT", "SOCKET"):
        if uses(proxy, name) and not uses(model["cmd"], name):
            where = path if "proxy" not in model else (*path, "proxy")
            text = f"${{{name}}}"
            problems.add(
                where,
                f"model {path[1]}: proxy uses {text} but cmd does not - {text} is only available "
                "when used in cmd; a server on a fixed port needs `proxy`",
            )


def _with_port(value: Any, path: Path, port: int | None, problems: Problems) -> Any:
    if isinstance(value, list):
        return [_with_port(item, (*path, n), port, problems) for n, item in enumerate(value)]
    if isinstance(value, dict):
        return {k: _with_port(item, (*path, k), port, problems) for k, item in value.items()}
    if not uses(value, "PORT"):
        return value
    if port is None:
        problems.add(path, f"model {path[1]}: ${{PORT}} is only available when used in cmd")
        return value
    return port if value == "${PORT}" else value.replace("${PORT}", str(port))
