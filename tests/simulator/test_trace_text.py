"""Traces: every way to write one, and every mistake in one."""

from __future__ import annotations

import math

import pytest

from corral.errors import ConfigError, ModelNotFound
from corral.simulator.trace_text import read_trace

KNOWN = {"a": "a", "b": "b", "nickname": "a"}


def resolve(name):
    if name not in KNOWN:
        raise ModelNotFound(f"no model is called `{name}`")
    return KNOWN[name]


def read(text):
    return read_trace("t.csv", text.splitlines(keepends=True), resolve)


def rows(trace):
    columns = zip(trace.arrivals, trace.model, trace.caller, trace.service, strict=True)
    return [(at, trace.models[m], trace.callers[c], s) for at, m, c, s in columns]


FULL = [(0.0, "a", "eve", 2.5), (1.5, "b", "bob", 3.0)]


@pytest.mark.parametrize(
    "text",
    [
        "0,a,eve,2.5\n1.5,b,bob,3\n",
        "arrival,model,caller,service\n0,a,eve,2.5\n1.5,b,bob,3\n",
        "Service, Caller, Model, Arrival\r\n2.5,eve,a,100\r\n3,bob,b,101.5\r\n",
        "\ufeff# from Tuesday\n\n0,a,eve,2.5\n\n1.5, b , bob ,3",
        '"0","nickname","eve","2.5"\n1.5,"b",bob,3\n',
        (
            '{"arrival": 0, "model": "a", "caller": "eve", "service": 2.5}\n\n{"service": 3, "model": "b", '
            '"caller": "bob", "arrival": 1.5}\n'
        ),
        (
            '\n{"arrival": "7", "model": "nickname", "caller": "eve", "service": "2.5"}\n'
            '{"arrival": 8.5, "model": "b", "caller": "bob", "service": 3}'
        ),
    ],
)
def test_a_trace_can_be_written_in_many_ways(text):
    assert rows(read(text)) == FULL


def test_what_does_not_matter_may_be_left_out():
    for text in ("3,a\n", "arrival,model\n3,a\n", '{"arrival": 3, "model": "a"}', "3,a,,\n"):
        ((at, model, caller, service),) = rows(read(text))
        assert (at, model, caller) == (0.0, "a", "anybody")
        assert math.isnan(service)


def test_an_unsorted_trace_is_sorted_and_says_so():
    trace = read("5,a,late,1\n3,b,first,1\n4,a,then,1\n5,b,last,1\n")
    assert rows(trace) == [
        (0.0, "b", "first", 1.0),
        (1.0, "a", "then", 1.0),
        (2.0, "a", "late", 1.0),
        (2.0, "b", "last", 1.0),
    ]
    assert trace.out_of_order == 1
    assert read("1,a\n1,b\n2,a\n").out_of_order == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "t.csv no requests in it"),
        (" \n\n", "t.csv no requests in it"),
        ("arrival,model\n", "t.csv no requests in it"),
        ("# nothing\n", "t.csv no requests in it"),
        ("0,a\n1,c\n", "t.csv:2:1 no model is called `c`"),
        ("0,a\n\nx,b\n", "t.csv:3:1 arrival must be a number of seconds, not `x`"),
        ("0,a\nnan,b\n", "t.csv:2:1 arrival must be a number of seconds, not `nan`"),
        ("0,a\n-1,b\n", "t.csv:2:1 arrival is negative: `-1`"),
        ("0,a,x,-2\n", "t.csv:1:1 service is negative: `-2`"),
        ("0,a,x,long\n", "t.csv:1:1 service must be a number of seconds, not `long`"),
        ("0,a\n1\n", "t.csv:2:1 no model"),
        ("0,a,b,1,2\n", "t.csv:1:1 5 values, but the columns are arrival, model, caller, service"),
        ("arrival,modle\n0,a\n", "t.csv:1:1 unknown column `modle`; did you mean `model`?"),
        ("when,what\n", "unknown column `when`; the columns are arrival, model, caller, service"),
        ("arrival,caller\n0,a\n", "t.csv:1:1 no column `model`"),
        ("arrival,model,model\n0,a,a\n", "t.csv:1:1 a column stands twice"),
        ('0,"a\n', "t.csv:1:1 not CSV: unexpected end of data"),
        ('{"arrival": 0, "model": "a"}\n{"arrival": 1,\n', "t.csv:2:1 not JSON: "),
        ('{"arrival": 0, "model": "a"}\n[1, "a"]\n', "t.csv:2:1 every line must be an object"),
        ('{"arrival": 0, "modell": "a"}', "unknown column `modell`; did you mean `model`?"),
        ('{"model": "a"}', "t.csv:1:1 no arrival"),
        ('{"arrival": true, "model": "a"}', "arrival must be a number of seconds, not true"),
        ('{"arrival": [], "model": "a"}', "arrival must be a number of seconds, not []"),
        ('{"arrival": 1e999, "model": "a"}', "arrival must be a number of seconds, not Infinity"),
        ('{"arrival": 0, "model": 7}', "t.csv:1:1 model must be text, not 7"),
        ('{"arrival": 0, "model": "a", "caller": 7}', "t.csv:1:1 caller must be text, not 7"),
    ],
)
def test_a_mistake_is_told_with_its_line(text, said):
    with pytest.raises(ConfigError) as error:
        read(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(ConfigError) as error:
        read("x" * 5000 + ",a\n")
    assert len(str(error.value)) < 200


def test_a_model_is_looked_up_once():
    asked = []
    read_trace("t", ["0,a\n", "1,a\n", "2,b\n"], lambda name: asked.append(name) or name)
    assert asked == ["a", "b"]
