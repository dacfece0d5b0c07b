"""Sockets that listen, and the server on them: two families, taken ports, TLS, and signals that are left to corral."""

from __future__ import annotations

import contextlib
import errno
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from corral.server import listen
from corral.server.listen import bind


@pytest.fixture
def bound():
    with contextlib.ExitStack() as scope:

        def go(host, port=0):
            return [scope.enter_context(one) for one in bind(host, port)]

        yield go


def reach(host, port):
    with socket.create_connection((host, port), timeout=5):
        return True


def test_the_system_picks_a_port(bound):
    (one,) = bound("127.0.0.1")
    host, port = one.getsockname()
    assert host == "127.0.0.1"
    assert reach("127.0.0.1", port)


def test_localhost_is_one_port_on_every_address_it_has(bound):
    sockets = bound("localhost")
    ports = {one.getsockname()[1] for one in sockets}
    assert len(ports) == 1
    assert all(reach(one.getsockname()[0], *ports) for one in sockets)


def test_an_empty_host_is_every_interface(bound):
    (one,) = bound("")
    assert reach("127.0.0.1", one.getsockname()[1])
    if one.family == socket.AF_INET6:
        assert reach("::1", one.getsockname()[1])


def test_a_taken_port_is_said(bound):
    (one,) = bound("127.0.0.1")
    with pytest.raises(OSError) as refused:
        bind("127.0.0.1", one.getsockname()[1])
    assert refused.value.errno == errno.EADDRINUSE


def test_a_name_that_nobody_has():
    with pytest.raises(OSError):
        bind("no-such-host.invalid", 0)


def test_an_address_that_this_machine_has_not():
    with pytest.raises(OSError) as refused:
        bind("192.0.2.1", 0)  # RFC 5737
    assert refused.value.errno == errno.EADDRNOTAVAIL


V4, GONE = (socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "192.0.2.1")


@pytest.mark.parametrize("addresses", [(GONE, V4), (V4, GONE)])
def test_one_address_that_is_missing_costs_only_itself(monkeypatch, bound, addresses):
    """`localhost` names `::1` as well in many a container without IPv6."""
    monkeypatch.setattr(listen, "_addresses", lambda host, port: dict.fromkeys(addresses))
    (one,) = bound("localhost")
    assert one.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_free_on_one_address_only_is_tried_anew(monkeypatch, bound):
    other = (socket.AF_INET, "127.0.0.2")
    monkeypatch.setattr(listen, "_addresses", lambda host, port: dict.fromkeys((V4, other)))
    create, taken = socket.create_server, iter([False, True])

    def unlucky(address, **options):
        if next(taken, False):
            raise OSError(errno.EADDRINUSE, "taken")
        return create(address, **options)

    monkeypatch.setattr(socket, "create_server", unlucky)
    first, second = bound("localhost")
    assert first.getsockname()[1] == second.getsockname()[1]


def test_when_the_second_address_is_taken_the_first_is_let_go(monkeypatch, bound):
    (one,) = bound("127.0.0.2")
    port = one.getsockname()[1]
    both = dict.fromkeys((V4, (socket.AF_INET, "127.0.0.2")))
    monkeypatch.setattr(listen, "_addresses", lambda host, port: both)
    with pytest.raises(OSError) as refused:
        bind("localhost", port)
    assert refused.value.errno == errno.EADDRINUSE
    monkeypatch.undo()
    assert bound("127.0.0.1", port)


# --- the server ---


def test_signals_are_left_alone(play, world):
    before = signal.getsignal(signal.SIGTERM)  # SIGINT is asyncio's

    async def scene(site):
        assert (await site.http.get("/health")).status_code == 200
        assert signal.getsignal(signal.SIGTERM) is before

    play(world.alone("a"), scene)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(certificate file, key file) for 127.0.0.1, signed by itself."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    names = str(folder / "cert.pem"), str(folder / "key.pem")
    command = (
        f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=corral -addext subjectAltName=IP:127.0.0.1"
    )
    made = [*command.split(), "-out", names[0], "-keyout", names[1]]
    subprocess.run(made, check=True, capture_output=True)
    return names


def test_tls(play, world, certificate):
    trust = ssl.create_default_context(cafile=certificate[0])

    async def scene(site):
        assert site.url.startswith("https://")
        answer = await site.http.post("/v1/completions", json={"model": "a", "x": "y" * 2**20})
        assert answer.status_code == 200
        assert answer.headers["x-corral-model"] == "a"
        assert (await site.http.get("/nothing")).status_code == 404

    play(world.alone("a"), scene, tls=certificate, verify=trust)
