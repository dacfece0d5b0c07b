"""What the engine says of itself: its flags, its versions, its devices."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from importlib.metadata import version

from corral.engines.flags import FLAGS, Flag

_USAGE = """\
usage: corral-llama-server -m FILE [flags]

Serves a model with llama.cpp. The flags and variables are llama-server's; (*) marks those that this program takes and
ignores, because the installed llama.cpp cannot be told.

"""


def _help() -> str:
    return _USAGE + "\n".join(map(_entry, FLAGS)) + "\n"


def _entry(flag: Flag) -> str:
    names = ", ".join((*flag.names.split(), *flag.off.split()))
    head = " ".join(filter(None, (names, flag.kind.metavar)))
    notes = ("" if flag.reaches else "(*)", f"[{flag.env}]" if flag.env else "")
    text = " ".join(filter(None, (flag.help, *notes)))
    return head + "\n" + textwrap.indent(textwrap.fill(text, 96), "    ")


def _version() -> str:
    from corral.engines.llama import load_wheel  # noqa: PLC0415 - the help does without the wheel

    build = load_wheel().BUILD_INFO
    return (
        f"corral-llama-server {version('corral')}, llama.cpp of xllamacpp {version('xllamacpp')} "
        f"({build['build_target']}, {build['compiler']})\n"
    )


def _devices() -> str:
    from corral.engines.llama import load_wheel  # noqa: PLC0415 - as above

    lines = [
        f"{device['name']}: {device['description']} "
        f"({device['memory_total'] >> 20} MiB, {device['memory_free'] >> 20} MiB free)\n"
        for device in load_wheel().get_device_info()
    ]
    return "".join(lines)


TEXTS: dict[str, Callable[[], str]] = {"help": _help, "version": _version, "devices": _devices}
"""What to print for each action of the table."""
