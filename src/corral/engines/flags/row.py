"""What a row of the flag table holds."""

from __future__ import annotations

from dataclasses import dataclass

from corral.engines.flags.kinds import TEXT, Kind


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of llama-server.

    `names` are its spellings, separated by blanks, and `off` those that say no. `to` are the fields of `CommonParams` it sets,
    as dotted paths; a flag without any is llama-server's but out of the wheel's reach. `value` is what a flag without an
    argument stands for, `also` what it sets besides. `env` are its variables, of which the first that is set counts. `mark` names the sampling setting that the user is then taken to have
    chosen, which a model's own recommendation must not override.
    """

    names: str
    help: str
    to: str = ""
    kind: Kind = TEXT
    env: str = ""
    off: str = ""
    value: object = True
    also: tuple[tuple[str, object], ...] = ()
    mark: str = ""

    @property
    def name(self) -> str:
        """The spelling for people: the last of the long ones."""
        return self.names.split()[-1]

    @property
    def reaches(self) -> bool:
        """Whether the wheel can do what this flag asks for."""
        return bool(self.to or self.also or self.kind.action)

    @property
    def env_off(self) -> str:
        """The variable that says no by being there; empty for a flag that cannot say no."""
        return self.env.replace("LLAMA_ARG_", "LLAMA_ARG_NO_") if self.off else ""
