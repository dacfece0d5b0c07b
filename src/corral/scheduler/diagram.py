"""The picture of a model's life in docs/scheduling.md, printed from the table of moves: `python -m corral.scheduler.diagram`."""

from __future__ import annotations

import sys

from corral.scheduler.residency import MOVES, State


def state_diagram() -> str:
    """Mermaid, as Markdown shows it. Orders and facts are in capitals, what only the scheduler knows of is not."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.UNLOADED}"]
    lines += [f"    {state} --> {after} : {move}" for (state, move), after in MOVES.items()]
    return "\n".join([*lines, "```"])


if __name__ == "__main__":
    sys.stdout.write(state_diagram() + "\n")
