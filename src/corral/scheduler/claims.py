"""The claims, in one pass: cases 4 to 7 of `decision.py`.

Claims are looked at in turn, until it is clear that nothing can be done for the others: not for those of the same kind (`policy.py`) as
one for which there is nothing to do, not for the rivals of a firm claim, nor for those who need a model gone that stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from heapq import merge
from itertools import takewhile

from corral.scheduler.board import Aged
from corral.scheduler.floor import Floor
from corral.scheduler.policy import Verdict
from corral.scheduler.queues import Waiter
from corral.scheduler.residency import Checked, Resident, State
from corral.scheduler.turns import Turn, turn

FEW = 16
"""Open claims, of which it is cheap to ask whether they are the rivals of each that is passed by."""


class Claims:
    """One pass over all claims of a floor. In the order of the cases."""

    def __init__(self, floor: Floor, now: float, *, gently: bool = False) -> None:
        self._floor = floor
        self._now = now
        self._gently = gently
        """Nobody drains."""
        self._open: set[str] = set(floor.board.seeking)
        """The claims for which there may be something to do. Only these cost more than a glance."""
        self._others: list[Resident] = []
        """The claims of models that do not seek room: somebody is in their way, or they are wanted as companions."""
        self._quiet: dict[str, Resident] = {}
        """The claims of models that are resident, with nobody in their way or about to leave: they only keep what they have."""
        self._firm: set[str] = set()
        self._coming: set[str] = set()
        """The firm claims that are not resident yet."""
        self._held: dict[str, Waiter] = {}
        self._leaving: set[str] = set()
        """The models that drain or stop for a claim."""
        self._has_started = False

    def settle_aged(self) -> bool:
        """Cases 4 and 5. Whether to do it again: a model that somebody waits for was leaving, and is not any more."""
        self._look_at_aged()
        return any(model.first for model in self._spare())

    def serve(self) -> bool:
        """Case 6. Whether claims behind which others may have stood came to an end by it, or are of younger requests now."""
        before = len(self._floor.waiting)
        for model in list(self._floor.others.values()):
            if model.state is State.READY and not self._floor.verdict(model).victims:
                self._floor.admit_line(model, self._now)
        return 0 < len(self._floor.waiting) < before

    def look_again(self) -> None:
        """Case 4, for those who stood behind something that ended in this very moment. Nobody drains for that: it has been held, and will
        drain when it is looked at next."""
        self._look_at_aged()

    def settle_young(self) -> bool:
        """Case 7. Whether models were started: one of them may be in the way of a model that was in use, behind which others stood."""
        self._floor.others_stuck = bool(self._others)
        if self._open:
            self._look_at_young()
        return self._has_started

    # --- in turn ---------------------------------------------------------------------------------------------------

    def _sort_others(self) -> None:
        for model in self._floor.others.values():
            if model.state is State.DRAINING:
                self._quiet[model.model] = model
            elif not model.claims:
                continue
            elif model.state is State.UNLOADED or self._floor.verdict(model).victims:
                self._others.append(model)
                self._open.add(model.model)
            else:
                self._quiet[model.model] = model
        self._others.sort(key=self._turn)

    def _look_at_aged(self) -> None:
        self._sort_others()
        if self._open:
            self._look_by_age()
        self._floor.held = self._held

    def _look_by_age(self) -> None:
        others = self._pressing_others()
        for _, model in merge(self._aged(), others) if others else self._aged():
            pressing = model.pressing(self._floor.queue, self._now)
            if pressing is None or not (self._open or self._may_hold_more()):
                return
            if not model.claims:
                continue
            if model.model in self._open:
                self._look(model, partial(self._claim_at_last, model, pressing))
            else:
                self._hold(model, pressing)
                self._make_firm(model)
                if len(self._open) <= FEW:  # it may be the last reason to go on
                    self._close_to_rivals(model)

    def _look_at_young(self) -> None:
        seeking = (model for model in self._floor.board.by_priority if model.model in self._open)
        for model in merge(seeking, self._others, key=self._turn) if self._others else seeking:
            if model.model in self._open and model.first and model.claims:
                self._look(model, partial(self._claim, model))
            if not self._open:
                return

    def _look(self, model: Resident, claim: Callable[[], bool]) -> None:
        """Look at a claim, and close those for which there is nothing to do then."""
        same = self._floor.board.alike(model) if model.listed else ()
        if not claim():
            self._open.difference_update(same)
        if model.model in self._firm:
            self._close_to_rivals(model)
        self._open.discard(model.model)

    def _close_to_rivals(self, model: Resident) -> None:
        # Not in place, which would go through all rivals.
        self._open = self._open - self._floor.policy.rivals(model.model)

    def _turn(self, model: Resident) -> Turn:
        return turn(model, self._floor.queue, self._now)

    def _aged(self) -> Iterator[Aged]:
        """Of those that seek room, the ones whose oldest request has waited `maxWait`, in turn."""
        entries = self._floor.board.by_age
        if self._floor.urgent:
            entries = [entry for entry in entries if entry[1].line.urgent is None]
        return takewhile(lambda entry: self._is_aged(entry[1]), entries)

    def _pressing_others(self) -> list[Aged]:
        """All others for whom others have to give way, in turn: the board has those that are urgent in another place."""
        urgent = [model for model in self._floor.urgent.values() if model.listed]
        queue, now = self._floor.queue, self._now
        models = [*self._others, *urgent]
        return sorted((m.turn_of(w), m) for m in models if (w := m.pressing(queue, now)))

    def _is_aged(self, model: Resident) -> bool:
        oldest = model.line.oldest
        return oldest is not None and self._now >= self._floor.queue.ages_at(oldest)

    # --- case 4 ----------------------------------------------------------------------------------------------------

    def _claim_at_last(self, model: Resident, oldest: Waiter) -> bool:
        """The claim of one whose oldest has waited `maxWait`, or is urgent. Whether something may still be done for others of its kind."""
        self._hold(model, oldest)
        verdict = self._verdict(model)
        self._make_firm(model)
        if verdict is None:
            return False
        clean = _is_clean(model)
        if clean and model.state is State.UNLOADED and not verdict.victims:
            self._start(model)
        elif clean:
            for victim in self._to_retire(verdict, oldest):
                self._retire(victim, model, oldest, verdict)
        return not clean or not verdict.victims

    def _hold(self, model: Resident, oldest: Waiter) -> None:
        if self._may_hold_more():
            for name in self._floor.verdict(model).victims:
                self._held.setdefault(name, oldest)

    def _may_hold_more(self) -> bool:
        return len(self._held) < len(self._floor.residents)

    def _to_retire(self, verdict: Verdict, oldest: Waiter) -> list[Resident]:
        """Its victims. For one that is urgent first only those that have still to drain: it may be called off, and nobody has been stopped
        in vain then."""
        victims = [self._floor.models[name] for name in verdict.victims]
        stay = [v for v in victims if v.served or self._has_its_turn(v, oldest)]
        return stay if stay and oldest.urgent else victims

    def _retire(self, victim: Resident, target: Resident, oldest: Waiter, verdict: Verdict) -> None:
        if victim.state is State.UNLOADING or self._has_its_turn(victim, oldest):
            return
        self._leaving.add(victim.model)
        if victim.served:
            if victim.state is State.READY and not self._gently:
                self._floor.drain(victim, self._now)
        else:
            self._evict(victim, target, verdict)

    def _has_its_turn(self, victim: Resident, oldest: Waiter) -> bool:
        """Somebody in the line of `victim` goes first. Not when it waits for room itself: that could be for us to go first."""
        other = victim.line.oldest
        if other is None:
            return False
        if victim.state is not State.LOADING and self._floor.verdict(victim).victims:
            return False
        return self._floor.precedes(other, victim, oldest)

    # --- case 5 -----------------------------------------------------------------------------------------------

    def _spare(self) -> list[Resident]:
        draining = self._floor.draining.values()
        spared = [m for m in draining if m.gone_by is None and m.model not in self._leaving]
        for model in spared:
            self._floor.spare(model, self._now)
        return spared

    # --- case 7 ----------------------------------------------------------------------------------------------------

    def _claim(self, model: Resident) -> bool:
        """Any other claim. Whether something may still be done for others of its kind."""
        verdict = self._verdict(model)
        if self._floor.is_afterthought(model) and (
            verdict is None or self._is_minded(model, verdict)
        ):
            self._floor.want(model, None)
            return False
        if verdict is None:
            return False
        victims = [self._floor.models[name] for name in verdict.victims]
        stays = next((victim for victim in victims if not self._may_go(victim)), None)
        if stays is not None:  # nor for anyone else who would need its room
            self._open = self._open - self._floor.policy.evictors(stays.model)
        if victims and not (model.line and stays is None):
            return False
        self._make_firm(model)
        clean = _is_clean(model)
        if clean and model.state is State.UNLOADED and not victims:
            self._start(model)
        elif clean:
            for victim in victims:
                if victim.state is not State.UNLOADING:
                    self._evict(victim, model, verdict)
        return not clean or not victims

    def _is_minded(self, model: Resident, verdict: Verdict) -> bool:
        """Somebody else has the room, or waits for it."""
        rivals = self._floor.policy.rivals(model.model) - {model.model}
        return bool(verdict.victims) or not rivals.isdisjoint(self._floor.wanting)

    def _may_go(self, victim: Resident) -> bool:
        is_fresh = victim.state is State.READY and self._now < victim.fresh_until(self._floor.queue)
        return victim.idle and not is_fresh

    # --- all claims --------------------------------------------------------------------------------------------------

    def _verdict(self, model: Resident) -> Verdict | None:
        """Who must leave for `model`, all of them resident; None: it has to wait for an older claim."""
        floor = self._floor
        if model.state is not State.UNLOADED and not floor.verdict(model).victims:
            return floor.verdict(model)
        if self._stands_behind(model, floor.policy.rivals(model.model)):
            return None
        if not self._coming:
            return floor.verdict(model)
        verdict = floor.policy.decide(model.model, floor.residents | self._coming)
        return None if self._stands_behind(model, frozenset(verdict.victims)) else verdict

    def _stands_behind(self, model: Resident, others: frozenset[str]) -> bool:
        """Whether any of `others` has a firm claim before it."""
        if not self._firm.isdisjoint(others):
            return True
        own = self._turn(model)
        quiet = (self._quiet[name] for name in others.intersection(self._quiet))
        return any(_keeps(other) and self._turn(other) < own for other in quiet)

    def _make_firm(self, model: Resident) -> None:
        self._firm.add(model.model)
        if model.state is State.UNLOADED:
            self._coming.add(model.model)

    def _start(self, model: Resident) -> None:
        self._floor.start(model, self._now)
        self._has_started = True
        self._coming.discard(model.model)

    def _evict(self, victim: Resident, target: Resident, verdict: Verdict) -> None:
        why = f"makes room for {target.model}: {verdict.why}"
        self._floor.stop(victim, self._now, victim.rules.unload_timeout, why, target.model)


def _keeps(model: Resident) -> bool:
    """It has a claim on the room that it has. One that drains may be spared yet, and will seek room again if it is not."""
    return model.first is not None and model.gone_by is None and model.state is not State.UNLOADING


def _is_clean(model: Resident) -> bool:
    return model.state is not State.UNLOADED or model.checked is Checked.CLEAN
