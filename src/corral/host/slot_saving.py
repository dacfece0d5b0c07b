"""What a launch needs so that its slots can be saved: the flags, and the identity of what is in them.

Only for what `concerns` it.

1. Only flags that a program lists are added (`abilities.py`); one that does not answer when it is asked cannot save slots.
2. The identity is taken before the launch: whatever it is that the process reads then, it is not older.
3. What goes wrong costs the parking, never the launch.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from corral.config import slot_flags
from corral.config.command import LaunchSpec, is_llama_server
from corral.host.abilities import options
from corral.host.lifeline import Lifeline
from corral.host.programs import WHEEL, Program
from corral.host.slot_disk import Place
from corral.host.slot_files import SlotFiles

_SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5}\.gguf)")
_LIBRARIES = ("*llama*", "*ggml*", "*mtmd*")
_BESIDE = (".", "../lib", "../lib64")
_SITES = ("lib/python*/site-packages", "Lib/site-packages")
_LIBRARY = re.compile(r".*\.(so|dylib|dll|pyd)[.\d]*")

Stamp = tuple[str, int, int, int]
"""Path, bytes, time, number of a file: what changes when another one takes its place."""

log = logging.getLogger("corral.parking")


class SlotSaving:
    """Prepares launches. `environment` is corral's own."""

    def __init__(self, files: SlotFiles, environment: Mapping[str, str] = os.environ) -> None:
        self._files = files
        self._environment = environment

    def __repr__(self) -> str:
        return f"<SlotSaving: {self._files}>"

    def concerns(self, spec: LaunchSpec) -> bool:
        """Whether slots of this model are to be saved at all. A process without a model's file is a router, or reads nobody knows what."""
        return (
            self._files.enabled
            and bool(spec.argv)
            and is_llama_server(spec.argv[0])
            and bool(slot_flags.model_file(spec.argv, self._of(spec)))
        )

    def ended(self, model: str) -> None:
        """Its process is gone."""
        self._files.use(model, None)

    def _of(self, spec: LaunchSpec) -> dict[str, str]:
        """The environment that it is launched with."""
        return {**self._environment, **spec.env}

    async def prepared(self, spec: LaunchSpec, program: Program, lifeline: Lifeline) -> Program:
        """`program` with what it takes to save slots, if it can. `spec` is as configured, without a port in it."""
        try:
            return await self._prepared(spec, program, lifeline)
        except Exception:
            log.exception("%s: not parked", spec.model)
            return program

    async def _prepared(self, spec: LaunchSpec, program: Program, lifeline: Lifeline) -> Program:
        environment, listed = self._of(spec), slot_flags.SHIPPED
        if not program.shipped:
            listed = await options(program.argv[0], spec.env, lifeline)
        if slot_flags.PATH not in listed:
            return program
        place = await self._place(spec, program, environment)
        if place is None:
            return program
        self._files.use(spec.model, place)
        more = slot_flags.added(spec.argv, environment, listed, str(place.folder))
        return replace(program, argv=(*program.argv, *more))

    async def _place(
        self, spec: LaunchSpec, program: Program, environment: Mapping[str, str]
    ) -> Place | None:
        identity = await self._files.identified(lambda: identity_of(spec, program, environment))
        if not identity:
            return None
        place = Place(spec.model, identity, self._folder(spec, environment, identity))
        return place if await self._files.opened(place) else None

    def _folder(self, spec: LaunchSpec, environment: Mapping[str, str], identity: str) -> Path:
        own = slot_flags.own_folder(spec.argv, environment)
        return Path(own).absolute() if own else self._files.own_folder(identity)


def identity_of(spec: LaunchSpec, program: Program, environment: Mapping[str, str]) -> str:
    """A hash of all that decides on what a saved slot means; empty when nobody can tell: no file is named as the model."""
    model = slot_flags.model_file(spec.argv, environment)
    if not model or _stamp(Path(model)) is None:
        return ""
    words = slot_flags.perhaps_files(spec.argv, environment)
    told = [
        spec.model,
        slot_flags.shaping(spec.argv),
        sorted((slot_flags.variables(environment) | dict(spec.env)).items()),
        _stamps(path for word in words for path in _shards(word)),
        _stamps(_engine(program)),
    ]
    return hashlib.sha256(json.dumps(told).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _shards(word: str) -> Iterator[Path]:
    """The file of this name, and all of the parts when it is one of them."""
    path = Path(word)
    yield path
    if said := _SHARD.fullmatch(path.name):
        yield from path.parent.glob(f"{_literally(said[1])}-?????-of-{said[2]}")


def _engine(program: Program) -> Iterator[Path]:
    """The program and the libraries of llama.cpp that are to be found near it, be it alone or a Python's."""
    if program.shipped:
        yield from _wheel()
        return
    binary = Path(program.argv[0]).resolve()
    yield binary
    for folder in _BESIDE:
        for pattern in _LIBRARIES:
            yield from _libraries(binary.parent / folder, pattern)
    for sites in _SITES:
        for site in binary.parent.parent.glob(sites):
            yield from _libraries(site / WHEEL, "*")


def _wheel() -> Iterator[Path]:
    found = importlib.util.find_spec(WHEEL)
    for place in found.submodule_search_locations or () if found else ():
        yield from _libraries(Path(place), "*")


def _libraries(folder: Path, pattern: str) -> Iterator[Path]:
    return (path for path in folder.glob(pattern) if _LIBRARY.fullmatch(path.name))


def _stamps(paths: Iterable[Path]) -> list[Stamp]:
    return sorted({stamp for path in paths if (stamp := _stamp(path))})


def _stamp(path: Path) -> Stamp | None:
    """None when there is no such file."""
    with contextlib.suppress(OSError, ValueError):  # a name may be too long, or have a zero in it
        facts = path.stat()
        if path.is_file():
            return str(path), facts.st_size, facts.st_mtime_ns, facts.st_ino
    return None


def _literally(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)
