"""A foreign file as native YAML, comments and all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from corral.config.document import Source
from corral.config.formats import guide
from corral.config.load import load
from corral.config.toml_text import read_toml
from corral.errors import ConfigError, Problem


def convert(source: Source, env: Mapping[str, str]) -> str:
    """`source` in the native format, meaning the same to `load`; a native file is left as it is.

    References to the environment stay in the text. Raises ConfigError when the file is not good, or
    is no YAML before they are replaced.
    """
    if load([source], env).format != "guide":
        return source.text
    data = _tree(source)
    guide.to_native(data)
    if "format" in data:
        data["format"] = "native"
    text = io.StringIO()
    _yaml().dump(data, text)
    return text.getvalue()


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml


def _tree(source: Source) -> Any:
    if source.name.endswith(".toml"):
        return read_toml(source).data
    try:
        return _yaml().load(source.text)
    except YAMLError:
        message = "cannot be converted before `${env...}` is replaced: put quotes around it"
        raise ConfigError([Problem(source.name, 0, 0, "", message)]) from None
