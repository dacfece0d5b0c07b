"""Members that corral adds to a plain answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from corral.dialects.turns.request import JUNK

_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def stamped(body: bytes, members: Mapping[str, object]) -> bytes:
    """The JSON object with more members at its top level; what is no JSON object stays as it is."""
    try:
        answer: dict[str, object] = {**_object(body)}
    except JUNK:
        return body
    return msgspec.json.encode({**answer, **members}) if members else body
