"""Which proxy the environment names for an address: Go's rules."""

from __future__ import annotations

import pytest

from corral.host.proxies import Proxy, proxy_for

BOTH = {"HTTP_PROXY": "http://plain:3128", "HTTPS_PROXY": "http://secure:3129"}


def found(host, *, port=443, tls=True, **environment):
    proxy = proxy_for(host, port, tls=tls, environment=environment)
    return proxy and f"{proxy.host}:{proxy.port}"


@pytest.mark.parametrize(
    ("tls", "environment", "proxy"),
    [
        (True, BOTH, "secure:3129"),
        (False, BOTH, "plain:3128"),
        (True, {}, None),
        (True, {"HTTP_PROXY": "http://plain:1"}, None),
        (False, {"HTTPS_PROXY": "http://secure:1"}, None),
        (True, {"https_proxy": "small:1"}, "small:1"),
        (True, {"https_proxy": "small:1", "HTTPS_PROXY": "big:1"}, "big:1"),
        (True, {"https_proxy": "small:1", "HTTPS_PROXY": ""}, "small:1"),
        (True, {"HTTPS_PROXY": "p"}, "p:80"),
        (True, {"HTTPS_PROXY": "https://p"}, "p:443"),
        (True, {"HTTPS_PROXY": "http://[::1]:8/"}, "::1:8"),
        (True, {"ALL_PROXY": "http://p:1"}, None),
    ],
)
def test_the_scheme_chooses(tls, environment, proxy):
    assert found("api.example", tls=tls, **environment) == proxy


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_never_reached_through_a_proxy(host):
    assert found(host, **BOTH) is None


@pytest.mark.parametrize(
    ("rules", "host", "excepted"),
    [
        ("*", "api.example", True),
        ("", "api.example", False),
        (",, ", "api.example", False),
        ("other, api.example", "api.example", True),
        ("API.Example", "api.eXample", True),
        ("example", "api.example", True),
        ("example", "example", True),
        ("example", "notexample", False),
        (".example", "api.example", True),
        (".example", "example", False),
        ("*.example", "a.b.example", True),
        ("*.example", "example", False),
        ("api.example:443", "api.example", True),
        ("api.example:80", "api.example", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.1.2.3:1", "10.1.2.3", False),
        ("10.1.0.0/16", "10.1.2.3", True),
        ("10.1.0.0/16", "10.2.2.3", False),
        ("10.1.0.0/16", "api.example", False),
        ("nonsense/16", "10.1.2.3", False),
        ("2001:db8::1", "2001:db8::1", True),
        ("[2001:db8::1]:443", "2001:db8::1", True),
        ("[2001:db8::1]:1", "2001:db8::1", False),
        ("2001:db8::/32", "2001:db8::7", True),
        (":443", "api.example", False),
        ("10.1.2", "10.1.2.3", False),
    ],
)
def test_exceptions(rules, host, excepted):
    assert (found(host, **BOTH, NO_PROXY=rules) is None) is excepted
    assert (found(host, **BOTH, no_proxy=rules) is None) is excepted


def test_who_is_asking():
    (header,) = Proxy.parse("http://me:s%40cret@p:1").headers
    assert header == (b"proxy-authorization", b"Basic bWU6c0BjcmV0")
    assert Proxy.parse("http://me@p:1").headers == ((b"proxy-authorization", b"Basic bWU6"),)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("socks5://me:secret@p:1", "a proxy of the kind `socks5` is not supported"),
        ("http://", "it names no host"),
        ("http://me:secret@p:port", "it is no http://host:port"),
        ("http://me:sec/ret@p:1", "it is no http://host:port"),
    ],
)
def test_one_that_cannot_be_used_says_so_and_nothing_secret(url, problem):
    proxy = proxy_for("api.example", 443, tls=True, environment={"HTTPS_PROXY": url})
    assert proxy.problem == f"HTTPS_PROXY in the environment: {problem}"
    for text in (str(proxy), repr(proxy)):
        assert "sec" not in text


def test_shown_without_what_is_secret():
    proxy = Proxy.parse("https://me:secret@p:1")
    assert str(proxy) == "the proxy https://p:1"
    assert str(Proxy.parse("[2001:db8::1]:2")) == "the proxy http://[2001:db8::1]:2"
    assert "secret" not in repr(proxy)
