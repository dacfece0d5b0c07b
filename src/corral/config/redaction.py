"""Values of the environment stay out of what people are told, and so of logs and bug reports.

1. A value that came from `${env.NAME}` is shown as that again.
2. Short values are words like others (`info`, `8080`) and stay, unless the variable's name says that
   it is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from corral.config.environment import REFERENCE
from corral.errors import ConfigError

_SECRET = re.compile(r"key|token|secret|pass|auth|cred", re.IGNORECASE)
_SHORTEST = 8
_SHORTEST_SECRET = 3


def hider(texts: Iterable[str], env: Mapping[str, str]) -> Callable[[str], str]:
    """What takes the environment's values, as `texts` refer to them, out of a message."""
    names = {name for text in texts for name in REFERENCE.findall(text)}
    shown = {env[name]: f"${{env.{name}}}" for name in sorted(names) if _hidden(name, env)}
    if not shown:
        return lambda message: message
    longest_first = sorted(shown, key=len, reverse=True)
    values = re.compile("|".join(map(re.escape, longest_first)))
    return lambda message: values.sub(lambda found: shown[found[0]], message)


def _hidden(name: str, env: Mapping[str, str]) -> bool:
    shortest = _SHORTEST_SECRET if _SECRET.search(name) else _SHORTEST
    return len(env.get(name, "")) >= shortest


def redacted(error: ConfigError, hide: Callable[[str], str]) -> ConfigError:
    """`error` with every message and path as `hide` leaves them."""
    return ConfigError(
        [replace(p, path=hide(p.path), message=hide(p.message)) for p in error.problems]
    )
