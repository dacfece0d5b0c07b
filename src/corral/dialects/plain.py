"""Routes of no particular API (management, audio, images): OpenAI's body, which every client of such routes already reads.

Their answers are no event streams, so an error after the first byte has no form but a cut connection.
"""

from __future__ import annotations

from corral.dialects.dialect import Dialect
from corral.dialects.openai import shape


def _no_event(*_: object) -> bytes:
    return b""


PLAIN = Dialect("plain", shape, _no_event)
