"""Is there a router for a model on this machine, or has it to run by its own command?

1. A llama-server that is not there has no router mode, nor has the shipped engine, nor one whose `--help` lists other options only.
   What does not answer that is believed to have it, as is any other program: somebody has written it down as a router.
2. Who has to run alone needs a command of its own.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import PurePath
from typing import Final

from corral.config.command import LaunchSpec, is_llama_server
from corral.errors import LoadFailed
from corral.host.abilities import known_options, options
from corral.host.lifeline import Lifeline
from corral.host.programs import problem_of

SIGN: Final = "--models-preset"
"""The option by which router mode is known."""
SHIPPED: Final = "corral-llama-server"


async def learn(specs: Iterable[LaunchSpec], lifeline: Lifeline) -> None:
    """Have the programs of these models' routers asked what they can, which is what the other functions here go by."""
    launches = {spec.routed.router: spec.routed.launch for spec in specs if spec.routed}
    for launch in filter(None, launches.values()):
        path = await asyncio.to_thread(_llama_server, launch)
        if path:
            await options(path, launch.env, lifeline)


def runs_alone(spec: LaunchSpec) -> bool:
    """Whether this model of a router runs without one here, as far as is known."""
    launch = spec.routed.launch if spec.routed else None
    if launch is None or not is_llama_server(launch.argv[0]):
        return False
    path = _llama_server(launch)
    listed = known_options(path) if path else frozenset()
    return not path or (bool(listed) and SIGN not in (listed or ()))


def who_run_alone(specs: Collection[LaunchSpec]) -> frozenset[str]:
    """Those of the models that do. Of many models of one router, one is looked at."""
    routers = {spec.routed.router: spec for spec in specs if spec.routed}
    alone = {router for router, spec in routers.items() if runs_alone(spec)}
    return frozenset(s.model for s in specs if s.routed and s.routed.router in alone)


def _llama_server(launch: LaunchSpec) -> str:
    """Where the llama-server is that a router would be launched with; empty where there is none that could have a router mode."""
    path = shutil.which(launch.argv[0]) if is_llama_server(launch.argv[0]) else None
    return "" if path is None or PurePath(path).stem == SHIPPED else path


def problem_at_router(spec: LaunchSpec) -> LoadFailed | None:
    """As `programs.problem_of`, for a model of a router: what its router needs, or itself when it runs alone. Looks at the disk."""
    if runs_alone(spec):
        return problem_of(spec) if spec.argv else without_router(spec)
    launch = spec.routed.launch if spec.routed else None
    return problem_of(replace(launch, model=spec.model)) if launch else None


def without_router(spec: LaunchSpec) -> LoadFailed:
    """It cannot run here."""
    name = spec.routed.router if spec.routed else ""
    return LoadFailed(
        f"{spec.model}: no llama-server with a router mode for its router `{name}`; install a llama.cpp whose "
        f"`llama-server --help` lists `{SIGN}`, or give the model a `cmd` of its own"
    )
