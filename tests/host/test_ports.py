"""Who may have which port, and for how long."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from corral.errors import LoadFailed
from corral.host.ports import held_port, held_socket, is_free, socket_folder


@pytest.fixture
def taken():
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_is_held_until_its_block_ends(tmp_path, taken):
    with held_port(taken, tmp_path) as first:
        assert first > taken
        with held_port(first, tmp_path) as second:
            assert second > first
    with held_port(first, tmp_path) as again:
        assert again == first


def test_another_process_holds_against_us_and_its_death_lets_go(tmp_path, taken):
    code = "import sys; from pathlib import Path; from corral.host.ports import held_port\nwith held_port(int(sys.argv[1]), Path(sys.argv[2])) as port: print(port, flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        (sys.executable, "-c", code, str(taken), str(tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with other:
        port = int(other.stdout.readline())
        with held_port(port, tmp_path) as mine:
            assert mine > port
        other.kill()
        other.wait(30)
    with held_port(port, tmp_path) as mine:
        assert mine == port


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET, "0.0.0.0"),
        (socket.AF_INET6, "::1"),
        (socket.AF_INET6, "::"),
    ],
)
def test_a_listener_on_any_local_address_takes_the_port(family, address):
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_a_port_whose_connections_linger_is_free():
    """The side that closes first stays in TIME_WAIT; an engine that was just killed left such ones."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        client = socket.create_connection(address)
        accepted, _ = server.accept()
        accepted.close()
        client.close()
    assert is_free(address[1])


def test_there_may_be_no_port_left(tmp_path):
    with (
        held_port(65535, tmp_path),
        pytest.raises(LoadFailed, match=r"no free port from 65535.*startPort"),
        held_port(65535, tmp_path),
    ):
        pass


def test_sockets_have_paths_of_their_own_that_fit(tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    for runtime in (tmp_path, deep):
        with socket_folder(runtime) as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
            with held_socket(folder) as one, held_socket(folder) as two:
                assert one != two
                with socket.socket(socket.AF_UNIX) as server:
                    if runtime is deep:
                        assert deep not in one.parents
                        assert len(str(one)) < 100
                        server.bind(str(one))
            assert list(folder.iterdir()) == []
        assert not folder.exists()
