"""Whose turn it is: `routing.scheduler`, with the names in it resolved."""

from __future__ import annotations

import math
from collections.abc import Mapping

from corral.config.document import Path, Problems
from corral.config.model import Scheduling
from corral.config.names import named
from corral.config.written import FairSettings, FifoSettings, File


def scheduling(file: File, names: Mapping[str, str], problems: Problems) -> Scheduling:
    """The settings of the discipline that is used."""
    scheduler = file.routing.scheduler
    path: Path = ("routing", "scheduler", "settings", scheduler.use)
    used: FifoSettings = getattr(scheduler.settings, scheduler.use)
    fallback = scheduler.use == "fair" and not used.priority
    priority = scheduler.settings.fifo.priority if fallback else used.priority
    where = (*path[:-1], "fifo", "priority") if fallback else (*path, "priority")
    return Scheduling(
        use=scheduler.use,
        priority=_priority(priority, names, where, problems),
        max_wait=_max_wait(used, path, problems),
        min_residency=used.min_residency if isinstance(used, FairSettings) else 0,
        queue_timeout=used.queue_timeout,
        max_queue=used.max_queue,
    )


def _max_wait(used: FifoSettings, path: Path, problems: Problems) -> float:
    written = used.model_fields_set
    wait = used.max_wait if isinstance(used, FairSettings) else FairSettings().max_wait
    longest = used.queue_timeout or math.inf
    if {"max_wait", "queue_timeout"} <= written and wait > longest:
        problems.add(
            (*path, "maxWait"),
            f"maxWait ({wait:g}) is longer than queueTimeout ({longest:g}): nobody waits that long",
        )
    return wait if "max_wait" in written else min(wait, longest)


def _priority(
    priority: Mapping[str, int], names: Mapping[str, str], path: Path, problems: Problems
) -> dict[str, int]:
    real: dict[str, int] = {}
    for name, number in priority.items():
        model = named(name, names, (*path, name), problems.add)
        if model in real and real[model] != number:
            problems.add((*path, name), f"{model} has priority {real[model]} by another name")
        elif model:
            real[model] = number
    return real
