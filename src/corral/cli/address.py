"""The address to listen on, as text and as (host, port)."""

from __future__ import annotations

import ipaddress

Address = tuple[str, int]
"""Host and port. An empty host means every interface, IPv4 and IPv6."""

EVERYWHERE = ("", "0.0.0.0", "::")


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
