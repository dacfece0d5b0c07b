"""A configuration is a text; what is wrong with it is a list of lines."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping

import pytest

from corral.config.load import Source, load
from corral.config.model import Config
from corral.errors import ConfigError


def _sources(texts: tuple[str, ...], name: str) -> list[Source]:
    stem, _, kind = name.rpartition(".")
    names = [name, *(f"{stem}{number}.{kind}" for number in range(2, len(texts) + 1))]
    return [Source(n, textwrap.dedent(text)) for n, text in zip(names, texts, strict=True)]


@pytest.fixture
def loaded() -> Callable[..., Config]:
    """`loaded(text, ...)`: the configuration that the texts make together."""

    def run(
        *texts: str,
        env: Mapping[str, str] | None = None,
        name: str = "c.yaml",
        lenient: bool = False,
    ) -> Config:
        return load(_sources(texts, name), env or {}, lenient=lenient)

    return run


@pytest.fixture
def mistakes(loaded: Callable[..., Config]) -> Callable[..., list[str]]:
    """`mistakes(text, ...)`: every problem as people see it."""

    def run(*texts: str, **options: object) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(*texts, **options)
        return [str(problem) for problem in caught.value.problems]

    return run
