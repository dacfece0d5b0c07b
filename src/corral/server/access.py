"""Who may call. Without `apiKeys` everyone; with them, whoever shows one of them (the state of the service itself stays open)."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator, Sequence

from corral.errors import Unauthorized

OPEN = frozenset({"/health", "/wol-health", "/", "/upstream", "/favicon.ico"})
"""Paths that answer without a key: load balancers and wake-on-LAN helpers have none, and who types an address is sent on to be asked for it."""

Headers = Sequence[tuple[bytes, bytes]]


class Access:
    """Compares a request's key with the configured ones, in constant time."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.adopt(keys)

    def adopt(self, keys: Sequence[str]) -> None:
        """From now on these are the keys; none: everyone may call."""
        self._keys = tuple(key.encode() for key in keys)

    @property
    def open(self) -> bool:
        """No keys are configured."""
        return not self._keys

    def check(self, headers: Headers) -> str:
        """Whose key it is (`key 1` for the first), which may be shown; empty when none is needed. Raises Unauthorized."""
        if not self._keys:
            return ""
        matches = self._matches(headers)
        if True not in matches:
            raise Unauthorized(
                "a key is needed: send one of the configured apiKeys as a Bearer token or x-api-key"
            )
        return f"key {1 + matches.index(True)}"

    def allows(self, headers: Headers) -> bool:
        """A key is there and right, or none is needed."""
        return not self._keys or True in self._matches(headers)

    def _matches(self, headers: Headers) -> list[bool]:
        """By key. The first candidate decides: Basic password, then Bearer, then `x-api-key` (llama-swap's order)."""
        offered = next(_candidates(headers), None)
        if offered is None:
            return []
        # All of them, always: how long this takes must not tell which key was near.
        return [hmac.compare_digest(offered, key) for key in self._keys]


def _candidates(headers: Headers) -> Iterator[bytes]:
    given = dict(headers)
    scheme, _, value = given.get(b"authorization", b"").partition(b" ")
    match scheme.lower(), value.strip():
        case b"basic", encoded:
            yield from _password(encoded)
        case b"bearer", token if token:
            yield token
    if key := given.get(b"x-api-key"):
        yield key


def _password(encoded: bytes) -> Iterator[bytes]:
    try:
        _, found, password = base64.b64decode(encoded, validate=True).partition(b":")
    except binascii.Error:
        return
    if found and password:
        yield password
