"""`corral-llama-server`: llama-server's command line on the llama.cpp that the `xllamacpp` wheel brings.

Exit status: 0 when told to stop or orphaned, 1 when it cannot serve, 2 when the command line is wrong; the last line on
stderr says why. Everything else on stderr is llama.cpp's log.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from corral.engines import lifeline, preflight
from corral.engines.command_line import Asked, Misuse, read
from corral.engines.parameters import build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, NoReturn

_LOG_SETTLES_SECONDS = 0.1


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop. Returns an exit status only where there was nothing to serve; else the process ends here."""
    parent = lifeline.hold()
    try:
        asked = read(sys.argv[1:] if argv is None else argv, os.environ)
        if action := next((one.value for one in asked if one.flag.kind.action), None):
            return _show(action)
        _warn_of_ignored(asked)
        wheel = load_wheel()
        params = build(wheel, asked)
    except Misuse as misuse:
        return _say(f"error: {misuse}", 2)
    except ImportError as error:
        return _say(f"error: {error}; install it with: pip install 'corral[llama]'", 1)
    if not params.model.path:
        return _say("error: no model: write -m FILE, -hf REPOSITORY or -mu URL", 2)
    _warn_of_gpu(wheel, asked)
    return _serve(wheel, params, parent)


def load_wheel() -> ModuleType:
    """The wheel's extension module, without the package around it, which costs 10 ms more.

    Raises ImportError when it is not installed.
    """
    from importlib.machinery import PathFinder  # noqa: PLC0415 - --help does without
    from importlib.util import module_from_spec  # noqa: PLC0415 - as above

    package = PathFinder.find_spec("xllamacpp")
    places = package.submodule_search_locations if package else None
    spec = PathFinder.find_spec("xllamacpp.xllamacpp", list(places or ()))
    if spec is None or spec.loader is None:
        raise ImportError("xllamacpp is not installed")
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _serve(wheel: ModuleType, params: Any, parent: int) -> NoReturn:
    if problem := preflight.files(params) or preflight.sockets(params):
        _end(f"error: {problem}", 1)
    try:
        server = wheel.Server(params)
    except (RuntimeError, ValueError, MemoryError):
        # llama.cpp's log is written by a thread of its own; the reason comes after it.
        time.sleep(_LOG_SETTLES_SECONDS)
        _end(f"error: {preflight.address(params) or _unknown(params)}", 1)
    awake = lifeline.catch()
    _say(f"serving {params.model.path} on {server.listening_address}")
    reason = lifeline.wait(parent, awake)
    preflight.remove_sockets(params)
    _end(f"{server.listening_address} closed: {reason}", 0)


def _unknown(params: Any) -> str:
    return f"llama.cpp could not serve {params.model.path}; the lines above say why"


def _end(line: str, status: int) -> NoReturn:
    """End at once: neither Python's nor llama.cpp's way down, which may wait for clients."""
    _say(line)
    os._exit(status)


def _say(line: str, status: int = 0) -> int:
    """Write a line to stderr, unless its reader is gone or has fallen so far behind that writing would wait for it."""
    with suppress(OSError):
        if _heard():
            os.write(2, (line + "\n").encode())
    return status


def _heard() -> bool:
    """Whether stderr takes a line now. Windows cannot tell, and says yes."""
    import select  # noqa: PLC0415 - a start without warnings does without

    return sys.platform == "win32" or bool(select.select([], [2], [], 0)[1])


def _warn_of_ignored(asked: Sequence[Asked]) -> None:
    ignored = dict.fromkeys(
        one.said.partition(" ")[0].partition("=")[0] for one in asked if not one.flag.reaches
    )
    if ignored:
        _say(f"WARNING: ignored, as the shipped engine cannot do it: {', '.join(ignored)}")


def _warn_of_gpu(wheel: ModuleType, asked: Sequence[Asked]) -> None:
    layers = [one for one in asked if one.flag.to == "n_gpu_layers"]
    if layers and layers[-1].value and not has_gpu(wheel):
        _say(
            f"WARNING: {layers[-1].said} asks for a GPU, but the installed xllamacpp can use none here: "
            "the model runs on the CPU. For a GPU, install a CUDA, ROCm, Vulkan or Metal build of xllamacpp, "
            "or a llama-server of your own."
        )


def has_gpu(wheel: ModuleType) -> bool:
    """Whether llama.cpp found a device that layers can be put on."""
    return any("GPU" in device["type"].name for device in wheel.get_device_info())


def _show(action: str) -> int:
    from corral.engines import about  # noqa: PLC0415 - serving does without

    sys.stdout.write(about.TEXTS[action]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
