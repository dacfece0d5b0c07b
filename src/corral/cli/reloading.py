"""What a reload changed, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from corral.cli.client import Reload


def lines(done: Reload) -> Iterator[str]:
    """A line for each kind of change, and for each note."""
    kinds = {
        "added": done.added,
        "removed": done.removed,
        "restarted when used next": done.restarted,
        "updated": done.updated,
        "settings": done.settings,
    }
    changed = {kind: names for kind, names in kinds.items() if names}
    for kind, names in changed.items():
        yield f"{kind}: {', '.join(names)}"
    if not changed:
        yield "reloaded; nothing has changed"
    yield from done.notes
