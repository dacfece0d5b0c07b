"""Reasons why a load cannot work, found before it or told after it, in words that name the file or the address.

Each function returns the reason, or an empty text.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAGIC = b"GGUF"


def files(params: Any) -> str:
    """What is wrong with a file that llama.cpp will read."""
    return next(filter(None, (_gguf(role, path) for role, path in _models(params))), "")


def _models(params: Any) -> list[tuple[str, str]]:
    """The GGUF files that must be there already, which those to download are not."""
    draft = params.speculative.draft.mparams
    sources = (("model", params.model), ("draft model", draft), ("projector", params.mmproj))
    named = [
        (role, source.path) for role, source in sources if source.path and not _downloaded(source)
    ]
    return named + [("LoRA adapter", adapter.path) for adapter in params.lora_adapters]


def _downloaded(source: Any) -> bool:
    return bool(source.hf_repo or source.url or source.docker_repo)


def _gguf(role: str, path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs a start-up 5 ms
            magic = file.read(len(_MAGIC))
    except OSError as error:
        return f"the {role} cannot be read: {path}: {error.strerror}"
    return "" if magic == _MAGIC else f"the {role} is not a GGUF file: {path}"


def sockets(params: Any) -> str:
    """What keeps a UNIX socket from being made. One that a dead server left behind is removed."""
    return next(filter(None, map(_in_the_way, _paths(params))), "")


def _paths(params: Any) -> list[str]:
    return [host for host in params.hostnames if host.endswith(".sock")]


def _in_the_way(path: str) -> str:
    import socket  # noqa: PLC0415 - only for UNIX sockets

    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        return f"cannot listen on {path}: this system has no UNIX sockets"
    if not os.path.lexists(path):
        return ""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return f"cannot listen on {path}: a file is there"
    with socket.socket(family) as client:
        try:
            client.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 - pathlib costs a start-up 5 ms
            return ""
        except OSError as error:
            return f"cannot listen on {path}: {error.strerror}"
    return f"cannot listen on {path}: another server does"


def remove_sockets(params: Any) -> None:
    """Leave no UNIX socket behind."""
    for path in _paths(params):
        try:
            os.unlink(path)  # noqa: PTH108 - as everywhere here
        except OSError:
            continue


def address(params: Any) -> str:
    """What keeps the port from being listened on."""
    import socket  # noqa: PLC0415 - only a failure pays for it

    for host in params.hostnames:
        if not host.endswith(".sock"):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                with socket.socket(family) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((host, params.port))
            except OSError as error:
                return f"cannot listen on {host}:{params.port}: {error.strerror or error}"
    return ""
