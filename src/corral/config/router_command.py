"""What corral adds to the command of a llama-server in router mode, and where such a command will answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from corral.config.routers import Router

_EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def router_address(argv: Sequence[str]) -> str:
    """Where it answers, as `proxy` is written; "" when the command does not say."""
    host = (_value(argv, "--host") or "127.0.0.1").split(",")[0]
    if any("${SOCKET}" in word for word in argv):
        return "unix:${SOCKET}"
    if host.endswith(".sock"):
        return f"unix:{host}"
    port = "${PORT}" if any("${PORT}" in word for word in argv) else _value(argv, "--port")
    host = _EVERY_INTERFACE.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}" if port else ""


def router_arguments(router: Router, argv: Sequence[str], models: int) -> tuple[str, ...]:
    """The whole command: what `argv` and `env` say already stays, the rest is `router`'s. `models` are those that name it: as many
    may run at once, so that it never evicts one by itself."""
    return (*argv, *_added(router, argv, models))


def _added(router: Router, argv: Sequence[str], models: int) -> Iterator[str]:
    limit = router.models_max
    for flag, value in (
        ("--models-preset", router.presets),
        ("--models-dir", router.models_dir),
        ("--models-max", str(models if limit is None else limit)),
    ):
        if value and flag not in argv and not _in_env(router, flag):
            yield from (flag, value)
    switch = "--no-models-autoload"
    if not {switch, "--models-autoload"} & set(argv) and not _in_env(router, "--models-autoload"):
        yield switch


def _in_env(router: Router, flag: str) -> bool:
    """llama-server's options have names as environment variables, too."""
    name = "LLAMA_ARG_" + flag.removeprefix("--").replace("-", "_").upper()
    return any(
        line.partition("=")[0] in (name, name.replace("ARG_", "ARG_NO_")) for line in router.env
    )


def _value(argv: Sequence[str], flag: str) -> str:
    """What follows `flag` where it stands last: llama-server's later options win."""
    return next((value for name, value in reversed(list(pairwise(argv))) if name == flag), "")
