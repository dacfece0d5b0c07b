"""The proxies that the environment names for the way to other machines: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`.

Read as Go's net/http reads them, which llama-swap uses: capitals win over small letters, and this machine is never reached through a
proxy.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote, urlsplit

Headers = tuple[tuple[bytes, bytes], ...]
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """`headers` are for the proxy itself: who is asking. One with a `problem` cannot be used, and is not gone around either."""

    host: str
    port: int
    tls: bool = False
    headers: Headers = field(default=(), repr=False)
    problem: str = ""

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """`http://user:password@host:port`; the scheme may be missing. What is wrong with it is its `problem`."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
        except ValueError:  # whose text may repeat a password
            return cls("", 0, problem="it is no http://host:port")
        if parts.scheme not in _PORTS:
            return cls("", 0, problem=f"a proxy of the kind `{parts.scheme}` is not supported")
        if not parts.hostname:
            return cls("", 0, problem="it names no host")
        return cls(
            parts.hostname,
            port or _PORTS[parts.scheme],
            parts.scheme == "https",
            _credentials(parts.username, parts.password),
        )

    def __str__(self) -> str:
        if self.problem:
            return "a proxy"
        return f"the proxy {'https' if self.tls else 'http'}://{joined(self.host, self.port)}"


def _credentials(user: str | None, password: str | None) -> Headers:
    if user is None:
        return ()
    text = f"{unquote(user)}:{unquote(password or '')}".encode()
    return ((b"proxy-authorization", b"Basic " + base64.b64encode(text)),)


def joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def proxy_for(host: str, port: int, *, tls: bool, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for an address, None when it is reached directly."""
    name = "HTTPS_PROXY" if tls else "HTTP_PROXY"
    url = _value(environment, name)
    if not url or _is_here(host) or _is_excepted(host, port, _value(environment, "NO_PROXY")):
        return None
    proxy = Proxy.parse(url)
    if proxy.problem:
        return replace(proxy, problem=f"{name} in the environment: {proxy.problem}")
    return proxy


def _value(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower(), "")


def _is_here(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_excepted(host: str, port: int, rules: str) -> bool:
    return any(
        _matches(rule.strip().lower(), host.lower(), port) for rule in rules.split(",") if rule
    )


def _matches(rule: str, host: str, port: int) -> bool:
    """`*`, an address, a network, a domain (with what is below it), `.domain` (only that), each but the network with a port if need be."""
    if rule == "*":
        return True
    if "/" in rule:
        return _is_within(host, rule)
    named, rule_port = _split(rule)
    if rule_port and rule_port != str(port):
        return False
    if (address := _address(named)) is not None:
        return address == _address(host)
    below = named.removeprefix("*")
    if below.startswith("."):
        return host.endswith(below)
    return bool(below) and (host == below or host.endswith(f".{below}"))


def _split(rule: str) -> tuple[str, str]:
    """Host and port of `host:port`, `[::1]:port`, `::1`; the port is empty when there is none."""
    if rule.startswith("["):
        host, _, port = rule[1:].partition("]")
        return host, port.removeprefix(":")
    if rule.count(":") > 1:
        return rule, ""
    host, _, port = rule.partition(":")
    return host, port


def _is_within(host: str, network: str) -> bool:
    address = _address(host)
    try:
        return address is not None and address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
