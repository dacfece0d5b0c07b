"""What it costs to read, and to replace, the model's name: chat requests of 360 B, 20 KB and 1 MB.

python bench/body.py
"""

import json

from best import microseconds
from corral.dialects.body import JSON, Reader, read
from corral.dialects.changes import Changes

SIZES = {"360 B": 360, "20 KB": 20_000, "1 MB": 1_000_000}
PIECE = 65536
RENAMED = Changes(model="other")


def request(size):
    """A streamed chat of that many bytes, its turns of at most 400 characters, the name in front as clients send it."""
    body = {"model": "qwen3-30b", "stream": True, "temperature": 0.7, "messages": []}
    while (room := size - len(json.dumps(body)) - 36) > 0:
        text = ('Line of "text".\n' * 25)[: max(room * 7 // 8, 1) if room < 400 else 340]
        body["messages"].append({"role": "user", "content": text})
    return json.dumps(body).encode()


def in_pieces(body):
    reader = Reader(JSON)
    for at in range(0, len(body), PIECE):
        reader.feed(body[at : at + PIECE])
    reader.end()
    return reader.asked()


def main():
    print(
        f"{'body':>8} {'bytes':>9} {'read':>10} {'in pieces':>10} {'replace':>10} {'json.loads':>10}   µs"
    )
    for name, size in SIZES.items():
        body = request(size)
        costs = (
            microseconds(lambda body=body: read(body)),
            microseconds(lambda body=body: in_pieces(body)),
            microseconds(lambda body=body: RENAMED.apply(body)),
            microseconds(lambda body=body: json.loads(body)),
        )
        print(f"{name:>8} {len(body):>9} " + " ".join(f"{cost:>10.1f}" for cost in costs))


if __name__ == "__main__":
    main()
