"""Bugs that others have shipped, played to this scheduler. Each play is named after its bug; its docstring says where it was reported
and what went wrong there. The orders on the right are what corral does instead.
"""

from __future__ import annotations

import pytest

from corral.errors import LoadFailed, ModelUnloaded, QueueTimeout, ShuttingDown
from corral.scheduler.events import (
    Admit,
    Arrived,
    AskedUnload,
    Check,
    Checked,
    Closed,
    Closing,
    Departed,
    Exited,
    Ready,
    Start,
    Ticked,
)
from corral.scheduler.groups import GroupRules, Groups
from corral.scheduler.machine import QueueRules, State

BROKEN = LoadFailed("b: exit code 1", exit_code=1)


def loads(model, *requests):
    """A cold model's requests, up to their admission."""
    return (
        (Arrived(requests[0], model), [Check(model)]),
        (Checked(model), [Start(model)]),
        *((Arrived(other, model), []) for other in requests[1:]),
        (Ready(model), [Admit(request) for request in requests]),
    )


# --- llama-swap ----------------------------------------------------------------------------------------------------


def test_llama_swap_946_a_request_that_meets_the_ttl_unload(stage):
    """llama-swap #946: a request came a second after "Unloading model, TTL reached"; from then on no model of its swap group was ever
    started again, every request hung without a sign, and all status pages were green."""
    machine = stage.machine("abe", policy=stage.alone("ab"), ttl=120)
    stage.play(
        machine,
        (0.0, Arrived(1, "a"), [Check("a")]),
        (0.0, Checked("a"), [Start("a")]),
        (5.0, Ready("a"), [Admit(1)]),
        (9.0, Departed(1), []),
        (129.0, Ticked(), [stage.halt("a")]),  # TTL reached
        (130.0, Arrived(2, "a"), []),  # waits for the end of the stop
        (130.5, Arrived(3, "b"), [Check("b")]),
        (130.6, Checked("b"), []),
        (131.0, Exited("a"), [Check("a")]),  # a's own request is the older one
        (131.1, Checked("a"), [Start("a")]),
        (135.0, Ready("a"), [Admit(2)]),
        (136.0, Departed(2), [stage.halt("a")]),
        (137.0, Exited("a"), [Start("b")]),
        (140.0, Ready("b"), [Admit(3)]),
    )


def test_llama_swap_946_the_request_comes_before_the_alarm_does(stage):
    """llama-swap #946, the other way round: the TTL has passed, but the request is first. It is served, and nothing is unloaded."""
    stage.play(
        stage.machine(ttl=10),
        *loads("a", 1),
        (3.0, Departed(1), []),
        (13.0, Arrived(2, "a"), [Admit(2)]),
        (13.0, Ticked(), []),
    )


def test_llama_swap_an_unload_during_the_eviction_does_not_start_the_model_after_all(stage):
    """llama-swap: a model that is unloaded while its swap still stops the others is started after the unload, for nobody."""
    machine = stage.machine(policy=stage.rule({"c": "ab"}))
    stage.play(
        machine,
        *loads("a", 1),
        *loads("b", 2),
        (10.0, Departed(1), []),
        (11.0, Departed(2), []),
        (12.0, Arrived(3, "c"), [Check("c")]),
        (13.0, Checked("c"), [stage.halt("a"), stage.halt("b")]),
        (14.0, Exited("a"), []),
        (15.0, AskedUnload(("c",)), [stage.refuse(3, ModelUnloaded)]),
        (16.0, Exited("b"), []),  # and c stays where it is
        (17.0, Arrived(4, "a"), [Check("a")]),
    )
    assert machine.state("c") is State.UNLOADED


def test_llama_swap_an_unload_does_not_stall_the_other_models(stage):
    """llama-swap: while one model is slow to stop after an unload, requests for all others stall with the scheduler's loop."""
    stage.play(
        stage.machine(policy=stage.together()),
        *loads("a", 1),
        *loads("b", 2),
        (10.0, Departed(1), []),
        (11.0, AskedUnload(("a",)), [stage.halt("a")]),  # a ignores it
        (12.0, Arrived(3, "b"), [Admit(3)]),
        (13.0, Arrived(4, "c"), [Check("c")]),
        (14.0, Checked("c"), [Start("c")]),
        (15.0, Ready("c"), [Admit(4)]),
        (99.0, Arrived(5, "a"), []),  # only its own requests wait for it
    )


def test_llama_swap_a_waiter_that_is_gone_when_its_turn_comes(stage):
    """llama-swap: a grant counts only if the requester is still there to take it, and the loop waits at the hand-over. Here the two
    facts have an order: whoever left before the load was done is neither admitted nor counted."""
    machine = stage.machine()
    stage.play(
        machine,
        (Arrived(1, "a"), [Check("a")]),
        (Checked("a"), [Start("a")]),
        (Arrived(2, "a"), []),
        (Departed(1), []),
        (Ready("a"), [Admit(2)]),
        (Departed(1), []),  # said twice, heard once
        (Departed(2), []),
        (Departed(2), []),
    )
    assert machine.in_flight("a") == 0


def test_llama_swap_a_waiter_that_is_gone_does_not_cost_a_loaded_model_its_place(stage):
    """llama-swap: a request whose client has left may still trigger the swap. Here the last waiter takes its claim along."""
    machine = stage.machine()
    stage.play(
        machine,
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (41.0, Ticked(), []),  # a drains for 2
        (42.0, Departed(2), []),
        (43.0, Departed(1), []),
        (44.0, Arrived(3, "a"), [Admit(3)]),
    )
    assert machine.state("a") is State.READY


def test_llama_swap_starvation_by_a_stream_for_the_loaded_model(stage):
    """llama-swap's queue, and llama-server's router: requests for the loaded model bypass the queue, so that a steady stream of them
    keeps everybody else waiting for ever. Here the stream waits once the other has waited `maxWait`, and then goes on."""
    machine = stage.machine(queue=QueueRules(max_wait=30.0))
    stage.play(
        machine,
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (10.0, Checked("b"), []),
        *((10.0 + n, Arrived(100 + n, "a"), [Admit(100 + n)]) for n in range(30)),
        *((40.0 + n / 10, Arrived(200 + n, "a"), []) for n in range(10)),
        (41.0, Departed(1), []),
        *((42.0 + n / 10, Departed(100 + n), []) for n in range(29)),
        (45.0, Departed(129), [stage.halt("a")]),
        (46.0, Exited("a"), [Start("b"), Check("a")]),
        (47.0, Checked("a"), []),
        (50.0, Ready("b"), [Admit(2)]),
        (51.0, Departed(2), [stage.halt("b")]),
        (52.0, Exited("b"), [Start("a")]),
        (55.0, Ready("a"), [Admit(200 + n) for n in range(10)]),
    )


# --- Ollama ----------------------------------------------------------------------------------------------------------


def test_ollama_17408_the_victim_is_wanted_again_while_it_leaves(stage):
    """Ollama #17408: the model chosen to leave got a new request at the wrong moment, which restored its keep-alive; the load that
    waited for its end waited for ever, and every load after it too, while requests for what was loaded went on."""
    stage.play(
        stage.machine(),
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (40.0, Ticked(), []),  # a is to leave, and drains
        (40.1, Arrived(3, "a"), []),  # must not bring it back
        (41.0, Departed(1), [stage.halt("a")]),
        (41.1, Arrived(4, "a"), []),
        (42.0, Exited("a"), [Start("b"), Check("a")]),
        (42.1, Checked("a"), []),
        (45.0, Ready("b"), [Admit(2)]),
        (46.0, Departed(2), [stage.halt("b")]),
        (47.0, Exited("b"), [Start("a")]),
        (50.0, Ready("a"), [Admit(3), Admit(4)]),
    )


def test_ollama_17408_others_load_while_one_waits_for_its_victim(stage):
    """Ollama #17408, the rest of the damage: with one load blocked, no other model could be loaded, whether it needed the room or
    not."""
    stage.play(
        stage.machine(policy=stage.rule({"b": "a"})),
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (40.0, Ticked(), []),  # a drains, for as long as 1 takes
        (41.0, Arrived(3, "c"), [Check("c")]),
        (42.0, Checked("c"), [Start("c")]),
        (43.0, Ready("c"), [Admit(3)]),
    )


# --- llama.cpp -------------------------------------------------------------------------------------------------------


def test_llama_cpp_28698_a_model_is_not_evicted_between_its_load_and_its_first_request(stage):
    """llama.cpp #28698: in router mode with one model at a time, the queued request for b found a loaded, not yet used a, evicted it
    at once, and the request that had loaded a was proxied into the dying process. Ready and admitted are one step here."""
    machine = stage.machine()
    stage.play(
        machine,
        (0.0, Arrived(1, "a"), [Check("a")]),
        (0.0, Checked("a"), [Start("a")]),
        (0.1, Arrived(2, "b"), [Check("b")]),
        (0.2, Checked("b"), []),
        (5.0, Ready("a"), [Admit(1)]),
        (5.0, Ticked(), []),
        (9.0, Departed(1), [stage.halt("a")]),
        (10.0, Exited("a"), [Start("b")]),
    )


def test_llama_cpp_28698_nobody_is_sent_to_a_model_that_stops(stage):
    """llama.cpp #28698, variant B: a request for a model that was being stopped was taken to be served by it."""
    stage.play(
        stage.machine(),
        *loads("a", 1),
        (4.0, Departed(1), []),
        (5.0, Arrived(2, "b"), [Check("b")]),
        (5.0, Checked("b"), [stage.halt("a")]),
        (5.1, Arrived(3, "a"), []),
        (5.2, Ready("a"), []),  # even if it says that it is well
        (6.0, Exited("a"), [Start("b"), Check("a")]),
    )


def test_llama_cpp_28443_two_loads_that_count_on_the_same_room(stage):
    """llama.cpp #28443: two requests at once both chose the idle model to leave; one of them took the room, the other was queued for
    ever."""
    stage.play(
        stage.machine(),
        *loads("a", 1),
        (4.0, Departed(1), []),
        (5.0, Arrived(2, "b"), [Check("b")]),
        (5.0, Arrived(3, "c"), [Check("c")]),
        (5.0, Checked("b"), [stage.halt("a")]),
        (5.0, Checked("c"), []),
        (6.0, Exited("a"), [Start("b")]),
        (9.0, Ready("b"), [Admit(2)]),
        (12.0, Departed(2), [stage.halt("b")]),
        (13.0, Exited("b"), [Start("c")]),
        (16.0, Ready("c"), [Admit(3)]),
    )


def test_llama_cpp_21678_a_busy_model_is_not_evicted(stage):
    """llama.cpp #21678, #24849: the least recently used model was unloaded in the middle of its answer."""
    stage.play(
        stage.machine(queue=QueueRules(max_wait=30.0)),
        *loads("a", 1),
        (10.0, Arrived(2, "b"), [Check("b")]),
        (11.0, Checked("b"), []),
        (40.0, Ticked(), []),
        (2000.0, Arrived(3, "b"), [stage.refuse(2, QueueTimeout)]),  # rather than that
        (2001.0, Departed(1), [stage.halt("a")]),
        (2002.0, Exited("a"), [Start("b")]),
    )


def test_llama_cpp_22284_two_models_do_not_throw_each_other_out(stage):
    """llama.cpp #22284: requests for two models that cannot run together unloaded each other's model in turn, before either had
    served anyone."""
    stage.play(
        stage.machine(),
        (0.0, Arrived(1, "a"), [Check("a")]),
        (0.0, Arrived(2, "b"), [Check("b")]),
        (0.0, Checked("a"), [Start("a")]),
        (0.0, Checked("b"), []),
        (1.0, Arrived(3, "a"), []),
        (1.0, Arrived(4, "b"), []),
        (50.0, Ticked(), []),  # loading takes longer than anyone likes
        (60.0, Ready("a"), [Admit(1), Admit(3)]),
        (61.0, Departed(1), []),
        (62.0, Departed(3), [stage.halt("a")]),
        (63.0, Exited("a"), [Start("b")]),
        (120.0, Ready("b"), [Admit(2), Admit(4)]),
    )


# --- everybody's -----------------------------------------------------------------------------------------------------


def test_a_child_that_ignores_sigterm_delays_only_those_that_need_its_room(stage):
    """llama-swap's groups with a stuck child: a refuses to die. c lives beside it, b has to wait, and d, which only b minds, is served:
    nobody younger than b keeps b's room from it, though."""
    groups = Groups(
        "abcd",
        (
            GroupRules("gpu", ("a", "b"), exclusive=False),
            GroupRules("cpu", ("c",), swap=False, exclusive=False),
            GroupRules("other", ("d",), swap=False, exclusive=False),
        ),
    )
    stage.play(
        stage.machine(policy=groups),
        *loads("a", 1),
        *loads("c", 2),
        (10.0, Departed(1), []),
        (11.0, Arrived(3, "b"), [Check("b")]),
        (12.0, Checked("b"), [stage.halt("a")]),  # and nothing happens
        (13.0, Arrived(4, "c"), [Admit(4)]),
        (14.0, Arrived(5, "d"), [Check("d")]),
        (15.0, Checked("d"), [Start("d")]),
        (16.0, Ready("d"), [Admit(5)]),
        (60.0, Arrived(6, "c"), [Admit(6)]),  # b's request has waited maxWait: not for c
        (61.0, Arrived(7, "a"), []),
        (300.0, Exited("a"), [Start("b"), Check("a")]),
        (301.0, Ready("b"), [Admit(3)]),
    )


def test_a_request_that_joins_a_load_which_fails_hears_why(stage):
    """llama-swap: every waiter of a failed load gets 500 "unspecific error", clients retry at once, and each retry is another load."""
    stage.play(
        stage.machine(backoff=(2.0,)),
        (0.0, Arrived(1, "b"), [Check("b")]),
        (0.0, Checked("b"), [Start("b")]),
        (3.0, Arrived(2, "b"), []),
        (4.0, Exited("b", BROKEN), [stage.refuse(n, LoadFailed, 2.0) for n in (1, 2)]),
        (4.5, Arrived(3, "b"), [stage.refuse(3, LoadFailed, 1.5)]),
        (6.0, Arrived(4, "b"), [Check("b")]),
    )


def test_a_failed_load_does_not_cost_the_others_their_turn(stage):
    """llama-swap: evicted models are stopped before it is known whether the new one can start. What waits behind a failed load is next,
    and the model that would have had to leave for a missing file stays."""
    stage.play(
        stage.machine(),
        *loads("a", 1),
        (4.0, Departed(1), []),
        (5.0, Arrived(2, "b"), [Check("b")]),
        (5.0, Checked("b", BROKEN), [stage.refuse(2, LoadFailed)]),
        (6.0, Arrived(3, "a"), [Admit(3)]),
        (7.0, Arrived(4, "c"), [Check("c")]),
        (7.0, Arrived(5, "d"), [Check("d")]),
        (7.0, Checked("c"), []),
        (7.0, Checked("d"), []),
        (8.0, Departed(3), [stage.halt("a")]),
        (9.0, Exited("a"), [Start("c")]),
        (10.0, Exited("c", BROKEN), [stage.refuse(4, LoadFailed), Start("d")]),
        (11.0, Ready("d"), [Admit(5)]),
    )


def test_a_shutdown_during_a_load_leaves_nothing_behind(stage):
    """llama-swap: a second signal is ignored, and after a long drain children are killed without notice; others leave the loading
    child behind."""
    machine = stage.machine(policy=stage.together())
    stage.play(
        machine,
        *loads("a", 1),
        (4.0, Arrived(2, "b"), [Check("b")]),
        (4.0, Checked("b"), [Start("b")]),
        (5.0, Arrived(3, "c"), [Check("c")]),
        (
            6.0,
            Closing(),
            [stage.refuse(2, ShuttingDown), stage.refuse(3, ShuttingDown), stage.halt("b")],
        ),
        (6.1, Ready("b"), []),
        (6.2, Checked("c"), []),
        (6.3, Arrived(4, "a"), [stage.refuse(4, ShuttingDown)]),
        (7.0, Exited("b"), []),
        (9.0, Closed(), [stage.halt("a", 1.0)]),  # 1 has had its time
        (9.5, Exited("a"), []),
        (9.5, Departed(1), []),
        (9.6, Ticked(), []),
    )
    assert {machine.state(name) for name in "abcd"} == {State.UNLOADED}


def test_a_forced_unload_with_waiters_answers_them_all(stage):
    """llama-server's router: an unload with requests in flight drains nothing, breaks the stream, and the child hangs until it is
    killed. Forced, corral does the same to the one in flight; those who wait are told, and the next request loads again."""
    machine = stage.machine(parallel=1)
    stage.play(
        machine,
        *loads("a", 1),
        (4.0, Arrived(2, "a"), []),
        (4.0, Arrived(3, "b"), [Check("b")]),
        (5.0, Checked("b"), []),
        (
            6.0,
            AskedUnload(("a",), force=True),
            [stage.refuse(2, ModelUnloaded), stage.halt("a", 10.0)],
        ),
        (6.5, Arrived(4, "a"), []),
        (7.0, Exited("a"), [Start("b"), Check("a")]),
        (7.1, Departed(1), []),
        (7.2, Checked("a"), []),
        (9.0, Ready("b"), [Admit(3)]),
        (10.0, Departed(3), [stage.halt("b")]),
        (11.0, Exited("b"), [Start("a")]),
        (12.0, Ready("a"), [Admit(4)]),
    )


@pytest.mark.parametrize("explicit", [False, True])
def test_newcomers_in_the_back_off_do_not_load_again(stage, explicit):
    """llama-swap: failed starts are 500s, which OpenAI clients retry on their own: one expensive load after the other. In the back-off
    newcomers hear the same reason; only a person who insists ends it."""
    expected = [Check("b")] if explicit else [stage.refuse(3, LoadFailed, 3.0)]
    stage.play(
        stage.machine(backoff=(5.0,)),
        (0.0, Arrived(1, "b"), [Check("b")]),
        (0.0, Checked("b"), [Start("b")]),
        (1.0, Exited("b", BROKEN), [stage.refuse(1, LoadFailed, 5.0)]),
        (2.0, Arrived(2, "b"), [stage.refuse(2, LoadFailed, 4.0)]),
        (3.0, Arrived(3, "b", explicit=explicit), expected),
    )
