"""WebSockets through a real corral: to engines on ports and sockets, to a peer with TLS, and how each of them can end."""

from __future__ import annotations

import concurrent.futures
import ssl
import sys
import threading
from pathlib import Path

import psutil
import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

ENGINE = f"{sys.executable} {Path(__file__).parent / 'websocket_engine.py'}"
PORT = f'cmd: "{ENGINE} --port ${{PORT}}", proxy: "http://127.0.0.1:${{PORT}}"'
SOCKET = f'cmd: "{ENGINE} --socket ${{SOCKET}}"'


def models(**rows: str) -> str:
    return "models:\n" + "".join(f"  {name}: {{{row}}}\n" for name, row in rows.items())


def tunnel(house, path: str):
    return connect(house.url.replace("http", "ws") + path, proxy=None, max_size=None)


@pytest.mark.parametrize("row", [PORT, SOCKET], ids=["port", "socket"])
def test_an_engine_is_started_and_spoken_with(corral, row):
    house = corral(models(a=row))
    with tunnel(house, "/upstream/a/ws?x=%2F") as client:
        for size in (1, 70_000, 2**22):
            client.send(b"x" * size)
            assert client.recv(30) == b"x" * size
        assert house.state("a")["in_flight"] == 1
    house.until(lambda: house.state("a")["in_flight"] == 0)
    assert "opened /ws?x=%2F" in house.http.get("/logs/a").text


def test_an_open_one_keeps_its_model_from_idleness_and_eviction(corral):
    house = corral(models(a=PORT + ", ttl: 1", b=PORT))
    with tunnel(house, "/upstream/a/ws") as client, concurrent.futures.ThreadPoolExecutor() as pool:
        client.send("wait 2.5")
        assert client.recv(30) == "waited"
        other = pool.submit(tunnel, house, "/upstream/b/ws")
        house.until(lambda: house.state("b")["waiting"] == 1)
        client.send("still here")
        assert client.recv(30) == "still here"
        client.close()
        with other.result(30) as second:
            second.send("at last")
            assert second.recv(30) == "at last"
    assert house.running() == {"b"}


def test_an_engine_that_dies_in_the_middle(corral):
    house = corral(models(a=PORT))
    with tunnel(house, "/upstream/a/ws") as client:
        client.send("die")
        with pytest.raises(ConnectionClosed):
            client.recv(30)
    house.until(lambda: house.running() == set())
    with tunnel(house, "/upstream/a/ws") as client:
        client.send("again")
        assert client.recv(30) == "again"


def test_a_forced_unload(corral):
    house = corral(models(a=PORT))
    with tunnel(house, "/upstream/a/ws") as client:
        client.send("x")
        assert client.recv(30) == "x"
        assert house.http.post("/api/models/unload/a?force=true").status_code == 200
        with pytest.raises(ConnectionClosed):
            client.recv(30)
    assert house.running() == set()


def test_leaving_ends_it_within_the_time_for_that(corral):
    house = corral(models(a=PORT) + "shutdownTimeout: 1\n")
    with tunnel(house, "/upstream/a/ws") as client:
        client.send("x")
        assert client.recv(30) == "x"
        engine = psutil.Process(house.state("a")["pid"])
        assert house.stop() == 0
        with pytest.raises(ConnectionClosed):
            client.recv(30)
        assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE


def test_a_peer_with_tls(corral, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    seen = []

    def repeat(connection):
        seen.append(connection.request)
        for message in connection:
            connection.send(message)

    with serve(repeat, "127.0.0.1", 0, ssl=context) as peer:
        serving = threading.Thread(target=peer.serve_forever)
        serving.start()
        try:
            port = peer.socket.getsockname()[1]
            config = f"peers: {{far: {{proxy: 'https://127.0.0.1:{port}/base', models: [m], apiKey: secret}}}}\n"
            trusting = corral(config, env={"SSL_CERT_FILE": str(tmp_path / "ca.pem")})
            with tunnel(trusting, "/upstream/m/ws") as client:
                client.send("hello")
                assert client.recv(30) == "hello"
            assert seen[0].path == "/base/ws"
            assert seen[0].headers["authorization"] == "Bearer secret"
            assert seen[0].headers["host"] == f"127.0.0.1:{port}"
            trusting.stop()
            stranger = corral(config)
            with pytest.raises(InvalidStatus) as refused:
                tunnel(stranger, "/upstream/m/ws")
            assert refused.value.response.status_code == 502
            assert b"its certificate is not trusted" in refused.value.response.body
            assert b"secret" not in refused.value.response.body
            stranger.said("peer far: .* its certificate is not trusted")
        finally:
            peer.shutdown()
            serving.join(30)
