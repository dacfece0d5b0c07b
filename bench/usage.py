"""What it costs to read the tokens from an answer: microseconds per piece of a stream, and per answer at its end.

python bench/usage.py
"""

import json

from best import microseconds
from corral.dialects.usage import UsageTap

COUNTS = {
    "prompt_tokens": 30,
    "completion_tokens": 500,
    "prompt_tokens_details": {"cached_tokens": 4},
}
TIMINGS = {
    "cache_n": 4,
    "prompt_n": 26,
    "prompt_ms": 20.5,
    "prompt_per_second": 1268.3,
    "predicted_n": 500,
    "predicted_ms": 4000.5,
}
CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": " word"}}],
}
VECTOR = [-0.0125 * n / 7 for n in range(1024)]
PIECE = 65536


def event(data):
    return b"data: %b\n\n" % json.dumps(data).encode()


def answer(**members):
    return "application/json", [json.dumps(members).encode()]


def vectors(count):
    data = [{"object": "embedding", "index": n, "embedding": VECTOR} for n in range(count)]
    text = json.dumps({"object": "list", "data": data, "usage": {"prompt_tokens": 8}}).encode()
    return "application/json", [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def stream(chunk, last):
    return "text/event-stream", [event(chunk)] * 500 + [event(last), b"data: [DONE]\n\n"]


CASES = {
    "stream of 500 chunks": stream(CHUNK, CHUNK | {"usage": COUNTS, "timings": TIMINGS}),
    "with `usage: null` in each": stream(CHUNK | {"usage": None}, CHUNK | {"usage": COUNTS}),
    "with timings in each": stream(
        CHUNK | {"timings": TIMINGS}, CHUNK | {"usage": COUNTS, "timings": TIMINGS}
    ),
    "600 B of JSON": answer(choices=[{"message": {"content": "x" * 300}}], usage=COUNTS),
    "100 KB of JSON": answer(choices=[{"message": {"content": "x" * 100_000}}], usage=COUNTS),
    "1 embedding": vectors(1),
    "500 embeddings": vectors(500),
}


def fed(kind, pieces):
    tap = UsageTap(kind)
    feed = tap.feed
    for piece in pieces:
        feed(piece)
    return tap


def main():
    print(f"{'answer':<28} {'bytes':>10} {'pieces':>7} {'per piece':>10} {'at the end':>11}   µs")
    for name, (kind, pieces) in CASES.items():
        feeding = microseconds(lambda kind=kind, pieces=pieces: fed(kind, pieces))
        whole = microseconds(lambda kind=kind, pieces=pieces: fed(kind, pieces).usage())
        assert fed(kind, pieces).usage()
        size = sum(map(len, pieces))
        print(
            f"{name:<28} {size:>10} {len(pieces):>7} {feeding / len(pieces):>10.2f} {max(whole - feeding, 0):>11.1f}"
        )


if __name__ == "__main__":
    main()
