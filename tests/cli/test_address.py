from __future__ import annotations

import pytest

from corral.cli import address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("localhost:0", "localhost", 0),
        (":8080", "", 8080),
        ("[::1]:8080", "::1", 8080),
        ("[::]:65535", "::", 65535),
    ],
)
def test_addresses(text, host, port):
    assert address.parse(text) == (host, port)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("8000", "address 8000: missing port in address"),
        ("", "address : missing port in address"),
        ("localhost", "address localhost: missing port in address"),
        ("[::1]", "address [::1]: missing port in address"),
        ("::1:8080", "address ::1:8080: too many colons in address"),
        ("localhost:", "address localhost:: invalid port ''"),
        ("localhost:http", "address localhost:http: invalid port 'http'"),
        ("localhost:65536", "address localhost:65536: invalid port '65536'"),
        ("localhost:-1", "address localhost:-1: invalid port '-1'"),
        ("localhost:²", "address localhost:²: invalid port '²'"),
    ],
)
def test_what_is_no_address(text, said):
    with pytest.raises(ValueError) as raised:
        address.parse(text)
    assert str(raised.value) == said


@pytest.mark.parametrize(
    ("where", "url"),
    [
        (("127.0.0.1", 80), "http://127.0.0.1:80"),
        (("", 8080), "http://localhost:8080"),
        (("0.0.0.0", 8080), "http://localhost:8080"),
        (("::1", 8080), "http://[::1]:8080"),
    ],
)
def test_where_a_browser_finds_it(where, url):
    assert address.url(where) == url


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_only_this_machine_reaches_it(host):
    assert address.is_local(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.1.5", "box.example"])
def test_others_reach_it(host):
    assert not address.is_local(host)
