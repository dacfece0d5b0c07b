"""The address to listen on, as people see it."""

from __future__ import annotations

import ipaddress

from corral.config.address import Address, parse

__all__ = ["DEFAULT", "EVERYWHERE", "Address", "is_local", "parse", "url"]

DEFAULT = "127.0.0.1:8080"
"""Where corral listens when nobody says."""

EVERYWHERE = ("", "0.0.0.0", "::")


def url(address: Address, scheme: str = "http") -> str:
    """Where a browser on this machine finds the address."""
    host, port = address
    name = "localhost" if host in EVERYWHERE else host
    return f"{scheme}://[{name}]:{port}" if ":" in name else f"{scheme}://{name}:{port}"


def is_local(host: str) -> bool:
    """Only this machine can reach it. A name other than `localhost` counts as reachable from elsewhere."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
