"""Any document as native data: what it is, and what is made of it."""

from __future__ import annotations

from typing import Any

from corral.config.document import Beside, Document, Problems
from corral.config.formats import guide, hotmodel
from corral.config.formats.hotmodel_file import HotFile
from corral.config.formats.preset_ini import Presets, read_presets
from corral.config.formats.recognise import AmbiguousError, recognise
from corral.config.macros import expand
from corral.config.notes import Notes
from corral.config.presets import named
from corral.config.shape import drop_ignored, drop_unknown, shape


def to_native(
    document: Document, problems: Problems, notes: Notes, beside: Beside
) -> dict[str, Any]:
    """The document's data with native keys; `format` is what it was. Raises ConfigError for a hotmodel file with mistakes."""
    data = drop_ignored(document)
    try:
        kind, reason = recognise(data, toml=_is_toml(document))
    except AmbiguousError as error:
        problems.add(error.path, str(error))
        guide.to_native(data)
        return data | {"format": "native"}
    if kind == "hotmodel":
        notes.say(f"a hotmodel configuration, recognised by {reason}")
        return _from_hotmodel(data, document, problems, notes, beside)
    if kind == "guide":
        said = guide.to_native(data)
        for native, written in guide.RENAMED.items():
            if written in document.places:
                document.places.setdefault(native, document.places[written])
        notes.say(f"the model-management guide's format, recognised by {reason}")
        for line in said:
            notes.say(line)
    return data | {"format": kind if data.get("format") in (None, kind) else data["format"]}


def _from_hotmodel(
    data: dict[str, Any], document: Document, problems: Problems, notes: Notes, beside: Beside
) -> dict[str, Any]:
    """Every mistake is told before anything is made of it."""
    hot = shape(drop_unknown(data, problems.slight, HotFile), problems, HotFile)
    presets = _presets(hot, document, beside)
    native = hotmodel.to_native(hot, document, presets, problems)
    problems.raise_any()
    for line in hotmodel.summary(hot):
        notes.say(line)
    for path, message in hotmodel.idle(hot, document):
        notes.add(path, message)
    if presets:
        for number, message in hotmodel.other_files(hot, document, presets):
            notes.at(presets.name, number, message)
    return native


def _presets(hot: HotFile, document: Document, beside: Beside) -> Presets | None:
    source = beside.get(hotmodel.presets_file(hot, document))
    return None if source is None or source.unread else read_presets(source)


def further(document: Document) -> tuple[str, ...]:
    """The files that belong to it and that it names: the routers' presets."""
    data, aside = drop_ignored(document), Problems(document)
    try:
        kind, _ = recognise(data, toml=_is_toml(document))
    except AmbiguousError:
        kind = "native"
    if kind == "hotmodel":
        hot = shape(drop_unknown(data, aside.add, HotFile), aside, HotFile)
        return tuple(filter(None, [hotmodel.presets_file(hot, document)]))
    expanded, _ = expand({key: data[key] for key in data if key in ("macros", "routers")}, aside)
    return named(expanded)


def _is_toml(document: Document) -> bool:
    return document.place(()).file.endswith(".toml")
