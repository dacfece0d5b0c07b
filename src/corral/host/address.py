"""Where an engine listens."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine listens: a UNIX socket's `path`, or `host` and `port`. `base` goes before every target."""

    path: str = ""
    host: str = ""
    port: int = 0
    tls: bool = False
    base: bytes = b""
    authority: bytes = b"localhost"
    """What `Host` says when the client said nothing."""

    @classmethod
    def parse(cls, url: str) -> Address:
        """`http://host:port/base`, `https://…` or `unix:/path`. Raises ValueError."""
        if url.startswith("unix:"):
            path = url.removeprefix("unix:")
            if not path:
                raise ValueError(f"{url!r} names no socket")
            return cls(path=path)
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not http://HOST:PORT, https://HOST:PORT or unix:/PATH")
        return cls(
            host=parts.hostname,
            port=parts.port or (443 if parts.scheme == "https" else 80),
            tls=parts.scheme == "https",
            base=parts.path.rstrip("/").encode(),
            authority=parts.netloc.rpartition("@")[2].encode(),
        )

    def __str__(self) -> str:
        """As it was written, but for a password."""
        if self.path:
            return f"unix:{self.path}"
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{self.authority.decode()}{self.base.decode()}"
