"""How the table of requests is asked for, and how it answers."""

from __future__ import annotations

from base64 import b64decode

import pytest

from corral.dialects import activity
from corral.dialects.activity import SORTS, Wanted, wanted
from corral.errors import InvalidRequest

NOON = 1_767_268_800_000  # 2026-01-01T12:00:00Z


def ask(query=""):
    return wanted(tuple(pair.split("=", 1)) for pair in query.split("&") if pair)


# --- asking -------------------------------------------------------------------------------------


def test_asked_for_nothing_it_is_the_latest_page():
    asked = ask()
    assert (asked.column, asked.descending, asked.limit, asked.page) == ("id", True, 25, 1)
    assert (asked.models, asked.start, asked.max_id, asked.offset) == ([], None, None, 0)


def test_everything_can_be_asked_for():
    asked = ask(
        "model=a&start=2026-01-01T12:00:00Z&model=b/c&end=2026-01-01T13:00:00.5%2B01:00"
        "&min_id=3&max_id=9&sort=gen_speed&order=ASC&limit=10&page=4".replace("%2B", "+")
    )
    assert asked == Wanted(["a", "b/c"], NOON, NOON + 500, 3, 9, "tokens_per_second", False, 10, 4)
    assert asked.offset == 30


@pytest.mark.parametrize("sort", sorted(SORTS))
def test_every_sort_is_a_field_of_the_table(sort):
    assert ask(f"sort={sort}").column in ("id", *activity.FIELDS)


def test_a_blank_value_counts_for_nothing_and_of_two_the_first():
    assert ask("limit= &model=&sort=&start=&page=").limit == 25
    assert ask("limit=3&limit=x").limit == 3


def test_unknown_parameters_are_nobodys():
    assert ask("colour=red") == ask()


@pytest.mark.parametrize(
    "text",
    ["2026-01-01T12:00:00Z", "2026-01-01t12:00:00z", "2026-01-01T14:00:00+02:00",
     "2026-01-01T14:00:00 02:00", "2026-01-01T12:00:00.000999999Z"],
)  # fmt: skip
def test_times_are_rfc_3339(text):
    assert ask(f"start={text}").start == NOON


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "`limit` must be a number, between 1 and 999"),
        ("limit=1000", "`limit` must be a number, between 1 and 999"),
        ("limit=ten", "`limit` must be a number, between 1 and 999"),
        ("limit=-1", "`limit` must be a number, between 1 and 999"),
        ("limit=" + "9" * 5000, "`limit` must be a number, between 1 and 999"),
        ("limit=٣", "`limit` must be a number, between 1 and 999"),
        ("page=0", "`page` must be a number, at least 1"),
        ("page=1.5", "`page` must be a number, at least 1"),
        ("min_id=0", "`min_id` must be a number, at least 1"),
        ("max_id=x", "`max_id` must be a number, at least 1"),
        ("min_id=5&max_id=4", "`min_id` must not lie behind `max_id`"),
        ("order=up", "`order` must be one of asc, desc"),
        ("start=yesterday", "`start` must be a time like 2026-01-31T12:00:00Z (RFC 3339)"),
        ("start=2026-01-01", "`start` must be a time like 2026-01-31T12:00:00Z (RFC 3339)"),
        ("end=2026-01-01T12:00:00", "`end` must be a time like 2026-01-31T12:00:00Z (RFC 3339)"),
        ("end=2026-02-30T12:00:00Z", "`end` must be a time like 2026-01-31T12:00:00Z (RFC 3339)"),
        (
            "start=2026-01-01T12:00:01Z&end=2026-01-01T12:00:00Z",
            "`start` must not lie behind `end`",
        ),
    ],
)
def test_what_cannot_be_meant_is_said(query, message):
    with pytest.raises(InvalidRequest) as error:
        ask(query)
    assert error.value.message == message


def test_an_unknown_sort_is_told_which_there_are():
    with pytest.raises(InvalidRequest, match="`sort` must be one of id, time, model"):
        ask("sort=at; DROP TABLE requests")


def test_large_numbers_stay_in_bounds():
    assert ask(f"page={2**62}&limit=999").offset < 2**63
    assert ask(f"max_id={2**62}").max_id < 2**63


# --- answering ----------------------------------------------------------------------------------

ROW = (7, NOON + 123, "m", "/v1/completions", "application/json", 200,
       5, -1, -1, 10, 20, -1.0, 33.5, 1234, "", "")  # fmt: skip


def test_a_page_is_llama_swaps():
    page = activity.page([ROW], 51, ask("limit=25"), {7})
    assert page == {
        "data": [
            {
                "id": 7,
                "timestamp": "2026-01-01T12:00:00.123Z",
                "model": "m",
                "req_path": "/v1/completions",
                "resp_content_type": "application/json",
                "resp_status_code": 200,
                "tokens": {
                    "cache_tokens": 5,
                    "draft_tokens": -1,
                    "draft_acc_tokens": -1,
                    "input_tokens": 10,
                    "output_tokens": 20,
                    "prompt_per_second": -1.0,
                    "tokens_per_second": 33.5,
                },
                "duration_ms": 1234,
                "has_capture": True,
            }
        ],
        "page": 1,
        "limit": 25,
        "total": 51,
        "total_pages": 3,
    }


def test_an_error_and_notes_are_there_when_there_are_any():
    row = (*ROW[:14], "500 it broke", '{"selector":"s"}')
    (entry,) = activity.page([row], 1, ask(), ())["data"]
    assert (entry["error_msg"], entry["metadata"]) == ("500 it broke", {"selector": "s"})
    assert entry["has_capture"] is False


def test_no_rows_are_no_pages():
    assert activity.page([], 0, ask(), ())["total_pages"] == 0


def test_stats_are_llama_swaps():
    spread = ([1, 2], 1.0, 3.0, 1.0, 2.0, 2.9, 2.98)
    assert activity.stats((3, 30, 60, 5, None, spread)) == {
        "total_requests": 3,
        "total_input_tokens": 30,
        "total_output_tokens": 60,
        "total_cache_tokens": 5,
        "prompt_histogram": None,
        "gen_histogram": {
            "bins": [1, 2],
            "min": 1.0,
            "max": 3.0,
            "binSize": 1.0,
            "p50": 2.0,
            "p95": 2.9,
            "p99": 2.98,
        },
    }


def test_a_capture_has_its_bodies_in_base64():
    headers = [(b"content-type", b"application/json")]
    shown = activity.capture(7, "/x", (headers, b"\x00asked"), ([], b""), ["resp_body"])
    assert (shown["id"], shown["req_path"]) == (7, "/x")
    assert shown["req_headers"] == {"content-type": "application/json"}
    assert b64decode(shown["req_body"]) == b"\x00asked"
    assert (shown["resp_headers"], shown["resp_body"]) == ({}, "")
    assert shown["left_out"] == ["resp_body"]
