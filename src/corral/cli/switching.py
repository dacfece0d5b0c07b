"""What a switch did, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from corral.cli.client import Switch

READINGS = {
    "before_unload": "before the unload",
    "after_unload": "after it",
    "after_settle": "settled",
    "after_load": "after the load",
}


def lines(done: Switch) -> Iterator[str]:
    """One for the outcome, one for the phases, and one for the cards' memory where there are cards."""
    if done.previous_model == done.active_model and not done.elapsed_seconds:
        yield f"{done.active_model} is active already"
        return
    instead = f", instead of {done.previous_model}" if done.previous_model else ""
    yield f"{done.active_model} is active{instead} ({done.elapsed_seconds:.2f}s)"
    yield "  " + ", ".join(f"{phase} {seconds:.3f}s" for phase, seconds in done.phases.items())
    if memory := ", ".join(_memory(done)):
        yield f"  GPU memory: {memory}"
    if done.gpu_settled is False:
        yield "  GPU memory had not settled when the time was up"


def _memory(done: Switch) -> Iterator[str]:
    for name, words in READINGS.items():
        reading = done.gpu_memory.get(name)
        if reading and reading.total_mb is not None:
            yield f"{reading.total_mb} MiB {words}"
