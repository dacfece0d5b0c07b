"""Where a server answers: `http://host:port/path`, `https://...`, `unix:/path/of/socket`; and where corral does, `host:port`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

Address = tuple[str, int]
"""Host and port to listen on. An empty host means every interface, IPv4 and IPv6."""

BLANK = re.compile(r"[\s\x00-\x1f]")

_MACRO = re.compile(r"\$\{(PORT|SOCKET)\}")
_USER = re.compile(r"//[^/@]*@")


def wrong_address(text: str) -> str:
    """What is wrong with an address, "" for nothing. `${PORT}` and `${SOCKET}` may still stand in it;
    a password in it is not repeated."""
    filled = _MACRO.sub("1", text)
    try:
        url = urlsplit(filled)
        good = url.scheme in ("http", "https") and url.hostname and url.port != 0
        good = good and not BLANK.search(text)
    except ValueError:
        good = False
    if good or re.fullmatch(r"unix:[^\s\0]+", filled):
        return ""
    shown = _USER.sub("//***@", text)
    return f"must be http://host:port/path, https://... or unix:/path, not `{shown}`"


def parse(text: str) -> Address:
    """`HOST:PORT`, `[IPV6]:PORT` or `:PORT`. Raises ValueError with a reason that reads like Go's."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or text.endswith("]"):
        raise ValueError(f"address {text}: missing port in address")
    if ":" in host and not bracketed:
        raise ValueError(f"address {text}: too many colons in address")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"address {text}: invalid port {port!r}")
    return (host[1:-1] if bracketed else host), int(port)
