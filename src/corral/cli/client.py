"""A running corral, over HTTP.

1. Whatever goes wrong becomes one `Failure`: exit 3 when corral cannot be reached, 1 when it refuses or answers nonsense.
2. Only the calls that wait for a model (load, unload, switch, a followed log) may wait without bound; the server bounds them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from corral.cli.address import is_local
from corral.cli.exits import Exit, Failure

T = TypeVar("T")

QUICK = httpx.Timeout(30, connect=5)
PATIENT = httpx.Timeout(None, connect=5)


class LoadFailure(msgspec.Struct, frozen=True):
    """Why a model's last load failed; `log` holds its last lines, oldest first."""

    code: str
    message: str
    exit_code: int | None = None
    log: tuple[str, ...] = ()


class Departure(msgspec.Struct, frozen=True):
    """Why a model was last told to stop; `target` is whom it made room for. `at` in epoch seconds."""

    why: str
    at: float
    target: str | None = msgspec.field(default=None, name="for")


class ModelState(msgspec.Struct, frozen=True):
    """One model as `/api/models` shows it. `since` in epoch seconds, `memory` in bytes, the rest in seconds."""

    id: str
    state: str
    since: float | None = None
    in_flight: int = 0
    waiting: int = 0
    pid: int | None = None
    port: int | None = None
    ttl_left: float | None = None
    last_load_seconds: float | None = None
    last_failure: LoadFailure | None = None
    last_eviction: Departure | None = None
    memory: int | None = None
    shipped: bool = False
    description: str = ""


class Victim(msgspec.Struct, frozen=True):
    """A model that has to leave."""

    model: str
    state: str
    in_flight: int = 0
    cost: float | None = None


class Option(msgspec.Struct, frozen=True):
    """One way to make room."""

    rule: str
    victims: tuple[str, ...] = ()
    cost: float | None = None


class Obstacle(msgspec.Struct, frozen=True):
    """What a request would wait for."""

    model: str
    why: str


class Queue(msgspec.Struct, frozen=True):
    """Who waits for one model; `since` in epoch seconds."""

    model: str
    requests: int
    callers: int
    since: float


class Explanation(msgspec.Struct, frozen=True):
    """What would become of a request, as `/api/explain` says. Seconds."""

    model: str
    outcome: str
    reason: str
    rule: str | None = None
    cost: float | None = None
    victims: tuple[Victim, ...] = ()
    runner_up: Option | None = None
    waits_for: tuple[Obstacle, ...] = ()
    position: int | None = None
    expected_wait: float | None = None
    usual_load: float | None = None
    waiting: tuple[Queue, ...] = ()


class Reload(msgspec.Struct, frozen=True):
    """What a reload changed; each model is in one of the first five."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Memory(msgspec.Struct, frozen=True):
    """MiB in use on the graphics cards; None where there is none."""

    total_mb: int | None = None


class Switch(msgspec.Struct, frozen=True):
    """What a switch did. Seconds; `gpu_settled` is None where there was nothing to wait for."""

    previous_model: str | None
    active_model: str
    elapsed_seconds: float
    phases: dict[str, float]
    gpu_settled: bool | None
    gpu_memory: dict[str, Memory]


class Session(msgspec.Struct, frozen=True):
    """A conversation as `/api/sessions` lists it. Epoch seconds."""

    session_id: str
    updated_at: float
    message_count: int
    created_at: float = 0.0
    model: str | None = None
    preset: str | None = None
    metadata: dict[str, str] = {}
    forked_from: str = ""
    forked_at: int = 0
    parked: dict[str, int] = {}
    """Bytes, by model."""


class Corral:
    """`async with Corral(url, key) as corral`: the calls that commands need."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = _client(self.url, headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def models(self) -> tuple[list[ModelState], Any]:
        """Every configured model, and the same as plain JSON."""
        data = await self._json("GET", "/api/models")
        listed = data.get("models") if isinstance(data, dict) else None
        return self._as(list[ModelState], listed), listed

    async def model(self, model: str) -> ModelState:
        """One model, by id or alias."""
        return self._as(ModelState, await self._json("GET", f"/api/models/{quote(model)}"))

    async def explain(self, model: str) -> tuple[Explanation, Any]:
        """What would become of a request for the model, and the same as plain JSON. Nothing is changed by asking."""
        data = await self._json("GET", "/api/explain", params={"model": model})
        return self._as(Explanation, data), data

    async def load(self, model: str) -> Any:
        """Load the model; returns when it is ready, with the server's report."""
        return await self._json("POST", f"/api/models/load/{quote(model)}", timeout=PATIENT)

    async def switch(self, model: str) -> tuple[Switch, Any]:
        """Make the model the active one; returns when it is, with the server's report, and the same as plain JSON."""
        data = await self._json("POST", "/admin/switch", json={"model": model}, timeout=PATIENT)
        return self._as(Switch, data), data

    async def unload(self, model: str, *, force: bool) -> None:
        """Unload one model (all when it is empty); returns when it is gone. `force` does not let requests finish."""
        path = f"/api/models/unload/{quote(model)}" if model else "/api/models/unload"
        await self._send("POST", path, params={"force": "true"} if force else {}, timeout=PATIENT)

    async def reload(self) -> tuple[Reload, Any]:
        """Have the configuration read again; what that changed, and the same as plain JSON. Failure (exit 2) with every problem."""
        data = await self._json("POST", "/api/reload", timeout=PATIENT)
        return self._as(Reload, data), data

    async def sessions(self, limit: int) -> tuple[list[Session], Any]:
        """The conversations that were used last, and the whole answer as plain JSON."""
        data = await self._json("GET", "/api/sessions", params={"limit": limit})
        listed = data.get("sessions") if isinstance(data, dict) else None
        return self._as(list[Session], listed), data

    async def session(self, session: str, **wanted: int) -> tuple[Session, Any]:
        """A conversation, and the whole answer as plain JSON, with its messages: those `after` a number, `limit` at most."""
        data = await self._json("GET", _of(session), params=wanted, timeout=PATIENT)
        return self._as(Session, data), data

    async def change_session(self, session: str, change: dict[str, Any]) -> Any:
        """Change what is named of it: preset, system, metadata."""
        return await self._json("PATCH", _of(session), json=change, timeout=PATIENT)

    async def fork_session(self, session: str, branch: dict[str, Any]) -> tuple[Session, Any]:
        """Another conversation like it: `at`, `session_id`."""
        data = await self._json("POST", _of(session, "/fork"), json=branch)
        return self._as(Session, data), data

    async def delete_session(self, session: str) -> None:
        await self._send("DELETE", _of(session), timeout=PATIENT)

    async def export_session(self, session: str, *, lines: bool) -> AsyncIterator[bytes]:
        """All of it, as it comes."""
        form = {"format": "jsonl" if lines else "json"}
        async with self._stream(_of(session, "/export"), form) as response:
            async for piece in response.aiter_bytes():
                yield piece

    async def log(self, model: str) -> str:
        """What is kept of a model's output; of everything's when `model` is empty."""
        return (await self._send("GET", f"/logs/{quote(model)}" if model else "/logs")).text

    async def follow(self, model: str, *, history: bool = True) -> AsyncIterator[str]:
        """A model's output (everything's when it is empty) as it comes, until the server ends it."""
        path = f"/logs/stream/{quote(model)}" if model else "/logs/stream"
        async with self._stream(path, {} if history else {"no-history": ""}) as response:
            async for piece in response.aiter_text():
                yield piece

    async def chat(self, model: str, text: str, *, max_tokens: int) -> httpx.Response:
        """One question to a model: the whole answer, once it has come."""
        body = {
            "model": model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": max_tokens,
        }
        return await self._send("POST", "/v1/chat/completions", json=body, timeout=PATIENT)

    # --- sending ---------------------------------------------------------------------------------

    async def _json(self, method: str, path: str, **how: Any) -> Any:
        response = await self._send(method, path, **how)
        try:
            return response.json()
        except ValueError as error:
            raise self._nonsense() from error

    async def _send(self, method: str, path: str, **how: Any) -> httpx.Response:
        with self._translated():
            response = await self._http.request(method, self.url + path, **how)
        self._refuse(response)
        return response

    @asynccontextmanager
    async def _stream(self, path: str, params: dict[str, str]) -> AsyncIterator[httpx.Response]:
        with self._translated():
            request = self._http.stream("GET", self.url + path, params=params, timeout=PATIENT)
            async with request as response:
                if response.is_error:
                    await response.aread()
                    self._refuse(response)
                yield response

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
            raise Failure(f"{self.url} is not an http(s) address", Exit.MISUSED) from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            hint = "is `corral serve` running? (--url, CORRAL_URL)"
            raise Failure(
                f"cannot reach {self.url}: {_reason(error)}; {hint}", Exit.UNREACHABLE
            ) from error
        except httpx.TransportError as error:
            raise Failure(f"lost {self.url}: {_reason(error)}", Exit.UNREACHABLE) from error
        except httpx.DecodingError as error:
            raise self._nonsense() from error

    def _refuse(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        if problems := _problems(response):
            raise Failure(problems, Exit.MISUSED, prefix="")
        message = _message(response)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            message += " (--key, CORRAL_KEY)"
        raise Failure(message)

    def _as(self, kind: type[T], value: object) -> T:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise self._nonsense() from error

    def _nonsense(self) -> Failure:
        return Failure(f"{self.url} does not answer like corral; is it something else's address?")


def _of(session: str, what: str = "") -> str:
    return f"/api/sessions/{quote(session, safe='')}{what}"


def _client(url: str, headers: dict[str, str]) -> httpx.AsyncClient:
    """A proxy named in the environment is for the outside: this machine is asked directly."""
    try:
        local = is_local(httpx.URL(url).host)
    except httpx.InvalidURL as error:
        raise Failure(f"{url} is not an http(s) address", Exit.MISUSED) from error
    return httpx.AsyncClient(headers=headers, timeout=QUICK, trust_env=not local)


def _problems(response: httpx.Response) -> str:
    """A wrong configuration's problems, one a line; empty for any other refusal."""
    try:
        error = response.json()["error"]
        return str(error["message"]) if error["code"] == "invalid_config" else ""
    except (ValueError, LookupError, TypeError):
        return ""


def _message(response: httpx.Response) -> str:
    """The error's message in OpenAI's or Anthropic's shape; else what HTTP says. One line."""
    try:
        message = response.json()["error"]["message"]
    except (ValueError, LookupError, TypeError):
        message = f"{response.status_code} {response.reason_phrase} from {response.url}"
    return " ".join(str(message).split())


def _reason(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__
