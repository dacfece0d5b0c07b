"""hotmodel's TOML as the native mapping.

1. One model is active; every conversation is kept. `router.models_max` of them may be resident.
2. In `router` mode the models are a router's: its values become variables of its environment, so that the INI's sections win over
   them, as its `extra_args` win over the sections. Each model's `cmd` is how it runs without the router.
3. In `process` mode every model has a command of its own.
4. Relative paths start at the folder of the file they stand in. What the INI says of paths is llama-server's: they start where corral
   was started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from corral.config.document import Document, Path, Problems
from corral.config.formats.direct import direct_command, router_environment
from corral.config.formats.hotmodel_file import HotFile, Model
from corral.config.formats.preset_ini import Presets

ROUTER = "llama"
"""What the one router is called."""

_MOST_OF_MORE = 8
"""Choosing whom to keep takes longer with each: milliseconds here, seconds from 12 on."""
_FOLDER = re.compile(r".*[/\\]")
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")
_BUDGETS = {"auto": "auto", "llama": "exact", "estimate": "estimate"}
_EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
_LOAD_SECONDS, _STOP_SECONDS = 600, 20
"""How long hotmodel lets a router load a model, and a process end."""
_ONLY_IN_PROCESSES = frozenset(
    ("port", "host", "binary", "ctx_size", "gpu_layers", "threads", "parallel", "extra_args")
)
_ONLY_IN_ROUTERS = frozenset(("router_id",))

Native = dict[str, Any]


def seen_from(file: str, path: str) -> str:
    """A relative `path` written in `file`, as the folder sees it that `file` itself is named from."""
    folder = _FOLDER.match(file)
    return path if not folder or _ABSOLUTE.match(path) else folder[0] + path


def presets_file(hot: HotFile, document: Document) -> str:
    """The INI that a file names, "" for none."""
    path = hot.router.models_preset if hot.llama.backend_mode == "router" else ""
    return path and seen_from(document.place(("router", "models_preset")).file, path)


def to_native(
    hot: HotFile, document: Document, presets: Presets | None, problems: Problems
) -> Native:
    """The native mapping. `presets` is the router's INI, None where there is none to look at. `document` learns where each native key
    was written. What is missing or contradicts itself is noted in `problems`."""
    return _Translation(hot, document, presets, problems).native()


class _Translation:
    def __init__(
        self, hot: HotFile, document: Document, presets: Presets | None, problems: Problems
    ) -> None:
        self._hot = hot
        self._document = document
        self._presets = presets
        self._problems = problems

    def native(self) -> Native:
        """All of it."""
        routed = self._hot.llama.backend_mode == "router"
        self._check(routed=routed)
        return {
            "format": "hotmodel",
            "listen": self._listen(),
            "models": self._routed() if routed else self._processes(),
            **(self._router() if routed else {"unloadTimeout": _STOP_SECONDS}),
            "defaultModel": "active",
            "sessions": self._sessions(),
            "switching": self._switching(),
        }

    def _from(self, native: Path, *written: str) -> None:
        """What stands at `native` was written there."""
        self._document.rename(written, native)

    def _check(self, *, routed: bool) -> None:
        most, models = self._hot.router.models_max, len(self._hot.models)
        if routed and _MOST_OF_MORE < most < models:
            message = f"must be at most {_MOST_OF_MORE}, or no less than the {models} models"
            self._problems.add(("router", "models_max"), message)
        if not self._hot.models and not self._problems.within(("models",)):
            self._problems.add(("models",), "at least one model is needed: `[models.NAME]`")
        for name, row in self._hot.models.items():
            path: Path = ("models", name)
            if self._problems.at(path):
                continue
            if not row.path and not self._problems.within((*path, "path")):
                self._problems.add(path, "`path` is missing: the model's file")
            if not routed and not row.port and not self._problems.within((*path, "port")):
                message = "`port` is missing: in `process` mode every model has one of its own"
                self._problems.add(path, message)

    # --- [server], [session], [preset] -------------------------------------------------------------------------------

    def _listen(self) -> str:
        self._from(("listen",), "server", "host")
        return _address(self._hot.server.host, str(self._hot.server.port))

    def _sessions(self) -> Native:
        server, session = self._hot.server, self._hot.session
        file = self._document.place(("server", "state_path")).file
        limits = {
            "maxMessages": "max_session_messages",
            "maxPromptChars": "max_prompt_chars",
            "maxPromptTokens": "max_prompt_tokens",
        }
        for native, key in limits.items():
            self._from(("sessions", native), "session", key)
        self._from(("sessions", "importState"), "server", "state_path")
        return {
            "mode": "always",
            "importState": seen_from(file, server.state_path),
            **{native: value for native, key in limits.items() if (value := getattr(session, key))},
            "budgetMode": _BUDGETS[session.token_budget_mode],
            "charsPerToken": _number(session.token_budget_chars_per_token),
            "systemPrompt": self._hot.preset.system_prompt,
            "systemPolicy": "replace",
        }

    def _switching(self) -> Native:
        server = self._hot.server
        for native, key in {
            "active": "active_model",
            "drainTimeout": "switch_drain_timeout_seconds",
            "settleTimeout": "gpu_settle_timeout_seconds",
            "settleMemory": "gpu_settle_memory_mb",
        }.items():
            self._from(("switching", native), "server", key)
        memory = server.gpu_settle_memory_mb
        return {
            **({"active": server.active_model} if server.active_model else {}),
            "drainTimeout": _number(server.switch_drain_timeout_seconds),
            "settleTimeout": _number(max(server.gpu_settle_timeout_seconds, 0)),
            **({"settleMemory": memory} if memory else {"settle": "off"}),
        }

    # --- router mode -------------------------------------------------------------------------------------------------

    def _routed(self) -> Native:
        return {name: self._routed_model(name, row) for name, row in self._hot.models.items()}

    def _routed_model(self, name: str, row: Model) -> Native:
        there = self._id_there(name, row)
        section = self._presets.found(there) if self._presets else None
        stop = section.says("stop-timeout") if section else None
        key = ("router_id",) if row.router_id else ()
        self._from(("models", name, "routerModel"), "models", name, *key)
        return {
            "router": ROUTER,
            "routerModel": there,
            "cmd": direct_command(self._hot, self._path(name, row), self._presets, section),
            "proxy": f"http://{_reached(self._hot.router.host or self._hot.llama.host, '${PORT}')}",
            **({"unloadTimeout": int(stop.text)} if stop and stop.text.isdecimal() else {}),
        }

    def _id_there(self, name: str, row: Model) -> str:
        """The model's id at the router, which is what llama-server makes of the section that is called so."""
        written = row.router_id or name
        if self._presets and not self._presets.found(written):
            for section in self._presets.models():
                if section.written == written:
                    return section.name
        return written

    def _path(self, name: str, row: Model) -> str:
        return seen_from(self._document.place(("models", name, "path")).file, row.path)

    def _router(self) -> Native:
        router, llama = self._hot.router, self._hot.llama
        files = {
            "presets": presets_file(self._hot, self._document),
            "modelsDir": router.models_dir
            and seen_from(self._document.place(("router", "models_dir")).file, router.models_dir),
        }
        for native, key in {"presets": "models_preset", "modelsDir": "models_dir"}.items():
            self._from(("routers", ROUTER, native), "router", key)
        self._from(("routers", ROUTER, "cmd"), "router", "extra_args")
        self._from(("startPort",), "router", "port")
        host = router.host or llama.host
        start = [router.binary or llama.binary, "--host", host, "--port", "${PORT}"]
        return {
            "startPort": router.port or 28000,
            "healthCheckTimeout": _LOAD_SECONDS,
            "routers": {
                ROUTER: {
                    "cmd": [*start, *router.extra_args],
                    **{key: path for key, path in files.items() if path},
                    "env": [f"{key}={value}" for key, value in router_environment(router)],
                    "startTimeout": 120,
                    "unloadTimeout": _STOP_SECONDS,
                }
            },
            **self._residency(),
        }

    def _residency(self) -> Native:
        """So that at most `models_max` are resident; one needs no words: models in no group run alone."""
        most, models = self._hot.router.models_max, list(self._hot.models)
        if most == 1 or len(models) < 2:
            return {}
        if most >= len(models):
            return {"groups": {"together": {"swap": False, "members": models}}}
        names = {f"m{number}": model for number, model in enumerate(models, 1)}
        sets = {"any": " | ".join(names), "resident": " & ".join(["+any"] * most)}
        return {"matrix": {"vars": names, "sets": sets}}

    # --- process mode ------------------------------------------------------------------------------------------------

    def _processes(self) -> Native:
        return {name: self._process(name, row) for name, row in self._hot.models.items()}

    def _process(self, name: str, row: Model) -> Native:
        llama = self._hot.llama
        host, port = row.host or llama.host, str(row.port)
        options = {"-ngl": row.gpu_layers, "--threads": row.threads, "--parallel": row.parallel}
        given = [(flag, str(value)) for flag, value in options.items() if value is not None]
        start = [row.binary or llama.binary, "-m", self._path(name, row), "--host", host]
        size = ["--port", port, "-c", str(row.ctx_size)]
        self._from(("models", name, "proxy"), "models", name, "port")
        return {
            "cmd": [*start, *size, *(word for one in given for word in one), *row.extra_args],
            "proxy": f"http://{_reached(host, port)}",
        }


def idle(hot: HotFile, document: Document) -> Iterator[tuple[Path, str]]:
    """What is written, and has no effect in this mode."""
    routed = hot.llama.backend_mode == "router"
    if not routed and ("router",) in document.places:
        yield ("router",), "not used in `process` mode"
    keys, why = (
        (_ONLY_IN_PROCESSES, "not used in `router` mode: the INI's section says it")
        if routed
        else (_ONLY_IN_ROUTERS, "not used in `process` mode")
    )
    for name, row in hot.models.items():
        for key in Model.model_fields:
            if key in row.model_fields_set & keys:
                yield ("models", name, key), why


def other_files(hot: HotFile, document: Document, presets: Presets) -> Iterator[tuple[int, str]]:
    """The INI's models that are other files than the `path` of the TOML, with their lines: the INI decides."""
    for name, row in hot.models.items():
        section = presets.found(row.router_id or name)
        said = section.says("model") if section else None
        path = seen_from(document.place(("models", name, "path")).file, row.path)
        if section and said and said.text not in (path, row.path.removeprefix("./")):
            message = f"[{section.written}].model: {said.text} is what counts, not the `path` of models.{name}: {path}"
            yield said.line, message


def summary(hot: HotFile) -> Iterator[str]:
    """What was made of it, in a few lines."""
    if hot.llama.backend_mode == "process":
        yield "every model runs by a command of its own, one at a time"
    elif hot.router.models_max == 1:
        yield "the models are those of a llama-server in router mode, one at a time"
    else:
        most = hot.router.models_max
        yield f"the models are those of a llama-server in router mode, at most {most} at a time"
    yield "every conversation is kept; requests that name no model go to the active one"


def _address(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reached(host: str, port: str) -> str:
    """The address that answers for one to listen on."""
    return _address(_EVERY_INTERFACE.get(host, host), port)


def _number(value: float) -> float:
    return int(value) if value == int(value) else value
