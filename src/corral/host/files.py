"""Where corral keeps what outlives a request: state, and what lives as long as the login.

The XDG base directory specification's variables and defaults; Windows takes `%LOCALAPPDATA%` for what they would name.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from corral.host import system


def state_folder(config: Path, env: Mapping[str, str] = os.environ) -> Path:
    """The folder for one configuration's state (database, temporary bodies): made when it is not there, closed to others."""
    digest = hashlib.sha256(os.fsencode(config.resolve())).hexdigest()[:12]
    return _made(_home(env, "XDG_STATE_HOME", ".local/state") / "corral" / digest)


def runtime_folder(env: Mapping[str, str] = os.environ) -> Path:
    """The folder for port locks and sockets, one for all of a user's corrals.

    `$XDG_RUNTIME_DIR/corral`, else one in the temporary folder, where anybody could have made it first: raises PermissionError
    when it is not ours alone.
    """
    if named := env.get("XDG_RUNTIME_DIR"):
        return _made(Path(named) / "corral")
    folder = Path(tempfile.gettempdir()) / f"corral-{system.user_id()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not system.is_private(str(folder)):
        raise PermissionError(f"{folder} is open to other users; remove it, or set XDG_RUNTIME_DIR")
    return folder


def _home(env: Mapping[str, str], variable: str, default: str) -> Path:
    """A relative path in the variable is to be ignored, says the specification."""
    for named in (env.get(variable), env.get("LOCALAPPDATA")):
        if named and Path(named).is_absolute():
            return Path(named)
    return Path.home() / default


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
