"""Every schedule there is, to a depth: all that may happen is tried in every state, and no state twice.

1. A *move* is one thing that happens to a `World`: a request comes or leaves, a check is answered, a load ends or fails, a process
   crashes or is gone at last, a second passes, the alarm rings, someone unloads or shuts down. A slow stop, a slow load and a long
   answer are moves that come late.
2. Two worlds are one state when nothing that may still happen can tell them apart. `state` says so on the safe side: of what the
   machine knows, it leaves out only what is listed here (what is for people, and what was worked out from the rest), keeps of a
   time how long ago it was, and of a request its place. What a machine of tomorrow knows besides is taken as it stands: the walk gets
   longer then, never less thorough.
3. From every state everybody may begin to behave: whoever waits is served or refused, and nothing stays busy.
4. In every state all has been done that can be: a second look at the same moment brings no order.
"""

from __future__ import annotations

import io
import pickle
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from corral.errors import LoadFailed
from corral.scheduler.events import Ticked, Wake
from corral.scheduler.groups import Groups
from corral.scheduler.machine import ModelRules, QueueRules
from corral.scheduler.matrix import MatrixPolicy
from corral.scheduler.policy import Verdict
from corral.scheduler.queues import Waiter
from corral.scheduler.residency import Resident, State

from .settings import Setting
from .world import World

Move = tuple[str, object]
"""What happens, and to whom: ("arrive", "a"), ("pass", 1)."""

Path = tuple[Move, ...]
Level = list[tuple[bytes, Path]]

HORIZON = 6.0
"""Seconds. No rule of any setting looks further back or ahead, so longer ago is the same as this long ago."""


@dataclass(slots=True)
class Walk:
    """What was seen."""

    states: int = 0
    moves: int = 0
    depth: int = 0
    complete: bool = False
    """There is nothing beyond: these are all the states there are."""


class LawBroken(Exception):  # noqa: N818 - what it says, in a test
    """With the shortest way there, move by move."""

    def __init__(self, setting: Setting, path: Path, why: AssertionError) -> None:
        super().__init__(f"{why}\n{setting}: {path}\n" + "\n".join(story_of(setting, path)))
        self.path = path


def explore(
    setting: Setting, requests: int, depth: int, *, people: bool = False, start: Path = ()
) -> Walk:
    """Walk every schedule of `depth` moves and at most `requests` requests, breadth first."""
    return _Explorer(setting, requests, people=people, start=start).walk(depth)


def story_of(setting: Setting, path: Path) -> list[str]:
    """The facts and orders of a path, as far as it goes."""
    story: list[str] = []
    world = World(setting, story)
    try:
        for move in path:
            make(world, move)
        while world.behave():
            pass
    except AssertionError as error:
        story.append(f"*** {error}")
    return story


def make(world: World, move: Move) -> None:
    name, whom = move
    MOVES[name](world, whom)


MOVES: dict[str, Callable[[World, object], object]] = {
    "arrive": World.arrive,
    "insist": lambda world, model: world.arrive(model, explicit=True),
    "leave": World.leave,
    "clean": World.answer,
    "unclean": lambda world, model: world.answer(model, fine=False),
    "ready": World.ready,
    "exit": World.exit,
    "pass": World.pass_time,
    "ring": lambda world, _: world.ring(),
    "unload": World.unload,
    "kill": lambda world, model: world.unload(model, force=True),
    "close": lambda world, _: world.close(),
    "close now": lambda world, _: world.close_now(),
}


def moves(world: World, requests: int, *, people: bool) -> Iterator[Move]:
    """All that may happen next. Of requests served by one model one stands for all."""
    if world.number < requests:
        yield from (("arrive", model) for model in world.setting.models)
    for request in world.waiting:
        yield "leave", request
    for request in {m: r for r, m in world.serving.items()}.values():
        yield "leave", request
    for model in world.checking:
        yield "clean", model
        yield "unclean", model
    for model, doing in world.process.items():
        if doing == "loading":
            yield "ready", model
        yield "exit", model
    if world.alarm is None or world.alarm > world.now:
        yield "pass", 1.0
    else:
        yield "ring", None
    if people:
        yield from _what_people_do(world, requests)


def _what_people_do(world: World, requests: int) -> Iterator[Move]:
    for model in world.process:
        yield "unload", model
        yield "kill", model
    if world.number < requests:
        yield from (("insist", m) for m, at in world.retry_at.items() if at > world.now)
    if not world.closing:
        yield "close", None
    elif not world.closed:
        yield "close now", None


class _Explorer:
    def __init__(self, setting: Setting, requests: int, *, people: bool, start: Path) -> None:
        self._setting = setting
        self._requests = requests
        self._people = people
        self._start = start
        self._seen: set[int] = set()
        self._ended: set[int] = set()
        self._shelf = Shelf()
        self._found = Walk()

    def walk(self, depth: int) -> Walk:
        world = World(self._setting)
        for move in self._start:
            make(world, move)
        level: Level = [(self._shelf.put(world), self._start)]
        self._seen.add(hash(state(world)))
        while level and self._found.depth < depth:
            self._found.depth += 1
            before = len(self._seen)
            level = list(self._next(level, last=self._found.depth == depth))
            self._found.complete = len(self._seen) == before
        self._found.states = len(self._seen)
        return self._found

    def _next(self, level: Level, *, last: bool) -> Iterator[tuple[bytes, Path]]:
        for snapshot, path in level:
            here = self._shelf.take(snapshot)
            for move in list(moves(here, self._requests, people=self._people)):
                world = self._shelf.take(snapshot)
                way = (*path, move)
                try:
                    make(world, move)
                except AssertionError as error:
                    raise LawBroken(self._setting, way, error) from error
                self._found.moves += 1
                known = hash(state(world))
                if known not in self._seen:
                    self._seen.add(known)
                    snapshot_here = self._shelf.put(world)
                    self._look_again(snapshot_here, way)
                    self._end(world, known, way)
                    if not last:
                        yield snapshot_here, way

    def _look_again(self, snapshot: bytes, path: Path) -> None:
        """Law 4 of this file."""
        world = self._shelf.take(snapshot)
        if world.alarm is None or world.alarm > world.now:
            orders = world.machine.handle(Ticked(), world.now)
            if any(not isinstance(order, Wake) for order in orders):
                error = AssertionError(f"not all was done that could be: {orders}")
                raise LawBroken(self._setting, path, error)

    def _end(self, world: World, known: int, path: Path) -> None:
        """Law 3 of this file. Ways that meet go on together; one that meets itself goes round for ever."""
        steps: set[int] = set()
        try:
            while known not in self._ended:
                assert known not in steps, "law 1: busy for ever, and nobody is served"
                steps.add(known)
                if not world.behave():
                    assert not world.waiting, "law 1: left hanging"
                    assert not world.closing or not world.process, "a process outlives the end"
                    break
                known = hash(state(world))
        except AssertionError as error:
            raise LawBroken(self._setting, path, error) from error
        self._ended |= steps


# --- states ------------------------------------------------------------------------------------------------------------


class Shelf:
    """Worlds put away and taken out again. What never changes (the setting, the errors, the policy's answers) is not copied."""

    def __init__(self) -> None:
        self._fixed: list[object] = []
        self._places: dict[int, int] = {}
        self._table = dict.fromkeys(FIXED, self._place)
        _shelves.append(self._fixed)
        self._number = len(_shelves) - 1

    def put(self, world: World) -> bytes:
        world.machine._floor.orders = []  # carried out already
        world._fact = None
        file = io.BytesIO()
        pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
        pickler.dispatch_table = self._table
        pickler.dump(world)
        return file.getvalue()

    take = staticmethod(pickle.loads)

    def _place(self, value: object) -> tuple[object, ...]:
        place = self._places.get(id(value))
        if place is None:
            place = self._places[id(value)] = len(self._fixed)
            self._fixed.append(value)
        return _fixed, (self._number, place)


FIXED = (Setting, ModelRules, QueueRules, Groups, MatrixPolicy, Verdict, LoadFailed)
_shelves: list[list[object]] = []


def _fixed(shelf: int, place: int) -> object:
    return _shelves[shelf][place]


def state(world: World) -> Hashable:
    """What distinguishes this world from others, as far as it can matter."""
    machine, now = world.machine, world.now
    floor, queue = machine._floor, world.setting.queue
    clock, fresh = queue.queue_timeout, queue.min_residency
    patience = min(world.setting.max_wait, HORIZON)
    came = [w.since for w in world.waiting.values()]
    lines = [list(m.line) for m in floor.models.values()]
    wanted = [m.wanted for m in floor.models.values() if m.wanted]
    number = _places([w.number for line in lines for w in line] + [w.number for w in wanted])
    request = _places(world.waiting)
    return (
        tuple(
            (
                m.state,
                m.checked,
                len(m.served),
                _left(now, m.gone_by),
                m.failure is not None and _left(now, m.retry_at),
                m.wanted and (request(m.wanted.request), number(m.wanted.number)),
                m.state is State.LOADING and clock and _left(now, m.since + HORIZON),
                m.state is State.READY and m.rules.ttl and _left(now, m.idle_since + m.rules.ttl),
                m.state is State.READY and fresh and _left(now, (m.ready_since or 0.0) + fresh),
                m.state in IN_USE and (number(m.turn_first), number(m.turn_last)),
                tuple(
                    (
                        request(w.request),
                        number(w.number),
                        _left(now, w.arrived + patience),
                        bisect_right(came, w.arrived - patience),
                        clock and _left(now, w.arrived + clock + m._loaded_for - w.loading),
                        _rest(w, WAITER, number),
                    )
                    for w in line
                ),
                _rest(m, RESIDENT, number),
                _rest(m.line, LINE, number),
            )
            for m, line in zip(floor.models.values(), lines, strict=True)
        ),
        (tuple(floor.wanting), tuple(floor.others)) if wanted else None,
        frozenset((name, number(w.number)) for name, w in floor.held.items()),
        frozenset((n, _left(now, at)) for n, at in floor.agenda._booked.items()),
        _rest(floor, FLOOR, number),
        _rest(machine, MACHINE, number),
        (world.number, world.closing, world.closed, _left(now, world.alarm)),
        frozenset(world.checking),
        frozenset(world.clean),
        frozenset((m, _left(now, at)) for m, at in world.gone_by.items()),
        frozenset((m, _left(now, at)) for m, at in world.retry_at.items() if at > now),
        frozenset(
            (m, request(turn[0]), *(request(r) for r in turn if r in world.waiting))
            for m, turn in world.turn.items()
            if turn
        ),
        tuple(frozenset(w.turns) for w in world.waiting.values()),
    )


IN_USE = (State.READY, State.DRAINING)

# What `state` has looked at, and what it leaves out. For people only: since, ready_since (but for `minResidency`), load_seconds,
# usual_load (but for learned costs, which no setting has), serve_seconds, explicit, outlook. Worked out again from the rest: judged_for,
# verdict, residents, waiting, serving, others, board, listed, turns, head, oldest. The same in all states of one walk: the rules.
# `failures` picks a back-off, of which the settings have one.
WAITER = frozenset({"request", "number", "arrived", "loading", "caller", "explicit"})
RESIDENT = frozenset(
    {"model", "rules", "priority", "state", "since", "ready_since", "idle_since", "served", "line"}
    | {"wanted", "checked", "gone_by", "turn_first", "turn_last", "failure", "failures"}
    | {"retry_at", "load_seconds", "usual_load", "serve_seconds", "judged_for", "verdict"}
    | {"listed", "_loaded_for"}
)
LINE = frozenset({"_waiters", "head", "oldest"})
FLOOR = frozenset(
    {"models", "policy", "queue", "residents", "wanting", "board", "others", "draining", "waiting"}
    | {"serving", "held", "agenda", "orders", "touched", "turns", "outlook", "closing"}
    | {"_arrivals"}
)
MACHINE = frozenset({"_floor", "_now", "_alarm"})


def _places(alive: Iterable[int]) -> Callable[[int], int]:
    """Numbers grow, and only who is older matters: the place of any number among those alive."""
    known = sorted(set(alive))
    return lambda number: 2 * bisect_left(known, number) + (number in known)


def _left(now: float, at: float | None) -> float | None:
    """Seconds until then; however long ago it was, it is over."""
    return None if at is None else max(0.0, at - now)


def _rest(thing: object, known: frozenset[str], number: Callable[[int], int]) -> Hashable:
    """What it knows besides."""
    names = _names(type(thing)) or thing.__dict__.keys()
    if names <= known:
        return None
    return tuple((n, _frozen(getattr(thing, n), number)) for n in sorted(names - known))


@cache
def _names(kind: type) -> frozenset[str]:
    return frozenset(name for base in kind.__mro__ for name in getattr(base, "__slots__", ()))


def _frozen(value: object, number: Callable[[int], int]) -> Hashable:
    match value:
        case Waiter():
            return number(value.number)
        case Resident():
            return value.model
        case dict():  # by request: only the order counts
            named = ((k if isinstance(k, str) else None, v) for k, v in value.items())
            return tuple((name, _frozen(v, number)) for name, v in named)
        case list() | tuple() | deque():
            return tuple(_frozen(v, number) for v in value)
        case set() | frozenset():
            return frozenset(value)
        case None | str() | int() | float():
            return value
        case _:
            return _rest(value, frozenset(), number)
