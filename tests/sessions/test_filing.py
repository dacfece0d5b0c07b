"""A message as it is kept."""

from __future__ import annotations

import base64

from corral.sessions.blobs import attach, named
from corral.sessions.budget import MEDIUM, size
from corral.sessions.filing import filed, record
from corral.sessions.identity import digest

RAW = bytes(range(256)) * 8
IMAGE = {"url": "data:image/png;base64," + base64.b64encode(RAW).decode()}
MESSAGE = {"role": "user", "content": [{"type": "image_url", "image_url": IMAGE}]}


def test_a_message_is_kept_with_its_digest_and_its_size():
    message = {"role": "user", "content": "hi"}
    found = record(message, 5.0)
    assert (found.message, found.at) == (message, 5.0)
    assert (found.digest, found.size) == (digest(message), size(message))


def test_its_bytes_are_held_apart_and_it_is_the_same_message_still():
    found, held = filed(MESSAGE, 5.0)
    assert held == {named(RAW): RAW}
    assert attach(found.message, held) == MESSAGE
    assert (found.digest, found.at) == (digest(MESSAGE), 5.0)
    assert found.size == len("user") + MEDIUM
