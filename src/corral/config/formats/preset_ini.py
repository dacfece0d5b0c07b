"""llama-server's preset INI: a section for each model of a router, `[*]` for what all have in common.

Read as llama-server reads it, and what it makes of a text that means something else is told:

1. From the first `;` or `#` on, a line is a comment, also within a value.
2. What stands before the first section (but `version`) would become a model called `default`.
3. What follows the last `:` of a section's name is cut to its last part and made upper-case: `qwen:think` is the model `qwen:THINK`.
4. A section that names no model "loads", as one more router that is never ready.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from corral.config.document import Source
from corral.config.formats.llama_options import option
from corral.errors import Problem

COMMON = "*"
PRESET_ONLY = frozenset({"load-on-startup", "stop-timeout", "dedup-cache-models", "version"})
"""Keys that say something of a section, and are no options of llama-server."""
MODEL_SOURCES = frozenset({"model", "model-url", "hf-repo", "docker-repo"})

_SECTION = re.compile(r"\[(?P<name>[^\]]*)\]")
_KEY = re.compile(r"(?P<key>[^=\s\[\]][^=]*?)\s*=(?P<value>.*)")
_COMMENT = re.compile(r"[;#]")


@dataclass(frozen=True, slots=True)
class Value:
    """What a key says; `line` counts from 1."""

    text: str
    line: int


@dataclass(slots=True)
class Section:
    """One section. `name` is the model's id as llama-server has it."""

    name: str
    line: int
    written: str = ""
    values: dict[str, Value] = field(default_factory=dict)

    def plain(self) -> dict[str, str]:
        """Its options, without those that only a preset has."""
        return {k: v.text for k, v in self.values.items() if k not in PRESET_ONLY}

    def says(self, name: str) -> Value | None:
        """What it says of an option, however that is spelled."""
        return next((v for key, v in self.values.items() if option(key)[0] == name), None)

    @property
    def names_a_model(self) -> bool:
        """Whether it says where its model is."""
        return any(option(key)[0] in MODEL_SOURCES for key in self.values)


@dataclass(slots=True)
class Presets:
    """A file of them. `problems` keep it from meaning what it says; `notes` are for people, with their lines."""

    name: str
    sections: dict[str, Section] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)

    @property
    def common(self) -> Section:
        """`[*]`."""
        return self.sections.get(COMMON) or Section(COMMON, 0)

    def models(self) -> Iterator[Section]:
        """The other ones."""
        return (section for name, section in self.sections.items() if name != COMMON)

    def found(self, model: str) -> Section | None:
        """The section of a model, by its id or by an alias."""
        if model != COMMON and model in self.sections:
            return self.sections[model]
        return next((one for one in self.models() if model in _aliases(one)), None)

    def wrong(self, line: int, where: str, message: str) -> None:
        """Note one mistake."""
        self.problems.append(Problem(self.name, line, 1, where, message))


def read_presets(source: Source) -> Presets:
    """What llama-server makes of the text. Never fails: `Presets.problems` has what is wrong."""
    presets = Presets(source.name)
    section: Section | None = None
    for number, line in enumerate(source.text.removeprefix("\ufeff").splitlines(), 1):
        text = _COMMENT.split(line, maxsplit=1)[0].strip()
        if found := _SECTION.fullmatch(text):
            section = _begun(presets, found["name"].strip(), number)
        elif found := _KEY.fullmatch(text):
            value = Value(found["value"].strip(), number)
            _said(presets, section, found["key"], value, _cut(line))
        elif text:
            presets.wrong(number, "", f"neither `[section]` nor `key = value`: `{text[:40]}`")
    return presets


def section_name(written: str) -> str:
    """The id that llama-server gives the model of a section."""
    name, colon, tag = written.rpartition(":")
    return f"{name}:{re.split('[-.]', tag)[-1].upper()}" if colon else written


def _begun(presets: Presets, written: str, line: int) -> Section:
    name = section_name(written)
    if not name:
        presets.wrong(line, "[]", "a section without a name")
    elif name != written:
        presets.notes.append((line, f"[{written}]: llama-server calls this model `{name}`"))
    if name in presets.sections:
        presets.wrong(line, f"[{written}]", f"stands in line {presets.sections[name].line} already")
    return presets.sections.setdefault(name, Section(name, line, written))


def _said(presets: Presets, section: Section | None, key: str, value: Value, cut: str) -> None:
    where = f"[{section.written}].{key}" if section else key
    if section is None:
        if key != "version":
            message = "llama-server makes a model called `default` of what stands before the first section: put it under `[*]`"
            presets.wrong(value.line, where, message)
        return
    if cut:
        message = (
            f"{where}: is `{value.text}`: llama-server takes `{cut}` and the rest for a comment"
        )
        presets.notes.append((value.line, message))
    section.values[key] = value


def _cut(line: str) -> str:
    """The character that ends a value where nobody meant it to: right after other text, or between quotes."""
    found = _COMMENT.search(line)
    if found is None:
        return ""
    before = line[: found.start()]
    meant = before[-1:].isspace() and before.count('"') % 2 == 0
    return "" if meant else found[0]


def _aliases(section: Section) -> Mapping[str, None]:
    said = section.says("alias")
    return dict.fromkeys(name.strip() for name in said.text.split(",")) if said else {}
