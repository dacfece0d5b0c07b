"""Where a server answers: `http://host:port/path`, `https://...`, `unix:/path/of/socket`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

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
