"""What a turn's body and answer cost: microseconds to read a conversation and to write it again, and per event of its answer.

python bench/turns.py
"""

import json

from best import microseconds
from corral.dialects.turns.anthropic import ANTHROPIC
from corral.dialects.turns.chat import CHAT
from corral.dialects.turns.responses import RESPONSES

TURNS = (2, 200, 10_000)
TEXT = 'Line of "text".\n' * 20
EVENTS = 500


def conversation(turns):
    roles = ("user", "assistant")
    said = [{"role": roles[at % 2], "content": TEXT} for at in range(turns)]
    typed = [{"type": "message", **message} for message in said]
    return {CHAT: {"messages": said}, ANTHROPIC: {"messages": said}, RESPONSES: {"input": typed}}


def event(**data):
    return b"event: %b\ndata: %b\n\n" % (data.get("type", "").encode(), json.dumps(data).encode())


def answers():
    chunk = event(choices=[{"index": 0, "delta": {"content": " word"}}], object="chunk", id="c")
    delta = {"type": "text_delta", "text": " word"}
    block = {"type": "text", "text": ""}
    item = {"type": "message", "role": "assistant", "content": []}
    return {
        CHAT: [chunk],
        ANTHROPIC: [
            event(type="content_block_start", index=0, content_block=block),
            event(type="content_block_delta", index=0, delta=delta),
        ],
        RESPONSES: [
            event(type="response.output_item.added", item=item, output_index=0),
            event(type="response.output_text.delta", output_index=0, delta=" word"),
        ],
    }


def collected(shape, first, last):
    collector = shape.collector("text/event-stream", "")
    collector.feed(first)
    for _ in range(EVENTS):
        collector.feed(last)
    return collector.said()


def main():
    print(f"{'':>10} {'messages':>9} {'read':>10} {'write':>10}   µs")
    for turns in TURNS:
        for shape, said in conversation(turns).items():
            body = json.dumps(said).encode()
            asked = shape.read(body)
            read = microseconds(lambda shape=shape, body=body: shape.read(body))
            write = microseconds(lambda shape=shape, asked=asked: shape.changes((), asked.messages))
            print(f"{shape.name:>10} {turns:>9} {read:>10.1f} {write:>10.1f}")
    for shape, events in answers().items():
        cost = microseconds(lambda shape=shape, e=events: collected(shape, e[0], e[-1]))
        print(f"{shape.name:>10} {cost / EVENTS:>10.2f} µs per event")


if __name__ == "__main__":
    main()
