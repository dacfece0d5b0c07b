"""A thread for questions whose answer may never come: a driver that hangs must not take corral with it.

1. Whoever asks waits a bounded time. What was not begun by then is never begun.
2. One thread, however many questions: one that hangs costs that thread, and the others time out.
3. The thread is a daemon: leaving does not wait for it.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Answers one question at a time. `name` is the thread's."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] | None = None

    def __repr__(self) -> str:
        waiting = self._jobs.qsize() if self._jobs else 0
        return f"<Worker {self._name}: {waiting} waiting>"

    async def ask(self, job: Callable[[], T], within: float) -> T:
        """What `job` returns or raises; TimeoutError when that takes more than `within` seconds."""
        return await asyncio.wait_for(asyncio.wrap_future(self.tell(job)), within)

    def tell(self, job: Callable[[], T]) -> Future[T]:
        """Have `job` done; nobody has to wait for it."""
        answer: Future[T] = Future()
        self._started().put((job, answer))
        return answer

    def close(self) -> None:
        """Let the thread end after what it is doing. Asking again starts another."""
        if self._jobs:
            self._jobs.put(None)
            self._jobs = None

    def _started(self) -> queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]:
        if self._jobs is None:
            self._jobs = queue.SimpleQueue()
            threading.Thread(target=_work, args=(self._jobs,), name=self._name, daemon=True).start()
        return self._jobs


def _work(jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]) -> None:
    while (wish := jobs.get()) is not None:
        job, answer = wish
        if not answer.set_running_or_notify_cancel():
            continue
        try:
            answer.set_result(job())
        except Exception as error:  # noqa: BLE001 - it is the asker's
            answer.set_exception(error)
