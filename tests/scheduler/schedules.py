"""Random schedules on virtual time: everything takes as long as it likes, up to a known longest time, and things go wrong.

1. A schedule is its number: the same number, the same story. Nothing is recorded; a failure is told by running it again.
2. In the end nobody may be left: every request has been served, refused with a reason, or has left.
3. At every moment all has been done that can be: a copy that is asked to look again has nothing to order.
4. Law 5 in seconds. When a request has waited `maxWait`, what it may still have to wait for is added up from what is then there (see
   `Schedule.allowance`); it is served or refused within that. What goes wrong in between (a crash, a failed load, an unload, a
   client that leaves while the load for it goes on) may cost one turn more each.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from functools import cache
from itertools import count
from random import Random

from corral.scheduler.events import Admit, Check, Start, Stop, Ticked, Wake

from .settings import (
    FAIR,
    FAVOURING_C,
    FIFO,
    FRESH,
    IMPATIENT,
    POLICIES,
    SHORT,
    TTL,
    Setting,
    setting,
)
from .world import World

PATIENCE = 5_000
"""Things that happen in one schedule; a long one has a few hundred."""

RULES: tuple[dict[str, object], ...] = (
    {},
    {},
    {"parallel": 1},
    {"parallel": 2, "concurrency_limit": 4},
    {"ttl": TTL},
    {"ttl": TTL, "parallel": 1},
)


@cache
def settings() -> tuple[Setting, ...]:
    """Every policy with every queue, under rules that differ."""
    queues = (FAIR, FAIR, FRESH, FAVOURING_C, IMPATIENT, SHORT, FIFO)
    made = [
        setting(policy, queue, persist="c" if n % 4 == 3 else "", **RULES[n % len(RULES)])
        for n, (policy, queue) in enumerate((p, q) for q in queues for p in POLICIES)
    ]
    made += [setting(policy, FAIR, "abcd") for policy in ("alone", "one-way", "pair", "together")]
    made += [
        setting(policy, q, learns=True) for policy in ("matrix", "pairs") for q in (FAIR, FRESH)
    ]
    return tuple(made)


@dataclass(slots=True)
class Longest:
    """The longest that anything takes in one schedule, in seconds."""

    check: int
    load: int
    serve: int
    stop: int

    @property
    def turn(self) -> int:
        return self.check + self.load + self.serve + self.stop


@dataclass(slots=True)
class Tally:
    """What came of it."""

    schedules: int = 0
    requests: int = 0
    aged: int = 0
    """Requests that waited longer than `maxWait`, and were held against the bound."""
    closest: float = 0.0
    """The largest part of what was allowed that any of them took."""


def run(numbers: range, tally: Tally | None = None) -> Tally:
    """Run these schedules. A broken law is an `AssertionError` whose note tells the story."""
    tally = tally or Tally()
    for number in numbers:
        try:
            Schedule(number, tally).run()
        except AssertionError as error:
            error.add_note("\n".join(story_of(number)))
            raise
    return tally


def story_of(number: int) -> list[str]:
    schedule = Schedule(number, Tally(), [])
    story = [f"schedule {number}: {schedule.world.setting}, {schedule.longest}"]
    try:
        schedule.run()
    except AssertionError as error:
        story += [*(schedule.world.story or []), f"*** {error}"]
    return story


class Schedule:
    """One of them: a world, and a calendar of what happens in it."""

    def __init__(self, number: int, tally: Tally, story: list[str] | None = None) -> None:
        self.dice = dice = Random(number)
        self.tally = tally
        self.world = _Reporting(dice.choice(settings()), story)
        slow = dice.choice((1, 1, 1, 6))
        self.longest = Longest(dice.randint(0, 1), dice.randint(1, 4), dice.randint(1, 4), slow)
        self.callers = dice.choice(("x", "xy", "xxxxyz"))
        self.faults = dice.choice((0.0, 0.0, 0.1, 0.3))
        self._numbers = count()
        self._calendar: list[tuple[float, float, int, str, object]] = []
        self._bounds: dict[int, tuple[float, float]] = {}
        """By waiting request: when it had waited `maxWait`, and by when it must be over."""
        self._book_arrivals()

    def run(self) -> None:
        world, calendar = self.world, self._calendar
        for _ in range(PATIENCE):
            if not calendar and world.alarm is None:
                break
            if self._is_alarm_next():
                world.now = max(world.now, world.alarm)
                world.ring()
            else:
                at, _, _, name, whom = heapq.heappop(calendar)
                world.now = max(world.now, at)
                getattr(self, "_" + name)(whom)
            self._carry_out()
            world.has_nothing_left_to_do()
        else:
            raise AssertionError("law 1: busy for ever")
        assert not world.waiting, f"law 1: left hanging: {world.waiting}"
        assert not world.serving
        assert not world.checking
        assert set(world.process.values()) <= {"ready"}
        assert not world.closing or not world.process
        self.tally.schedules += 1
        self.tally.requests += world.number

    # --- what happens --------------------------------------------------------------------------------------------------

    def _book_arrivals(self) -> None:
        dice, names = self.dice, list(self.world.setting.models)
        pattern = dice.choice(("burst", "spread", "stream", "ping-pong"))
        at = 0.0
        for n in range(dice.randint(2, 12) if pattern != "stream" else dice.randint(8, 20)):
            model = dice.choice(names)
            if pattern == "stream":
                at += 1
                model = model if dice.random() < 0.2 else names[0]
            elif pattern == "ping-pong":
                at += dice.randint(0, 2)
                model = names[n % len(names)]
            elif pattern == "spread":
                at += dice.randint(0, 6)
            self._book(at, "arrive", model)
        if self.faults:
            for _ in range(dice.randint(0, 2)):
                self._book(dice.randint(0, int(at) + 20), "misfortune", dice.choice(names))

    def _book(self, at: float, name: str, whom: object) -> None:
        """Things of one moment happen in any order."""
        entry = (at, self.dice.random(), next(self._numbers), name, whom)
        heapq.heappush(self._calendar, entry)

    def _after(self, longest: int, name: str, whom: object) -> None:
        often_longest = self.dice.choice((longest, self.dice.randint(0, longest)))
        self._book(self.world.now + often_longest, name, whom)

    def _arrive(self, model: str) -> None:
        how = self.dice.random()
        explicit, urgent = how < 0.1, how < 0.05
        caller = self.dice.choice(self.callers)
        request = self.world.arrive(model, caller, explicit=explicit, urgent=urgent)
        if request in self.world.waiting and (urgent or self.world.setting.max_wait < math.inf):
            self._book(self.world.ages_at(request), "age", request)
        if self.dice.random() < self.faults:
            self._after(12, "cancel", request)

    def _cancel(self, request: int) -> None:
        waited = request in self.world.waiting
        if waited or request in self.world.serving:
            self.world.leave(request)
            self._upset(waited)  # a load for it alone was in vain

    def _depart(self, request: int) -> None:
        if request in self.world.serving or request in self.world.lost:
            self.world.leave(request)

    def _age(self, request: int) -> None:
        if request in self.world.waiting:
            self._count(request)
            self.tally.aged += 1

    def _count(self, request: int) -> None:
        now = self.world.now
        self._bounds[request] = (now, now + self.allowance(request))

    def _answer(self, model: str) -> None:
        fine = self.dice.random() >= self.faults / 3
        self.world.answer(model, fine=fine)
        self._upset(not fine)

    def _loaded(self, what: tuple[str, int]) -> None:
        model, start = what
        doing = self.world.process.get(model)
        if self.world.starts[model] != start or doing not in ("loading", "stopping"):
            return  # that process is gone
        if doing == "stopping":
            self.world.report_late(model)
        elif self.dice.random() >= self.faults / 2:
            self.world.ready(model)
        else:
            self.world.exit(model)
            self._upset(happened=True)

    def _gone(self, what: tuple[str, int]) -> None:
        model, start = what
        if self.world.starts.get(model) != start or model not in self.world.process:
            return
        self.world.exit(model)
        for request in self._bounds.keys() & self.world.line(model):
            self._count(request)  # law 5 begins when its own model is gone

    def _misfortune(self, model: str) -> None:
        world, what = self.world, self.dice.choice(("crash", "crash", "unload", "kill", "close"))
        if what == "crash" and model in world.process:
            world.exit(model)
        elif what in ("unload", "kill"):
            world.unload(model, force=what == "kill")
        elif what == "close" and self.dice.random() < 0.3:
            world.close()
            self._book(world.now + self.dice.randint(0, 9), "close_now", None)
        self._upset(happened=True)

    def _close_now(self, _: object) -> None:
        self.world.close_now()

    def _is_alarm_next(self) -> bool:
        """In its time; among what happens in that moment, anywhere."""
        alarm = self.world.alarm
        if alarm is None or not self._calendar:
            return alarm is not None
        first = self._calendar[0][0]
        return alarm < first or (alarm == first and self.dice.random() < 0.5)

    def _carry_out(self) -> None:
        world, longest = self.world, self.longest
        for order in world.take_orders():
            match order:
                case Check(model):
                    self._after(longest.check, "answer", model)
                case Start(model):
                    self._after(longest.load, "loaded", (model, world.starts[model]))
                case Stop(model):
                    self._after(longest.stop, "gone", (model, world.starts[model]))
                case Admit(request):
                    self._after(longest.serve, "depart", request)
        for request in [r for r in self._bounds if r not in world.waiting]:
            self._is_in_time(request)

    # --- law 5 ---------------------------------------------------------------------------------------------------------

    def allowance(self, request: int) -> float:
        """Seconds from now, when `request` has waited `maxWait`: what is there now comes to its end, each model with an older waiter
        has its turn, then it is loaded and those before it in its own line are served."""
        world, longest = self.world, self.longest
        mine = world.waiting[request].model
        heads = {w.model: r for r, w in reversed(world.waiting.items())}
        older = [model for model, head in heads.items() if head < request]
        older = (
            [] if older == [mine] else older
        )  # its own line may have a turn before, and then another's
        ends = max((self._end_of(model) for model in world.process), default=0)
        turns = sum(longest.check + longest.load + self._serves(m) + longest.stop for m in older)
        return ends + turns + longest.check + longest.load + self._serves(mine)

    def _end_of(self, model: str) -> int:
        loading = self.longest.load if self.world.process[model] == "loading" else 0
        return loading + self._serves(model) + self.longest.stop

    def _serves(self, model: str) -> int:
        """The longest it may serve in one turn: with `parallel`, everybody that there may ever be, in rows."""
        parallel = self.world.setting.models[model].parallel
        if not parallel:
            return self.longest.serve
        coming = sum(name == "arrive" and m == model for *_, name, m in self._calendar)
        known = len(self.world.line(model)) + len(self.world.served(model)) + coming
        return self.longest.serve * math.ceil(known / parallel)

    def _upset(self, happened: bool) -> None:
        if happened:
            extra = self.longest.turn + self.longest.stop
            self._bounds = {r: (aged, by + extra) for r, (aged, by) in self._bounds.items()}

    def _is_in_time(self, request: int) -> None:
        aged, by = self._bounds.pop(request)
        took, allowed = self.world.now - aged, by - aged
        assert took <= allowed, f"law 5: {request} waited {took:g} s more, of {allowed:g} allowed"
        self.tally.closest = max(self.tally.closest, took / allowed)


class _Reporting(World):
    """A world that hands on the orders that it has held against the laws."""

    def __init__(self, known: Setting, story: list[str] | None) -> None:
        super().__init__(known, story)
        self.starts: dict[str, int] = {}
        self._orders: list[object] = []

    def has_nothing_left_to_do(self) -> None:
        if self.alarm is None or self.alarm > self.now:
            orders = self.machine.copy().handle(Ticked(), self.now)
            assert all(isinstance(order, Wake) for order in orders), f"idle hands: {orders}"

    def take_orders(self) -> list[object]:
        orders, self._orders = self._orders, []
        return orders

    def _carry_out(self, order: object) -> None:
        super()._carry_out(order)
        self._orders.append(order)
        if isinstance(order, Start):
            self.starts[order.model] = self.starts.get(order.model, 0) + 1
