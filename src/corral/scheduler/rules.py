"""What the configuration says, as the machine reads it."""

from __future__ import annotations

from corral.config.changes import Changes
from corral.config.model import Config
from corral.scheduler.events import Reloaded
from corral.scheduler.groups import GroupRules, Groups
from corral.scheduler.machine import Machine
from corral.scheduler.matrix import MatrixPolicy
from corral.scheduler.policy import Policy
from corral.scheduler.queues import QueueRules
from corral.scheduler.residency import ModelRules


def machine_for(config: Config) -> Machine:
    """A machine that has seen nothing yet."""
    return Machine(rules_from(config), policy_from(config), queue_from(config))


def reloaded(config: Config, changes: Changes) -> Reloaded:
    """The fact that `config` has taken the place of another one, which it differs from by `changes`."""
    return Reloaded(
        rules_from(config),
        policy_from(config),
        queue_from(config),
        frozenset(changes.restarted),
        frozenset(changes.rechecked),
    )


def rules_from(config: Config) -> dict[str, ModelRules]:
    """Every model's rules, in the order of the configuration."""
    together = _together(config)
    learned = config.matrix.learned if config.matrix is not None else ()
    return {
        name: ModelRules(
            ttl=model.ttl,
            parallel=model.parallel,
            concurrency_limit=model.concurrency_limit,
            unload_timeout=model.unload_timeout,
            persist=model.persist,
            backoff=model.restart.backoff,
            together=together.get(name, ()),
            learns=name in learned,
        )
        for name, model in config.models.items()
    }


def policy_from(config: Config) -> Policy:
    """The matrix when there is one, else the groups."""
    persist = [name for name, model in config.models.items() if model.persist]
    if config.matrix is not None:
        return MatrixPolicy(config.models, config.matrix, persist)
    groups = [
        GroupRules(name, g.members, g.swap, g.exclusive, g.persistent, g.load_together)
        for name, g in config.groups.items()
    ]
    return Groups(config.models, groups, persist)


def queue_from(config: Config) -> QueueRules:
    settings = config.scheduling
    return QueueRules(
        use=settings.use,
        priority=settings.priority,
        max_wait=settings.max_wait,
        queue_timeout=settings.queue_timeout,
        max_queue=settings.max_queue,
        min_residency=settings.min_residency,
    )


def _together(config: Config) -> dict[str, tuple[str, ...]]:
    groups = [] if config.matrix is not None else config.groups.values()
    return {
        member: tuple(m for m in group.members if m != member)
        for group in groups
        if group.load_together
        for member in group.members
    }
