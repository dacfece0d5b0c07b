"""Metrics as the text that Prometheus reads, corral's own and the engines' together. Imported with the first scrape.

1. An engine's series get the label `model`; one that it had itself becomes `exported_model`, as Prometheus does it.
2. Series of one name are one family, whoever told them: the first says what it is. Those who disagree make it `untyped`.
3. Nobody tells corral's metrics but corral: what an engine tells under such a name is left out.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from prometheus_client import Metric as Text
from prometheus_client import ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from corral.gateway.metrics import SCRAPED, Family, Metric, Spread

OURS = ("corral_", "llamaswap_")
TOTAL = "_total"
TYPES = ("counter", "gauge", "histogram", "summary")
"""What a family may be in this format; whatever else somebody says means `untyped`."""
REASON = 200
"""Characters of the parser's own words that are passed on."""


class Exposition(NamedTuple):
    """The text, and whose engine told something that cannot be read, by model: why."""

    text: bytes
    refused: dict[str, str]


def rendered(own: Iterable[Family], told: Mapping[str, str | None]) -> Exposition:
    """`own`, and what the engines told, by model (None: nothing, although they should have)."""
    read, refused = {}, {}
    for model, text in told.items():
        try:
            read[model] = _read(model, text)
        except (ValueError, IndexError, OverflowError) as error:
            refused[model] = str(error)[:REASON] or "it is no metrics text"
    up = SCRAPED, [((model,), told[model] is not None) for model in read]
    merged: dict[str, Text] = {}
    corral = ProcessCollector(registry=None).collect()  # nothing where there is no /proc
    for family in (*_own((*own, up)), *corral, *chain.from_iterable(read.values())):
        _merge(merged, family)
    return Exposition(generate_latest(_Given(merged.values())), refused)


class _Given(Collector):
    """What `generate_latest` asks."""

    def __init__(self, families: Iterable[Text]) -> None:
        self._families = families

    def collect(self) -> Iterable[Text]:
        return self._families


def _own(families: Iterable[Family]) -> Iterator[Text]:
    for metric, series in families:
        if series:
            text = Text(metric.name.removesuffix(TOTAL), metric.help, metric.kind)
            text.samples = [
                sample for values, value in series for sample in _samples(metric, values, value)
            ]
            yield text


def _samples(metric: Metric, values: tuple[str, ...], value: float | Spread) -> Iterator[Sample]:
    labels = dict(zip(metric.labels, values, strict=True))
    if not isinstance(value, Spread):
        yield Sample(metric.name, labels, float(value))
        return
    buckets = value.buckets()
    for bound, count in buckets:
        shown = "+Inf" if bound == math.inf else str(bound)
        yield Sample(f"{metric.name}_bucket", {**labels, "le": shown}, count)
    yield Sample(f"{metric.name}_count", labels, buckets[-1][1])
    yield Sample(f"{metric.name}_sum", labels, value.total)


def _read(model: str, text: str | None) -> list[Text]:
    """One engine's families. Raises ValueError, IndexError and OverflowError for what is none, or cannot be told again."""
    families = [one for one in text_string_to_metric_families(text or "") if one.samples]
    for family in families:
        family.samples = [_labelled(sample, model) for sample in family.samples]
        if family.type not in TYPES:
            family.type = "unknown"
    return [family for family in families if not family.name.startswith(OURS)]


def _labelled(sample: Sample, model: str) -> Sample:
    labels = dict(sample.labels)
    if "model" in labels:
        name = "exported_model"
        while name in labels:
            name = f"exported_{name}"
        labels[name] = labels["model"]
    if sample.timestamp is not None:
        int(float(sample.timestamp))  # neither infinite nor NaN
    return Sample(sample.name, labels | {"model": model}, float(sample.value), sample.timestamp)


def _merge(merged: dict[str, Text], family: Text) -> None:
    """Law 2. What counts is the name in the text, in which counters have their ending."""
    shown = family.name + TOTAL if family.type == "counter" else family.name
    first = merged.setdefault(shown, family)
    if first is family:
        return
    first.samples = [*first.samples, *family.samples]
    if first.type != family.type:
        first.name, first.type = shown, "unknown"
