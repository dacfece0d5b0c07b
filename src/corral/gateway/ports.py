"""What the gateway needs from the machine it runs on, said as Protocols. `host` happens to fit; `app.py` introduces them."""

from __future__ import annotations

from asyncio import Transport
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from corral.config.command import LaunchSpec
from corral.dialects.activity import Row, Stats, Wanted
from corral.errors import LoadFailed
from corral.wire import headers

Headers = headers.Headers


class Body(Protocol):
    """A request's body, in memory or in a temporary file."""

    @property
    def size(self) -> int: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, from the start, every time it is called (a retry on a fresh connection reads it again)."""
        ...


class Spool(Body, Protocol):
    """A body on disk: fed piece by piece, then read; whoever has it closes it."""

    async def feed(self, chunk: bytes) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request for an engine. `target` is the path with its query, percent-encoding kept; `headers` hold no hop-by-hop ones and no length."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes | Body


class Flow(Protocol):
    """The tap on an engine's answer: paused while the client is slow."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Answer(Protocol):
    """Where an engine's answer goes, piece by piece, called from the connection's read callback: it must not block."""

    def head(self, status: int, headers: Headers, flow: Flow) -> None: ...

    def body(self, chunk: bytes) -> None: ...


class Switched(Protocol):
    """A connection on which an engine speaks another protocol from now on. It is not read until somebody takes it over."""

    @property
    def headers(self) -> Headers:
        """Of its 101."""
        ...

    @property
    def early(self) -> bytes:
        """What came behind them."""
        ...

    @property
    def transport(self) -> Transport: ...


class Upstream(Protocol):
    """One engine's address with its keep-alive connections."""

    async def exchange(
        self, request: Outgoing, answer: Answer, *, connect: float, idle: float
    ) -> None:
        """Send the request, hand over the answer as it comes, return when it is complete.

        `connect` and `idle` are seconds (`idle`: without a byte in either direction). Raises UpstreamUnreachable, UpstreamInvalid or
        UpstreamTimeout, before or after `answer.head`. Cancelling it closes the connection, which is how an engine learns that its client left.
        """
        ...

    def upgrade(
        self, request: Outgoing, answer: Answer, *, connect: float, idle: float
    ) -> AbstractAsyncContextManager[Switched | None]:
        """As `exchange`, for a request that asks for another protocol, on a connection of its own that ends with the block.

        Inside, the engine has switched; or, with None, it has not, and its answer was handed over as by `exchange`.
        """
        ...


class Reports(Protocol):
    """What the machine tells the gateway about processes. Called on the event loop."""

    def ready(self, model: str) -> None: ...

    def exited(self, model: str, reason: LoadFailed | None) -> None:
        """`reason` is None only for a process that was asked to stop."""
        ...


class ProcessStatus(Protocol):
    """A running process, else the last one, else what would run; for people."""

    @property
    def pid(self) -> int | None: ...

    @property
    def port(self) -> int | None: ...

    @property
    def cmd(self) -> str: ...

    @property
    def proxy(self) -> str: ...

    @property
    def shipped(self) -> bool:
        """The shipped engine stands in for a `llama-server` that is not there."""
        ...

    @property
    def rss(self) -> int | None:
        """Bytes of memory that it holds now."""
        ...


class Processes(Protocol):
    """At most one process per model."""

    async def check(self, model: str) -> LoadFailed | None:
        """Why this model could not start on this machine now (program or model file missing), or None."""
        ...

    def adopt(self, specs: Mapping[str, LaunchSpec]) -> None:
        """From now on these are the models, launched like this. What runs is left alone."""
        ...

    def start(self, model: str) -> None:
        """Launch; report `ready` or `exited`. Returns at once."""
        ...

    def stop(self, model: str, grace: float) -> None:
        """Terminate, kill after `grace` seconds; report `exited`. Returns at once; also while starting."""
        ...

    def upstream(self, model: str) -> Upstream:
        """Where a model that was reported ready answers."""
        ...

    def status(self, model: str) -> ProcessStatus: ...

    def routers(self) -> Mapping[str, bool]:
        """Every llama-server in router mode, and whether it answers."""
        ...

    def log(self, model: str) -> Log: ...


class LoadTimes(Protocol):
    """What is kept, across restarts, of how long each model takes to load as it is launched now."""

    def adopt(self, specs: Mapping[str, LaunchSpec]) -> None:
        """From now on the models are launched like this."""
        ...

    async def load(self) -> dict[str, float]:
        """Seconds by model; a model that is not in it has never been loaded."""
        ...

    def remember(self, model: str, seconds: float) -> None:
        """Keep this as the time that `model` takes. Returns at once."""
        ...


class Activities(Protocol):
    """The table of requests. A row is what `dialects.activity.FIELDS` says; read, it begins with its id."""

    def write(self, rows: Sequence[Row], in_memory: int) -> Future[int | str]:
        """Add rows: the first one's id, those of the others follow it; or why they cannot be written for now.

        `in_memory` is how many are kept where there is no file. Returns at once; the answer comes in another thread.
        """
        ...

    async def page(self, wanted: Wanted) -> tuple[int, Sequence[Row]] | None:
        """How many rows there are, and one page of them. None when the database does not answer."""
        ...

    async def stats(self, model: str) -> Stats | None:
        """Totals of one model's rows, of all with an empty name. None when the database does not answer."""
        ...


class Log(Protocol):
    """A bounded ring of a process's (or corral's own) output."""

    def history(self) -> bytes: ...

    def tail(self, lines: int) -> Sequence[str]: ...

    def follow(self) -> AsyncIterator[bytes]:
        """What comes from now on; ends when the ring is closed. A slow reader loses the oldest pieces and is told how many bytes."""
        ...

    def close(self) -> None:
        """Keep the history, end every follower."""
        ...


class Logs(Protocol):
    """`own` is corral's log, `models` what all their processes print, `printed` what of both goes to stdout."""

    @property
    def own(self) -> Log: ...
    @property
    def models(self) -> Log: ...
    @property
    def printed(self) -> Log: ...


class Peers(Protocol):
    """The other machines of the configuration."""

    def upstream(self, peer: str) -> Upstream:
        """Where a peer answers."""
        ...

    def available(self, peer: str) -> bool:
        """False for a while after it could not be reached."""
        ...


class Machine(Protocol):
    """This machine's load. Bytes; `cores` in percent busy since the last reading; `load` over 1, 5 and 15 minutes."""

    @property
    def cores(self) -> Sequence[float]: ...
    @property
    def memory_total(self) -> int: ...
    @property
    def memory_used(self) -> int: ...
    @property
    def memory_free(self) -> int: ...
    @property
    def swap_total(self) -> int: ...
    @property
    def swap_used(self) -> int: ...
    @property
    def load(self) -> tuple[float, float, float]: ...
    @property
    def network(self) -> Sequence[tuple[str, int, int]]:
        """(interface, bytes received, bytes sent) since the system started."""
        ...


class Gpu(Protocol):
    """A graphics card: degrees Celsius, percent, bytes, watts. What it does not say is None."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def uuid(self) -> str: ...
    @property
    def temperature(self) -> float | None: ...
    @property
    def memory_temperature(self) -> float | None: ...
    @property
    def busy(self) -> float | None: ...
    @property
    def memory_used(self) -> int | None: ...
    @property
    def memory_total(self) -> int | None: ...
    @property
    def fan(self) -> float | None: ...
    @property
    def power(self) -> float | None: ...


class Sample(Protocol):
    """`machine` is None when it could not be read."""

    @property
    def machine(self) -> Machine | None: ...
    @property
    def cards(self) -> Sequence[Gpu]: ...


class Held(Protocol):
    """What a process group holds: bytes of main memory, and bytes by card."""

    @property
    def memory(self) -> int: ...
    @property
    def cards(self) -> Mapping[int, int]: ...


class Probes(Protocol):
    """The measuring instruments of this machine. Each answer comes within seconds, whatever hangs; what did not come is left out."""

    async def sample(self) -> Sample:
        """The load now: of the processor, since the last time this was asked."""
        ...

    async def cards(self) -> Sequence[Gpu]:
        """The cards alone; none when they do not answer."""
        ...

    async def memory(self, leaders: Collection[int]) -> Mapping[int, Held]:
        """What the process groups of these leaders hold; those that are gone are not in it."""
        ...

    async def hardware(self) -> Mapping[str, object] | None:
        """What this machine is, ready for JSON; None when nothing can be said."""
        ...
