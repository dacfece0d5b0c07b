"""Command text to what `host` launches.

1. Text is split like a POSIX shell splits words, but no shell runs: no variables, globs or pipes.
2. Under Windows only double quotes group, with the C runtime's backslash rules.
3. Pure substitution: `${PORT}`, `${SOCKET}` and `${PID}` are replaced where they stand, once the
   host knows them; everything else is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from corral.config.model import Config
from corral.config.router_command import router_address, router_arguments

_SHELL_WORD = re.compile(
    r"""\\\n|\\(?P<escaped>.)|'(?P<single>[^']*)(?:'|\Z)"""
    r"""|"(?P<double>(?:[^"\\]|\\.|\\\Z)*)(?:"|\Z)|(?P<gap>[ \t\n]+)|(?P<text>[^ \t\n'"\\]+|\\)""",
    re.DOTALL,
)
_IN_DOUBLE = re.compile(r'\\(?:([$`"\\])|\n)')
_MSVC = re.compile(r'(?P<slashes>\\*)"|(?P<gap>[ \t\n]+)|(?P<text>\\+|[^ \t\n"\\]+)')
_LLAMA_SERVERS = ("llama-server", "corral-llama-server")
_FILE_FLAGS = ("-m", "--model", "-mm", "--mmproj")


@dataclass(frozen=True, slots=True)
class Routed:
    """How a model is loaded through a llama-server in router mode."""

    router: str
    """The router's name in the configuration."""
    model: str
    """The model's id there."""
    url: str = ""
    """Where the router runs already; empty: it is launched, by `launch`."""
    launch: LaunchSpec | None = None


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """How one model's process is launched, checked and stopped.

    `${PORT}` and `${SOCKET}` may still stand in `argv`, `stop_argv` (also `${PID}`), `env`, `proxy`
    and `check`: the host fills them in at each start. Seconds everywhere.
    """

    model: str
    argv: tuple[str, ...]
    proxy: str
    check: str | None = "/health"
    """Path that must answer 200; None: ready as soon as it runs."""
    stop_argv: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to corral's own environment; later wins."""
    port: int | None = field(default=None, compare=False)
    """The number that configuration assigned, None when the command takes no `${PORT}`. The host
    takes it or the next free one."""
    start_timeout: float = field(default=120.0, compare=False)
    unload_timeout: float = field(default=10.0, compare=False)
    routed: Routed | None = None
    """It is loaded through a router; `argv` is then how to run it without one, empty where nobody knows."""
    reads: str = ""
    """What tells whether the settings that it reads from a file as it starts are still the same."""
    files: tuple[str, ...] = ()
    """Model files named by the command (llama-server's -m, --model, --mmproj): they must exist
    before anyone is evicted for this model."""

    @property
    def launched(self) -> tuple[object, ...]:
        """What a process was launched with and keeps for life; the rest may change while it runs."""
        return self.argv, self.env, self.proxy, self.routed, self.reads

    def filled(self, port: int | None = None, socket: str | None = None) -> LaunchSpec:
        """This spec with a start's port and socket in place; `${PID}` waits in `stop_argv`."""
        stop = self.stop_argv
        return replace(
            self,
            argv=tuple(fill(word, port=port, socket=socket) for word in self.argv),
            proxy=fill(self.proxy, port=port, socket=socket),
            check=None if self.check is None else fill(self.check, port=port, socket=socket),
            stop_argv=stop and tuple(fill(word, port=port, socket=socket) for word in stop),
            env={name: fill(text, port=port, socket=socket) for name, text in self.env.items()},
            port=port,
        )


def fill(
    text: str, *, port: int | None = None, socket: str | None = None, pid: int | None = None
) -> str:
    """`text` with the placeholders replaced whose value is known."""
    for name, value in (("PORT", port), ("SOCKET", socket), ("PID", pid)):
        if value is not None:
            text = text.replace(f"${{{name}}}", str(value))
    return text


def launch_spec(config: Config, model: str, *, windows: bool = False) -> LaunchSpec:
    """How `model` (a real id of `config`) is run. `windows` selects that system's rules."""
    row = config.models[model]
    argv = words(row.cmd, windows=windows)
    stop = words(row.cmd_stop, windows=windows)
    if windows and not stop:
        stop = ("taskkill", "/f", "/t", "/pid", "${PID}")
    check = row.check_endpoint.strip()
    return LaunchSpec(
        model=model,
        argv=argv,
        proxy=row.proxy,
        check=None if check == "none" else "/" + check.removeprefix("/"),
        stop_argv=stop or None,
        env=dict(line.split("=", 1) for line in row.env),
        port=config.ports.get(model),
        start_timeout=row.health_check_timeout,
        unload_timeout=row.unload_timeout,
        files=tuple(_files(argv)),
        routed=_routed(config, model, windows=windows) if row.router else None,
    )


def _routed(config: Config, model: str, *, windows: bool) -> Routed:
    row = config.models[model]
    router = config.routers[row.router]
    if router.url:
        return Routed(row.router, row.router_model, url=router.url)
    argv = words(router.cmd, windows=windows)
    sharing = sum(other.router == row.router for other in config.models.values())
    launch = LaunchSpec(
        model=row.router,
        argv=router_arguments(router, argv, sharing),
        proxy=router_address(argv),
        env=dict(line.split("=", 1) for line in router.env),
        port=config.router_ports.get(row.router),
        start_timeout=router.start_timeout,
        unload_timeout=router.unload_timeout,
        reads=config.preset_marks.get(row.router, ""),
        files=(router.presets,) if router.presets else (),
    )
    return Routed(row.router, row.router_model, launch=launch)


def launch_specs(config: Config) -> dict[str, LaunchSpec]:
    """How each model of `config` is run."""
    return {model: launch_spec(config, model) for model in config.models}


def is_llama_server(program: str) -> bool:
    """Whether a program's name or path is llama-server's, or the shipped engine's."""
    return re.split(r"[/\\]", program)[-1].removesuffix(".exe") in _LLAMA_SERVERS


def words(command: str | Sequence[str], *, windows: bool = False) -> tuple[str, ...]:
    """The arguments of a command: `Model.cmd` or `Model.cmd_stop`, text or list. Never fails; an
    empty command has none."""
    if not isinstance(command, str):
        return tuple(command)
    text = _joined(without_comments(command))
    return tuple(_windows_words(text) if windows else _shell_words(text))


def without_comments(command: str) -> str:
    """`command` without the lines whose first visible character is `#`."""
    lines = command.split("\n")
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def _joined(command: str) -> str:
    lines = command.split("\n")
    return "\n".join(
        line.rstrip()[:-1] + " " if line.rstrip().endswith("\\") else line for line in lines
    )


def _files(argv: Sequence[str]) -> Iterator[str]:
    if not argv or not is_llama_server(argv[0]):
        return
    for flag, value in pairwise(argv):
        if flag in _FILE_FLAGS:
            yield value


def _shell_words(text: str) -> Iterator[str]:
    word: str | None = None
    for piece in _SHELL_WORD.finditer(text):
        if piece["gap"]:
            if word is not None:
                yield word
            word = None
            continue
        said = _unquoted(piece)
        if said or piece[0] != "\\\n":
            word = (word or "") + said
    if word is not None:
        yield word


def _unquoted(piece: re.Match[str]) -> str:
    if piece["double"] is not None:
        return _IN_DOUBLE.sub(lambda found: found[1] or "", piece["double"])
    return piece["single"] or piece["escaped"] or piece["text"] or ""


def _windows_words(text: str) -> Iterator[str]:
    """The rules of `CommandLineToArgvW`: 2n backslashes and a quote are n and a quoting change,
    2n+1 are n and the quote itself; backslashes elsewhere stand for themselves."""
    word: str | None = None
    quoted = False
    for piece in _MSVC.finditer(text):
        if piece["gap"]:
            if quoted:
                word = (word or "") + piece["gap"]
            elif word is not None:
                yield word
                word = None
        elif piece["text"]:
            word = (word or "") + piece["text"]
        else:
            slashes = len(piece["slashes"])
            word = (word or "") + "\\" * (slashes // 2) + ('"' if slashes % 2 else "")
            quoted ^= not slashes % 2
    if word is not None:
        yield word
