"""The same walks and schedules, for hours when no one is waiting. By hand:

    pytest -m slow -n auto -s tests/scheduler

A million random schedules are twenty tests of fifty thousand; a walk is one test per configuration, and takes up to ten minutes of one
slow core and half a gigabyte. As in `test_explorer.py` the numbers are what was seen, rounded down.
"""

from __future__ import annotations

import pytest

from .explorer import explore
from .schedules import run
from .settings import FAIR, FIFO, FRESH, IMPATIENT, POLICIES, SHORT, setting

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

SHARE = 50_000


@pytest.mark.parametrize("share", range(20))
def test_a_million_random_schedules(share):
    tally = run(range(share * SHARE, (share + 1) * SHARE))
    print(tally)
    assert tally.schedules == SHARE
    assert tally.aged > 3 * SHARE
    assert tally.closest <= 1.0


PEOPLE = {
    "alone": 26_000,
    "one-way": 32_000,
    "persistent": 35_000,
    "proud": 34_000,
    "pair": 31_000,
    "together": 198_000,
    "together one-way": 273_000,
    "matrix": 35_000,
    "pairs": 40_000,
    "all": 40_000,
    "outsider": 31_000,
}


@pytest.mark.parametrize(("policy", "least"), PEOPLE.items())
def test_every_schedule_of_three_models_and_two_requests_with_people(policy, least):
    walk = explore(setting(policy), 2, 99, people=True)
    print(f"{policy}: {walk}")
    assert walk.complete
    assert walk.states > least


@pytest.mark.parametrize("policy", POLICIES)
def test_every_schedule_of_three_models_and_three_requests(policy):
    walk = explore(setting(policy), 3, 99)
    print(f"{policy}: {walk}")
    assert walk.complete
    assert walk.states > 80_000


@pytest.mark.parametrize("policy", ["alone", "one-way", "matrix", "pairs", "together"])
def test_every_schedule_of_three_models_and_four_requests_to_a_depth(policy):
    """Of nine moves; the tenth would take an hour."""
    walk = explore(setting(policy, parallel=1), 4, 9)
    print(f"{policy}: {walk}")
    assert walk.states > 150_000


@pytest.mark.parametrize(
    ("queue", "least"),
    [(FAIR, 11_700), (FIFO, 12_600), (FRESH, 12_300), (IMPATIENT, 61_000), (SHORT, 62_000)],
)
@pytest.mark.parametrize("policy", ["alone", "one-way", "together"])
def test_every_schedule_of_two_models_and_three_requests_under_every_queue(policy, queue, least):
    walk = explore(setting(policy, queue, names="ab", ttl=1, parallel=1), 3, 99)
    print(f"{policy}: {walk}")
    assert walk.complete
    assert walk.states > least
