"""`corral-llama-swap`: llama-swap's own flags, for existing unit files and containers.

1. Flags are read as Go's `flag` package reads them: one dash or two, `-x v` or `-x=v`, switches take only `-x=false`, the first word
   that is no flag ends them.
2. Addresses, messages and exit codes are llama-swap's: 1 for anything wrong but a wrong flag, which is 2.
3. What llama-swap reads past in a configuration (unknown keys above all) keeps nobody from starting: it is told.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from corral.cli import versions
from corral.cli.exits import Exit, Failure, answer, say

TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})

FLAGS: dict[str, tuple[bool, str]] = {
    "config": (False, "path to config file"),
    "config-dir": (False, "directory of *.yml/*.yaml config files (additive to -config)"),
    "listen": (False, "listen address (default :8080 or :8443 for TLS)"),
    "tls-cert-file": (False, "TLS certificate file"),
    "tls-key-file": (False, "TLS key file"),
    "version": (True, "show version and exit"),
    "watch-config": (True, "Automatically reload config file on change"),
}
"""Name → (is a switch, help)."""


class FlagError(Exception):
    """The command line is not what Go's `flag` package would take."""


class HelpAsked(Exception):  # noqa: N818 - not an error
    """`-h` or `-help`."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. Texts are empty where nothing was."""

    config: str = ""
    config_dir: str = ""
    listen: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    version: bool = False
    watch_config: bool = False

    @property
    def tls(self) -> tuple[str, str] | None:
        """Certificate and key file. Failure when only one is named."""
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise Failure("both -tls-cert-file and -tls-key-file must be provided for TLS")
        return (self.tls_cert_file, self.tls_key_file) if self.tls_cert_file else None


def parse(arguments: Sequence[str]) -> Options:
    """Read the flags; what follows them is ignored, as llama-swap does. Raises FlagError, HelpAsked."""
    values: dict[str, str | bool] = {}
    rest = list(arguments)
    while rest and len(rest[0]) > 1 and rest[0].startswith("-") and rest[0] != "--":
        name, has_value, value = _split(rest.pop(0))
        is_switch = FLAGS[name][0]
        if not has_value and not is_switch:
            if not rest:
                raise FlagError(f"flag needs an argument: -{name}")
            value = rest.pop(0)
        values[name.replace("-", "_")] = _switch(name, value, has_value) if is_switch else value
    return Options(**values)  # type: ignore[arg-type]  # each value has the type that FLAGS says


def _split(word: str) -> tuple[str, bool, str]:
    name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
    if not name or name.startswith("-"):
        raise FlagError(f"bad flag syntax: {word}")
    if name in ("h", "help"):
        raise HelpAsked
    if name not in FLAGS:
        raise FlagError(f"flag provided but not defined: -{name}")
    return name, bool(equals), value


def _switch(name: str, value: str, has_value: bool) -> bool:
    if has_value and value not in TRUE | FALSE:
        raise FlagError(f'invalid boolean value "{value}" for -{name}: parse error')
    return not has_value or value in TRUE


def usage() -> str:
    """The flags, as Go prints them."""
    lines = ["Usage of corral-llama-swap:"]
    for name, (is_switch, text) in FLAGS.items():
        lines += [f"  -{name}" if is_switch else f"  -{name} string", f"    \t{text}"]
    return "\n".join(lines)


def main() -> None:
    """Serve as llama-swap would, and exit."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: Sequence[str]) -> int:
    try:
        options = parse(arguments)
    except HelpAsked:
        say(usage())
        return Exit.DONE
    except FlagError as error:
        say(f"{error}\n{usage()}")
        return Exit.MISUSED
    return _ending(lambda: _serve(options))


def _ending(act: Callable[[], None]) -> int:
    """llama-swap knows one exit code for all that goes wrong after the flags."""
    try:
        act()
    except Failure as failure:
        say(str(failure))
        return Exit.FAILED
    return Exit.DONE


def _serve(options: Options) -> None:
    if options.version:
        answer(f"version: {versions.corral()} (corral), built at unknown")
        return
    if not options.config and not options.config_dir:
        raise Failure("at least one of -config or -config-dir must be provided")
    tls = options.tls
    from corral.cli import serving  # noqa: PLC0415 - -version and wrong flags need no server

    named = serving.Named(
        [Path(options.config)] if options.config else (),
        Path(options.config_dir) if options.config_dir else None,
        lenient=True,
    )
    listen = options.listen or (":8443" if tls else ":8080")
    serving.run(named, listen, tls, watch=options.watch_config)


if __name__ == "__main__":
    main()
