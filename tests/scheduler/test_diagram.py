"""The page on scheduling shows the table that the machine goes by."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from corral.scheduler.diagram import state_diagram
from corral.scheduler.residency import MOVES

PAGE = Path(__file__).parents[2] / "docs" / "scheduling.md"


def test_the_page_is_fresh():
    assert state_diagram() in PAGE.read_text(encoding="utf-8")


def test_every_move_is_drawn():
    lines = state_diagram().splitlines()
    for (state, move), after in MOVES.items():
        assert f"    {state} --> {after} : {move}" in lines


def test_it_prints_itself():
    command = [sys.executable, "-m", "corral.scheduler.diagram"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == state_diagram() + "\n"
