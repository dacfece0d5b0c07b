"""What answers say of their tokens: those of the real engine (in `answers/`), those of other engines, and junk."""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.dialects.usage import MESSAGE_LENGTH, Usage, UsageTap
from corral.wire import ends

ANSWERS = Path(__file__).with_name("answers")
STREAM, JSON = "text/event-stream", "application/json; charset=utf-8"


def tapped(kind, *pieces, encoding=""):
    tap = UsageTap(kind, encoding)
    for piece in pieces:
        tap.feed(piece)
    return tap


def usage(kind, *pieces):
    return tapped(kind, *pieces).usage()


def split(text, *cuts):
    edges = [0, *sorted(cuts), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def events(*objects):
    lines = (text if isinstance(text, str) else json.dumps(text) for text in objects)
    return "".join(f"data: {line}\n\n" for line in lines).encode()


# --- the real engine ---

RECORDED = {
    "chat.json": (28, 4, 0),
    "chat.sse": (24, 4, 4),
    "chat-with-usage.sse": (24, 4, 4),
    "chat-timings-per-token.sse": (1, 4, 27),
    "completions.json": (2, 3, 4),
    "completions.sse": (2, 3, 4),
    "completion.json": (2, 3, 4),
    "completion.sse": (2, 3, 4),
    "two-completions.json": (1, 2, 5),
    "messages.json": (24, 4, 4),
    "messages.sse": (24, 4, 4),
    "responses.json": (28, 3, 27),
    "responses.sse": (1, 3, 27),
    "embeddings.json": (7, 0, -1),
    "embedding.json": None,
    "refused.json": None,
}
TIMED = {"chat", "completions", "completion", "two-completions", "chat-with-usage"}


def recorded(name):
    return STREAM if name.endswith(".sse") else JSON, (ANSWERS / name).read_bytes()


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_answer(name):
    kind, text = recorded(name)
    got = usage(kind, text)
    assert RECORDED[name] == (got and (got.input_tokens, got.output_tokens, got.cache_tokens))
    if name.partition(".")[0] in TIMED:
        assert (
            min(got.prompt_per_second, got.tokens_per_second, got.prompt_ms, got.predicted_ms) > 0
        )
    assert usage(kind, *(text[i : i + 1] for i in range(len(text)))) == got
    assert usage(kind, *text.splitlines(keepends=True)) == got


@given(st.data())
def test_wherever_an_answer_is_cut_into_pieces(data):
    kind, text = recorded(data.draw(st.sampled_from(sorted(RECORDED))))
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    assert usage(kind, *split(text, *cuts)) == usage(kind, text)


@pytest.mark.parametrize("name", RECORDED)
def test_all_of_a_prompt_counts_also_what_came_from_the_cache(name):
    """The same prompt each time: one of 28 tokens for a conversation, of 6 for a completion."""
    got = usage(*recorded(name))
    wanted = {"chat": 28, "messages": 28, "responses": 28, "completion": 6, "completions": 6}
    kind = name.partition(".")[0].partition("-")[0]
    if kind in wanted:
        assert got.prompt_tokens == wanted[kind]


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ({"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}}, 9),
        ({"usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}}}, 9),
        ({"usage": {"input_tokens": 2, "cache_read_input_tokens": 4}}, 6),
        ({"usage": {"input_tokens": 2, "cache_creation_input_tokens": 5}}, 7),
        (
            {
                "usage": {
                    "input_tokens": 2,
                    "cache_read_input_tokens": 4,
                    "cache_creation_input_tokens": 5,
                }
            },
            11,
        ),
        # a proxy in front of Anthropic, which counts as OpenAI does
        ({"usage": {"prompt_tokens": 11, "cache_read_input_tokens": 4}}, 11),
        ({"timings": {"prompt_n": 1, "cache_n": 27}}, 28),
        # an engine that does not say what came from its cache
        ({"timings": {"prompt_n": 1}, "usage": {"prompt_tokens": 28}}, 28),
        ({"timings": {"prompt_ms": 1}, "usage": {"prompt_tokens": 28}}, 28),
        ({"timings": {"prompt_n": "?"}, "usage": {"input_tokens": None}}, 0),
    ],
)
def test_all_tokens_of_a_prompt(told, wanted):
    assert usage(JSON, json.dumps(told).encode()).prompt_tokens == wanted


def test_what_a_first_event_says_of_the_cache_is_kept():
    first = {
        "message": {"usage": {"input_tokens": 2, "cache_read_input_tokens": 4, "output_tokens": 1}}
    }
    text = events(first, {"usage": {"output_tokens": 9}})
    assert usage(STREAM, text).prompt_tokens == 6


def test_every_recorded_answer_is_here():
    assert {path.name for path in ANSWERS.iterdir()} == set(RECORDED)


# --- others ---

OPENAI_CHUNK = {"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": None}
VLLM = {
    "usage": {"prompt_tokens": 30, "completion_tokens": 7},
    "metrics": {
        "time_to_first_token_ms": 20,
        "mean_itl_ms": 8.0,
        "speculative_decoding": {"num_draft_tokens": 9, "num_accepted_draft_tokens": 6},
    },
}
ANTHROPIC = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 11, "output_tokens": 1}}},
    {"type": "ping"},
    {"type": "message_delta", "usage": {"input_tokens": 0, "output_tokens": 42}},
    {"type": "message_stop"},
]


@pytest.mark.parametrize(
    ("objects", "wanted"),
    [
        (
            [
                OPENAI_CHUNK,
                OPENAI_CHUNK,
                {
                    "choices": [],
                    "usage": {
                        "prompt_tokens": 3,
                        "completion_tokens": 5,
                        "prompt_tokens_details": {"cached_tokens": 2},
                    },
                },
                "[DONE]",
            ],
            Usage(3, 5, 2),
        ),
        (ANTHROPIC, Usage(11, 42)),
        (
            [
                {"type": "response.created", "response": {"usage": None}},
                {
                    "type": "response.completed",
                    "response": {
                        "usage": {
                            "input_tokens": 8,
                            "input_tokens_details": {"cached_tokens": 0},
                            "output_tokens": 9,
                        }
                    },
                },
            ],
            Usage(8, 9, 0),
        ),
        ([{"usage": {"prompt_tokens": 1, "completion_tokens": n}} for n in (1, 2, 3)], Usage(1, 3)),
        ([OPENAI_CHUNK, VLLM], Usage(30, 7, -1, 9, 6, 1500.0, 125.0, 20)),
        (
            [
                {
                    "timings": {
                        "prompt_n": 4,
                        "predicted_n": 6,
                        "cache_n": 1,
                        "draft_n": 5,
                        "draft_n_accepted": 3,
                        "prompt_ms": 2.0,
                        "predicted_ms": 3.0,
                        "prompt_per_second": 2000.0,
                        "predicted_per_second": 2000.0,
                    },
                    "usage": {"prompt_tokens": 5, "completion_tokens": 6},
                }
            ],
            Usage(4, 6, 1, 5, 3, 2000.0, 2000.0, 2.0, 3.0, apart=1),
        ),
        ([{"timings": {"prompt_ms": 2}}, {"usage": {"prompt_tokens": 5}}], Usage(5, prompt_ms=2)),
        ([OPENAI_CHUNK, "[DONE]"], None),
        ([], None),
    ],
)
def test_a_stream(objects, wanted):
    text = events(*objects)
    assert usage(STREAM, text) == wanted
    assert usage("Text/Event-Stream;charset=utf-8", text.replace(b"\n", b"\r\n")) == wanted
    assert usage(STREAM, *(text[i : i + 1] for i in range(len(text)))) == wanted


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ({"usage": {"prompt_tokens": 1, "total_tokens": 1}, "data": []}, Usage(1)),
        (
            {"usage": {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 0}},
            Usage(1, 2, 0),
        ),
        (
            VLLM | {"usage": VLLM["usage"] | {"prompt_tokens_details": {"cached_tokens": 10}}},
            Usage(30, 7, 10, 9, 6, 1000.0, 125.0, 20),
        ),
        ({"metrics": {"speculative_decoding": {"num_draft_tokens": 9}}}, Usage()),
        (
            [{"timings": {"prompt_n": 1}}, {"timings": {"prompt_n": 2, "predicted_n": 3}}],
            Usage(2, 3),
        ),
        ({"choices": [{"usage": {"prompt_tokens": 99}}], "id": "x"}, None),
        ({"usage": None, "timings": []}, None),
        ([], None),
    ],
)
def test_a_plain_answer(answer, wanted):
    text = json.dumps(answer, indent=1).encode()
    assert usage(JSON, text) == usage(JSON, b"\n ", text, b"\n") == wanted
    assert usage("", text) == wanted  # whatever it calls itself


# --- long ones ---

LONG = "x" * 5 * ends.END
COST = {"prompt_tokens": 3, "completion_tokens": 5}
LURE = {"usage": {"prompt_tokens": 99}}


@pytest.mark.parametrize(
    "answer",
    [
        {"usage": COST, "data": [LONG]},
        {"data": [LONG, LURE], "usage": COST},
        {"lure": LURE, "usage": COST, "data": [[0.5] * 3 * ends.END, LURE]},
        {"data": [LONG], "lure": LURE, "usage": COST, "more": {"lure": LURE}},
    ],
)
def test_a_long_answer_is_not_kept_and_still_tells(answer):
    text = json.dumps(answer).encode()
    pieces = [text[i : i + 50_000] for i in range(0, len(text), 50_000)]
    tap = tapped(JSON, *pieces)
    assert tap.usage() == Usage(3, 5)
    assert tap.error() == ""


def test_of_a_long_array_the_last_element_tells():
    timings = {"timings": {"prompt_n": 2, "predicted_n": 3}}
    assert usage(JSON, json.dumps([{"content": LONG, **LURE}, timings]).encode()) == Usage(2, 3)


def test_a_long_answer_that_tells_nothing():
    assert usage(JSON, json.dumps([LONG, LURE, LONG]).encode()) is None
    assert usage(JSON, json.dumps({"a": LONG, "b": [LURE, LONG]}).encode()) is None
    assert usage(JSON, b'{"usage":' + LONG.encode()) is None


@pytest.mark.parametrize("step", [1_000_000, 4096])
def test_a_long_event(step):
    response = {"output": [LONG, LURE], "usage": {"input_tokens": 8, "output_tokens": 9}}
    completed = {"type": "response.completed", "response": response, "sequence_number": 7}
    text = events("before", completed, {"type": "after"})
    pieces = (text[i : i + step] for i in range(0, len(text), step))
    assert usage(STREAM, *pieces) == Usage(8, 9)


# --- junk ---


@pytest.mark.parametrize(
    "value",
    [
        *("null", "[]", '"text"', "7", "{}", '{"prompt_tokens":"7"}', '{"prompt_tokens":true}'),
        *('{"prompt_tokens":-1}', '{"prompt_tokens":1e300}', '{"prompt_tokens":' + "9" * 99 + "}"),
        *('{"prompt_tokens_details":7}', '{"prompt_tokens_details":{"cached_tokens":[]}}'),
    ],
)
def test_a_junk_usage_says_nothing_and_hides_nothing(value):
    text = '{"usage":%s,"timings":%s}'
    assert usage(JSON, (text % (value, "null")).encode()) is None
    for kind, wrapped in ((JSON, "%s"), (STREAM, "data: %s\n\n")):
        got = usage(kind, (wrapped % text % (value, '{"prompt_n":3}')).encode())
        assert got == Usage(3)


SCRAPS = st.sampled_from(
    [
        b"data:",
        b"\n",
        b"\n\n",
        b'"usage"',
        b'"timings"',
        b":",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"\\",
        b"7",
        b"event: x\n",
        b'{"usage":{"prompt_tokens":1}}',
        b"\xff",
        b",",
    ]
)


@given(
    st.sampled_from([STREAM, JSON, ""]),
    st.sampled_from(["", "gzip"]),
    st.lists(SCRAPS | st.binary(max_size=9)),
)
def test_junk_never_raises(kind, encoding, pieces):
    tap = tapped(kind, *pieces, encoding=encoding)
    assert isinstance(tap.usage(), Usage | None)
    assert isinstance(tap.error(), str)


@given(
    st.lists(SCRAPS | st.binary(max_size=9), max_size=30), st.lists(st.integers(0, 200), max_size=4)
)
def test_in_a_stream_it_does_not_matter_where_the_pieces_end(scraps, cuts):
    text = b"".join(scraps) + b"\n"
    assert usage(STREAM, text) == usage(STREAM, *split(text, *(min(c, len(text)) for c in cuts)))


@pytest.mark.parametrize("value", [b'{"a":"\xff"}', b'{"a":1e999}'])
def test_what_only_looks_like_an_object(value):
    assert usage(JSON, b'{"usage":' + value + b',"timings":{"prompt_n":3}}') == Usage(3)
    assert tapped(JSON, b'{"error":' + value + b',"detail":"second"}').error() == "second"


def test_a_broken_array():
    assert usage(JSON, b'[{"timings":{"prompt_n":3}},') is None


def test_many_that_are_not_meant():
    text = json.dumps({"data": [LONG, *[LURE] * 20], "usage": COST}).encode()
    assert usage(JSON, text) == Usage(3, 5)


def test_very_deep_junk():
    deep = b'{"usage":' + b'{"a":' * 50_000
    assert usage(JSON, deep) is None
    assert usage(STREAM, b"data: " + deep + b"\n\n") is None
    assert tapped(JSON, b'{"error":' + b"[" * 50_000).error() == ""


# --- how it was sent, and what it was ---


def test_a_compressed_answer():
    kind, text = recorded("chat.sse")
    packed = gzip.compress(text)
    pieces = [packed[i : i + 10] for i in range(0, len(packed), 10)]
    tap = tapped(kind, *pieces, encoding="gzip")
    assert tap.usage() == usage(kind, text)
    assert tap.error() == ""


def test_an_encoding_that_cannot_be_read():
    tap = tapped(JSON, b"anything", encoding="br")
    assert tap.usage() is None
    assert tap.error().startswith("response decode failed: ")
    assert tapped(JSON, b"anything", encoding="gzip").error().startswith("response decode failed: ")


@pytest.mark.parametrize("kind", ["audio/wav", "image/png", "video/mp4"])
def test_what_is_for_ears_and_eyes_is_not_looked_at(kind):
    assert usage(kind, b'{"usage":{"prompt_tokens":1}}') is None


# --- errors ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"error":{"message":"no room","code":400}}', "no room"),
        ('{"error":"no room"}', "no room"),
        ('{"object":"error","message":"no\\nroom "}', "no room"),
        ('{"detail":"no room"}', "no room"),
        ('{"detail":"second","error":{"message":"first"}}', "first"),
        ('{"error":{"message":""},"detail":"second"}', "second"),
        ('{"detail":[{"msg":"x"}]}', ""),
        ('{"error":7}', ""),
        ("no room", ""),
        ("", ""),
        (json.dumps({"error": "x" * 501}), "x" * MESSAGE_LENGTH + "..."),
    ],
)
def test_an_error(text, message):
    assert tapped(JSON, text.encode()).error() == message


def test_the_engines_own_error():
    kind, text = recorded("refused.json")
    assert "exceeds the available context size" in tapped(kind, text).error()
