"""A foreign file as native YAML, comments and all."""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from corral.config.document import Beside, Problems, Source
from corral.config.formats import guide
from corral.config.formats.translation import to_native
from corral.config.load import load
from corral.config.notes import Notes
from corral.config.toml_text import read_toml
from corral.errors import ConfigError, Problem

_NOTHING: Beside = MappingProxyType({})


def convert(source: Source, env: Mapping[str, str], beside: Beside = _NOTHING) -> str:
    """`source` in the native format, meaning the same to `load`; a native file is left as it is. `beside` as for `load`.

    References to the environment stay in the text. Raises ConfigError when the file is not good, or
    is no YAML before they are replaced.
    """
    kind = load([source], env, beside=beside).format
    if kind == "native":
        return source.text
    data = _from_hotmodel(source, beside) if kind == "hotmodel" else _from_guide(source)
    if "format" in data:
        data["format"] = "native"
    text = io.StringIO()
    _yaml().dump(data, text)
    return text.getvalue()


def _from_guide(source: Source) -> Any:
    data = _tree(source)
    guide.to_native(data)
    return data


def _from_hotmodel(source: Source, beside: Beside) -> Any:
    document = read_toml(source)
    return to_native(document, Problems(document), Notes(document), beside)


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
