"""Every metric that corral tells of, as data: the counting is in `meters.py` and `performance.py`, the text in `server/exposition.py`.

1. A row is all that the page, the dashboard's test and the scrape know of a metric; its `name` is the one in the text.
2. Label values are bounded: configured models, known routes, HTTP statuses, and the words listed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One metric."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


class Spread(NamedTuple):
    """A histogram's values: how many fell up to each bound, and above the last; and their sum."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float

    def buckets(self) -> list[tuple[float, int]]:
        """(upper bound, how many were not above it), the last bound being infinity."""
        return list(zip((*self.bounds, math.inf), accumulate(self.counts), strict=True))


Family = tuple[Metric, Sequence[tuple[tuple[str, ...], float | Spread]]]
"""A metric with (label values, value) of each of its series."""

BY_ROUTE: Final = ("model", "route")
BY_MODEL: Final = ("model",)
CARD: Final = ("id", "name", "uuid")

REQUESTS = Metric(
    "corral_requests_total",
    "counter",
    "Requests that are over, by the status the client got; 499: it left before it got one",
    (*BY_ROUTE, "status"),
)
CUT = Metric(
    "corral_requests_cut_total",
    "counter",
    "Requests whose answer had begun well and did not come to its end",
    BY_ROUTE,
)
DURATION = Metric(
    "corral_request_duration_seconds",
    "histogram",
    "From a request's arrival to the end of its answer, waiting and loading included",
    BY_ROUTE,
)
FIRST_BYTE = Metric(
    "corral_request_first_byte_seconds",
    "histogram",
    "From a request's arrival to the first byte of its answer's body, waiting and loading included",
    BY_ROUTE,
)
QUEUE_WAIT = Metric(
    "corral_queue_wait_seconds",
    "histogram",
    "What requests waited for room, their model's own load not included",
    BY_ROUTE,
)
TOKENS_IN = Metric(
    "corral_input_tokens_total", "counter", "Tokens of prompts, as the engines count them", BY_ROUTE
)
TOKENS_CACHED = Metric(
    "corral_cached_tokens_total",
    "counter",
    "Tokens of prompts that were in an engine's cache",
    BY_ROUTE,
)
TOKENS_OUT = Metric(
    "corral_output_tokens_total",
    "counter",
    "Tokens of answers, as the engines count them",
    BY_ROUTE,
)
PROMPT_SPEED = Metric(
    "corral_prompt_tokens_per_second",
    "histogram",
    "How fast engines read a request's prompt, where they say so",
    BY_ROUTE,
)
SPEED = Metric(
    "corral_output_tokens_per_second",
    "histogram",
    "How fast engines wrote an answer, where they say so",
    BY_ROUTE,
)
IN_FLIGHT = Metric(
    "corral_requests_in_flight", "gauge", "Requests that a model is serving", BY_MODEL
)
QUEUE = Metric("corral_queue_length", "gauge", "Requests that wait for a model", BY_MODEL)
RESIDENT = Metric(
    "corral_model_resident", "gauge", "1 while a model's process runs, loading included", BY_MODEL
)
LOADS = Metric(
    "corral_loads_total",
    "counter",
    "Loads that have ended: `result` is ready, failed, or stopped (by whoever wanted it gone)",
    ("model", "result"),
)
LOAD_TIME = Metric(
    "corral_load_seconds", "histogram", "What loads took that ended with a ready model", BY_MODEL
)
EVICTIONS = Metric(
    "corral_evictions_total",
    "counter",
    "Ready models that left: `reason` is group or matrix (made room), ttl, unload, reload, shutdown, "
    "crash, or other",
    ("model", "reason"),
)
PROCESS_MEMORY = Metric(
    "corral_process_memory_bytes",
    "gauge",
    "Main memory that a model's processes hold; what they share is counted for each",
    BY_MODEL,
)
PROCESS_GPU_MEMORY = Metric(
    "corral_process_gpu_memory_bytes",
    "gauge",
    "Memory of a graphics card (by its `id`) that a model's processes hold",
    ("model", "id"),
)
SCRAPED = Metric(
    "corral_engine_metrics_up",
    "gauge",
    "1 when the engine of a ready model answered with metrics of its own, 0 when it should have and did not",
    BY_MODEL,
)

PARKED = Metric(
    "corral_parked_bytes",
    "gauge",
    "Files with what a model has read of conversations, kept while it is unloaded",
    BY_MODEL,
)
RESTORES = Metric(
    "corral_parked_restores_total",
    "counter",
    "Turns that such a file was restored for: `result` is reused, useless (the prompt was read again), or failed (it was not taken)",
    ("model", "result"),
)

CORES = Metric("llamaswap_cpu_util_percent", "gauge", "Percent that a core was busy", ("core",))
LOAD_AVERAGE = Metric(
    "llamaswap_load_average", "gauge", "Processes that run or want to: 1m, 5m, 15m", ("interval",)
)
NETWORK = Metric(
    "llamaswap_network_bytes_total",
    "counter",
    "Bytes that an interface received or sent: `direction` is recv or sent",
    ("interface", "direction"),
)
MACHINE: Final = {
    "memory_total": Metric("llamaswap_memory_total_bytes", "gauge", "Main memory"),
    "memory_used": Metric("llamaswap_memory_used_bytes", "gauge", "Main memory in use"),
    "memory_free": Metric("llamaswap_memory_free_bytes", "gauge", "Main memory with nothing in it"),
    "swap_total": Metric("llamaswap_swap_total_bytes", "gauge", "Swap space"),
    "swap_used": Metric("llamaswap_swap_used_bytes", "gauge", "Swap space in use"),
}
"""By what `ports.Machine` calls it."""
GPU: Final = {
    name: Metric(f"llamaswap_gpu_{shown}", "gauge", help_, CARD)
    for name, shown, help_ in (
        ("temperature", "temperature_celsius", "A graphics card's temperature"),
        ("memory_temperature", "vram_temperature_celsius", "Its memory's temperature"),
        ("busy", "util_percent", "Percent of the time that it was busy"),
        ("memory_share", "memory_util_percent", "Percent of its memory in use"),
        ("memory_used", "memory_used_bytes", "Its memory in use"),
        ("memory_total", "memory_total_bytes", "Its memory"),
        ("fan", "fan_speed_percent", "Its fan, in percent of the highest speed"),
        ("power", "power_draw_watts", "Power that it draws"),
    )
}
"""By what `ports.Gpu` calls it."""

METRICS: Final = (
    REQUESTS,
    CUT,
    DURATION,
    FIRST_BYTE,
    QUEUE_WAIT,
    TOKENS_IN,
    TOKENS_CACHED,
    TOKENS_OUT,
    PROMPT_SPEED,
    SPEED,
    IN_FLIGHT,
    QUEUE,
    RESIDENT,
    LOADS,
    LOAD_TIME,
    EVICTIONS,
    PROCESS_MEMORY,
    PROCESS_GPU_MEMORY,
    SCRAPED,
    PARKED,
    RESTORES,
    CORES,
    *MACHINE.values(),
    LOAD_AVERAGE,
    NETWORK,
    *GPU.values(),
)
"""All of them, in the order in which they are shown."""
