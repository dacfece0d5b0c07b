"""What a health check met, in words, and answers that come in pieces."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
import trustme

from corral.host.health import HealthCheck
from corral.host.trust import trusted

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def met(until, answers, *, scheme="http", unix=None) -> str:
    """What a check has met when it passed, or when the last of `answers` was given. An answer is its pieces."""

    async def scene():
        left = list(answers)
        given = asyncio.Event()

        async def serve(reader, writer):
            request = await reader.readuntil(b"\r\n\r\n")
            assert request.startswith(b"GET /health HTTP/1.1\r\n")
            assert b"\r\nHost: " in request
            pieces = left.pop(0) if left else ()
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            writer.close()
            if not left:
                given.set()

        if unix:
            server = await asyncio.start_unix_server(serve, unix)
            url = f"unix:{unix}"
        else:
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        check = HealthCheck(url, "/health")
        async with server:
            passing = asyncio.get_running_loop().create_task(check.passed(), name="check")
            waiting = asyncio.get_running_loop().create_task(given.wait(), name="given")
            await asyncio.wait({passing, waiting}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
            await until(lambda: check.last != "was not asked yet")
            passing.cancel()
            waiting.cancel()
            await asyncio.wait({passing, waiting})
        return str(check).removeprefix(url)

    return asyncio.run(scene())


@pytest.mark.parametrize(
    "pieces",
    [[OK], [OK[i : i + 1] for i in range(len(OK))], [OK[:20], OK[20:]], [OK, b"x" * 99999]],
)
def test_200_passes_however_it_comes(until, pieces):
    assert met(until, [pieces, ()]) == "/health answered 200"


def test_200_passes_over_a_unix_socket(until, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert met(until, [[OK], ()], unix="s") == "/health answered 200"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 503 Loading\r\n\r\n", "/health answered 503"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "/health answered 204"),
        (b"HTTP/1.1 2000 Much\r\n\r\n", "/health answered something that is not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "/health answered something that is not HTTP"),
        (b"\x15\x03\x01\x00\x02", "/health answered something that is not HTTP"),
        (b"x" * 100_000, "/health answered something that is not HTTP"),
        (b"", "/health answered something that is not HTTP"),
    ],
)
def test_nothing_else_passes(until, answer, words):
    assert met(until, [[answer]]) == words


def test_nobody_there(until):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    for url in (f"http://127.0.0.1:{port}", "unix:/nowhere/socket"):
        assert tried(until, HealthCheck(url, "/up")) == f"{url}/up has nobody who listens"


authority = trustme.CA()


@pytest.mark.parametrize(
    ("secured", "trusts", "words"),
    [
        (True, True, "answered 200"),
        (True, False, "could not be reached (its certificate is not trusted: unable to "),
        (False, True, "could not be reached (TLS failed: "),
    ],
)
def test_with_tls(until, tmp_path, monkeypatch, secured, trusts, words):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    if trusts:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)

    async def scene():
        async def serve(reader, writer):
            await reader.read(1)
            writer.write(OK)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=theirs if secured else None)
        async with server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            check = HealthCheck(url, "/up")
            passing = asyncio.get_running_loop().create_task(check.passed(), name="check")
            await until(lambda: check.last != "was not asked yet")
            passing.cancel()
            await asyncio.wait({passing})
        return str(check).removeprefix(f"{url}/up ")

    trusted.cache_clear()
    try:
        assert asyncio.run(scene()).startswith(words)
    finally:
        trusted.cache_clear()


@pytest.mark.parametrize("proxy", ["", "nonsense", "ftp://x", "unix:", "http://", "http://x:99999"])
def test_a_proxy_that_is_no_address(proxy):
    with pytest.raises(ValueError):
        HealthCheck(proxy, "/health")


def tried(until, check: HealthCheck) -> str:
    async def scene():
        task = asyncio.get_running_loop().create_task(check.passed(), name="check")
        await until(lambda: check.last != "was not asked yet")
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(scene())
    return str(check)
