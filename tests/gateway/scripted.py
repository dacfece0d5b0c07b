"""Processes and engines that do what a test says, and a gateway over them. `test_scripted.py` holds them to what the real ones do."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from corral.config.load import Source, load
from corral.errors import LoadFailed, UpstreamUnreachable
from corral.gateway.activity import books
from corral.gateway.conversations import Conversing
from corral.gateway.engine import Engine
from corral.gateway.exchange import Ledger
from corral.gateway.gateway import Gateway
from corral.gateway.inference import Inference
from corral.gateway.inforce import InForce
from corral.gateway.performance import Performance
from corral.gateway.reload import Reloader
from corral.gateway.routing import Routing
from corral.gateway.switching import Switcher
from corral.host.activity import Activity
from corral.host.conversations import Conversations
from corral.host.life import ProcessStatus
from corral.host.logs import Ring
from corral.host.peers import Peers
from corral.host.spool import Spool
from corral.host.storage import Storage
from corral.scheduler import rules
from corral.scheduler.events import Arrived, Departed
from corral.scheduler.machine import Machine

BOUND = 20.0
"""Seconds after which a test that waits has failed."""


class Logs(NamedTuple):
    """`ports.Logs`."""

    own: Ring
    models: Ring
    printed: Ring


class Processes:
    """`ports.Processes`. What is in `obedient` becomes ready and exits by itself; for the rest the test says when."""

    def __init__(self, models, connect=None):
        self.reports = None
        self.obedient = set(models)
        self.problems: dict[str, LoadFailed] = {}
        self.checking = asyncio.Event()
        self.checking.set()
        self.orders: list[tuple] = []
        self._connect = connect or (lambda model: Upstream())
        self._upstreams: dict[str, object] = {}
        self._running: dict[str, str] = {}
        self.output = Ring()
        self._logs = {model: Ring(into=self.output) for model in models}

    # --- ports.Processes ---

    async def check(self, model):
        await self.checking.wait()
        return self.problems.get(model)

    def adopt(self, specs):
        fresh = specs.keys() - self._logs.keys()
        self._logs |= {model: Ring(into=self.output) for model in fresh}
        self.obedient |= fresh

    def start(self, model):
        if model in self._running:
            return
        self.orders.append(("start", model))
        self._running[model] = "loading"
        if model in self.obedient:
            asyncio.get_running_loop().call_soon(self.ready, model)

    def stop(self, model, grace):
        if model not in self._running:
            return
        self.orders.append(("stop", model, grace))
        self._running[model] = "stopping"
        if model in self.obedient:
            asyncio.get_running_loop().call_soon(self.exit, model)

    def upstream(self, model):
        if model not in self._upstreams:
            raise UpstreamUnreachable(f"{model}: its process is gone; try again")
        return self._upstreams[model]

    def status(self, model):
        pid = 4000 + sorted(self._logs).index(model) if model in self._running else None
        return ProcessStatus(pid=pid, cmd=f"serve {model}", proxy=f"http://{model}", rss=pid and 1)

    def routers(self):
        return {}

    def log(self, model):
        return self._logs[model]

    # --- what a test says ---

    def ready(self, model):
        """It answers its health check, unless it has been told to stop by now."""
        if self._running.get(model) == "loading":
            self._running[model] = "ready"
            self._upstreams[model] = self._connect(model)
            self.reports.ready(model)

    def exit(self, model, reason=None):
        """It is gone: by itself, for a reason, or as it was told."""
        if model in self._running:
            asked = self._running.pop(model) == "stopping"
            self._upstreams.pop(model, None)
            reason = reason or LoadFailed(f"{model} exited with 1", exit_code=1, log_tail=["boom"])
            self.reports.exited(model, None if asked else reason)

    @property
    def running(self):
        return set(self._running)


class Upstream:
    """`ports.Upstream`: keeps what it was asked, answers `pieces` once `gate` is open."""

    def __init__(self, *pieces, status=200, headers=((b"content-type", b"application/json"),)):
        self.pieces, self.status, self.headers = pieces or (b"{}",), status, list(headers)
        self.asked: list = []
        self.bodies: list[bytes] = []
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def exchange(self, request, answer, *, connect, idle):
        self.asked.append(request)
        self.bodies.append(await whole(request.body))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        answer.head(self.status, list(self.headers), self)
        for piece in self.pieces:
            answer.body(piece)

    def pause(self):
        pass

    def resume(self):
        pass


async def whole(body):
    """A body's bytes; its size must be true."""
    if isinstance(body, bytes):
        return body
    content = b"".join([piece async for piece in body.chunks()])
    assert len(content) == body.size
    return content


class Clock:
    """Time that passes when the test says so."""

    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


class Witness(Machine):
    """The real scheduler; keeps every fact, and fails at those that `fails` picks."""

    def __init__(self, *args):
        super().__init__(*args)
        self.facts = []
        self.fails: Callable[[object], bool] = lambda fact: False

    def handle(self, fact, now):
        self.facts.append(fact)
        if self.fails(fact):
            raise RuntimeError("a defect")
        return super().handle(fact, now)

    def copy(self):
        """A rehearsal (`explain`) is no fact."""
        machine = super().copy()
        machine.facts = []
        return machine

    def of(self, kind):
        return [fact for fact in self.facts if isinstance(fact, kind)]


class Times:
    """`ports.LoadTimes`, of a machine that has never loaded anything."""

    def __init__(self):
        self.specs = {}

    def adopt(self, specs):
        self.specs = specs

    async def load(self):
        return {}


class House:
    """A gateway over scripted processes, on a clock of its own."""

    def __init__(
        self,
        text,
        *,
        connect=None,
        environment=None,
        folder=None,
        clock=None,
        database=None,
        probes=None,
    ):
        self.text = text
        """What a reload reads."""
        self.config = self._read()
        self.clock = clock or Clock()
        self.machine = Witness(
            rules.rules_from(self.config),
            rules.policy_from(self.config),
            rules.queue_from(self.config),
        )
        self.engine = Engine(self.machine, self.clock)
        self.processes = self.engine.processes = Processes(self.config.models, connect)
        self.processes.reports = self.engine
        self.journal = Ring()
        self.storage = Storage(database)
        ledger = Ledger()
        inforce = InForce(self.config)
        self.peers = Peers(self.config.peers, {})
        inforce.watch(lambda config: self.peers.adopt(config.peers))
        routing = Routing(inforce, self.peers, self.machine.state, lambda: self.engine.last_used)
        conversations = Conversing(inforce, Conversations(self.storage))
        self.gateway = Gateway(
            inforce=inforce,
            engine=self.engine,
            routing=routing,
            inference=Inference(inforce, self.engine, routing, self.peers, conversations),
            conversations=conversations,
            switcher=Switcher(inforce, self.engine, routing, probes),
            reloader=Reloader(inforce, self.engine, Times(), self._read),
            ledger=ledger,
            activity=books(inforce, ledger, Activity(self.storage)),
            logs=Logs(self.journal, self.processes.output, self.journal),
            performance=probes and Performance(inforce, probes),
            spool=lambda: Spool(self.config.max_body, folder),
            environment=environment or {},
        )

    def _read(self):
        return load([Source("config.yaml", self.text)], {})

    async def reload(self, text):
        """The configuration is this text from now on; what that changed."""
        self.text = text
        changed = await self.gateway.reloader.reload()
        self.config = self.gateway.config
        return changed

    def obey(self, *models):
        """Only these processes do as they are told at once."""
        self.processes.obedient = set(models)

    async def use(self, model, until=None):
        """Use a model until the event; its lease."""
        async with self.engine.lease(model) as lease:
            if until:
                await until.wait()
        return lease

    @contextlib.asynccontextmanager
    async def using(self, model):
        """The model is in use by somebody else while the block lasts."""
        done = asyncio.Event()
        task = asyncio.create_task(self.use(model, done), name=f"use of {model}")
        before = self.machine.in_flight(model)
        await self.until(lambda: self.machine.in_flight(model) > before or task.done())
        try:
            yield task
        finally:
            done.set()
            await asyncio.wait([task])

    @property
    def switcher(self):
        return self.gateway.switcher

    @property
    def active(self):
        """The active model."""
        return self.gateway.routing.active_model

    @property
    def done(self):
        """What the processes were told, without the seconds."""
        return [order[:2] for order in self.processes.orders]

    def heard(self):
        """What is told of switches from now on."""
        return Heard(self)

    async def begin(self, work):
        """Start `work` and let it run up to its first wait; its task."""
        task = asyncio.create_task(work, name="begun by the test")
        await asyncio.sleep(0)
        return task

    async def loading(self, model):
        """Until its process has been started."""
        await self.until(lambda: model in self.processes.running)

    async def until(self, holds):
        async with asyncio.timeout(BOUND):
            while not holds():  # noqa: ASYNC110 - the scripted world moves with every turn of the loop
                await asyncio.sleep(0)

    async def leave(self):
        """End everything; then every arrival must have departed, once."""
        self.processes.obedient = self.processes.running | set(self.config.models)
        for model in list(self.processes.running):
            self.processes.stop(model, 0)
        await self.until(lambda: not self.processes.running and not self.engine._leases)
        arrived = Counter(fact.request for fact in self.machine.of(Arrived))
        assert Counter(fact.request for fact in self.machine.of(Departed)) == arrived
        assert set(arrived.values()) <= {1}
        assert self.engine._mail == type(self.engine._mail)()


class Heard:
    """What is told of switches."""

    def __init__(self, house):
        self.told = []
        house.switcher.listeners.append(self)

    def __call__(self, told):
        self.told.append(told)

    def words(self):
        return [
            ("failed", one.model)
            if one.error
            else ("began" if one.seconds is None else "done", one.model)
            for one in self.told
        ]


@contextlib.asynccontextmanager
async def open_house(text, **options):
    house = House(text, **options)
    async with house.storage, house.peers:
        yield house
        await house.leave()
        house.gateway.activity.close()


def alone(*models, more=""):
    """Models of which one runs at a time. A model is a name, or a name with its keys: `"a: {parallel: 1}"`."""
    lines = []
    for model in models:
        name, _, keys = model.partition(": ")
        inner = keys[1:-1]
        lines.append(
            f"  {name}: {{cmd: serve {name}, proxy: 'http://127.0.0.1:1'{inner and ', '}{inner}}}"
        )
    return "models:\n" + "\n".join(lines) + "\n" + more


def together(*models, more=""):
    """Models that run side by side."""
    names = ", ".join(model.partition(": ")[0] for model in models)
    return alone(*models, more=f"groups: {{all: {{swap: false, members: [{names}]}}}}\n{more}")
