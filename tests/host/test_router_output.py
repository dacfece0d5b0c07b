"""What a router prints, sorted into the logs of those whom it is about."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.host.logs import Ring
from corral.host.router_output import LONGEST, Sorter

LINES = b"""\
0.00 I srv  llama_server: listening on http://127.0.0.1:28931
0.35 I srv          load: spawning server instance with name=one on port 56517
0.35 I srv          load:   --alias
[56517] 0.00 I srv  llama_server: initializing ...
0.36 I srv          load: spawning server instance with name=my two on port 58903
[58903] 0.00 E srv    load_model: failed to load model
[1] whose is this
2.43 I srv  proxy_reques: proxying request to model one on port 56517
2.45 I srv        unload: stopping model instance name=my two
2.48 I srv           run: instance name=my two exited with status 1
2.50 I srv           run: instance name=nobody exited with status 1
"""

ONE = (1, 3, 7)
TWO = (4, 5, 8, 9)


def sorted_out(*pieces: bytes) -> tuple[list[bytes], ...]:
    rest, one, two = Ring(), Ring(), Ring()
    sorter = Sorter(rest)
    sorter.models = {"one": one, "my two": two}
    for piece in pieces:
        sorter.write(piece)
    sorter.end()
    return tuple(ring.history().splitlines() for ring in (rest, one, two))


def test_each_line_stands_where_it_belongs():
    lines = LINES.splitlines()
    rest, one, two = sorted_out(LINES)
    assert one == [lines[n] for n in ONE]
    assert two == [lines[n] for n in TWO]
    assert rest == [line for n, line in enumerate(lines) if n not in ONE + TWO]


@given(st.lists(st.integers(0, len(LINES))))
def test_pieces_make_no_difference(cuts):
    marks = [0, *sorted(cuts), len(LINES)]
    pieces = [LINES[a:b] for a, b in pairwise(marks)]
    assert sorted_out(*pieces) == sorted_out(LINES)


def test_a_line_without_an_end_is_not_waited_for_for_ever():
    rest = Ring()
    sorter = Sorter(rest)
    sorter.write(b"x" * (LONGEST + 1))
    assert rest.total == LONGEST + 1


def test_the_last_line_may_lack_its_end():
    assert sorted_out(b"[1] what") == ([b"[1] what"], [], [])


@pytest.mark.parametrize(
    "line", [b"\xff\xfe name=\xff on port 1\n", b"\n", b"[]\n", b"[9999999] x\n"]
)
def test_nothing_breaks_it(line):
    rest, one, two = sorted_out(line)
    assert (one, two) == ([], [])
    assert rest
