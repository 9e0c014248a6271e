"""Metrics for Prometheus, with the names of text-embeddings-inference, and the figures of the page."""

import collections
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from minilm_jax.serving.operations import Record
from minilm_jax.serving.request_errors import RequestError
from minilm_jax.serving.service import Service

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LIVE_SECONDS = 10.0


class Metrics:
    """Counts of requests and batches."""

    def __init__(self, service: Service) -> None:
        """Create metrics at zero.

        Args:
            service: The models and their queue.
        """
        self._service, self._registry = service, CollectorRegistry()
        self._started, self._recent = time.monotonic(), collections.deque[tuple[float, float, int]](maxlen=100_000)
        # These are counters, but prometheus_client would add "_total" to their names.
        self._count = self._gauge("te_request_count", "Requests", "method")
        self._success = self._gauge("te_request_success", "Requests that succeeded", "method")
        self._failure = self._gauge("te_request_failure", "Requests that failed", "err")
        parts = ("", "_tokenization", "_queue", "_inference")
        self._durations = [self._seconds(f"te_request{part}_duration", "Seconds of a request") for part in parts]
        self._http = self._seconds("http_request_duration_seconds", "Seconds", "handler", "method", "status")
        self._length = Histogram(
            "te_request_input_length", "Tokens of a request", buckets=[2**n for n in range(16)], registry=self._registry
        )
        ProcessCollector(registry=self._registry)
        self._registry.register(self)  # pyright: ignore[reportArgumentType] only `collect` is needed.

    def observe(self, handler: str, method: str, status: int, seconds: float, record: Record) -> None:
        """Count a request."""
        self._http.labels(handler, method, str(status)).observe(seconds)
        if not record.texts:
            return
        kind = "single" if record.texts == 1 else "batch"
        self._count.labels(kind).inc()
        if status == 200:
            self._success.labels(kind).inc()
            self._recent.append((time.monotonic(), seconds, record.texts))
        answers = record.answers
        if answers:
            self._length.observe(record.tokens)
            columns = zip(*[each[2:] for each in answers], strict=True)
            for histogram, value in zip(self._durations, [seconds, *map(sum, columns)], strict=True):
                histogram.observe(value)

    def fail(self, error: RequestError) -> None:
        """Count a request that failed."""
        self._failure.labels(error.kind.lower()).inc()

    def text(self) -> bytes:
        """Return all metrics in the format of Prometheus."""
        return generate_latest(self._registry)

    def live(self) -> dict[str, Any]:
        """Return the figures of the last seconds."""
        now = time.monotonic()
        recent = [each for each in self._recent if each[0] > now - _LIVE_SECONDS]
        span = min(_LIVE_SECONDS, now - self._started)
        median, slow = np.percentile([each[1] for each in recent], (50, 99)).tolist() if recent else (None, None)
        stats = self._service.batcher.stats
        return {
            "requests_per_second": len(recent) / span if recent else None,
            "texts_per_second": sum(each[2] for each in recent) / span if recent else None,
            "batch_texts": stats.last_texts if recent else None,
            "waiting_tokens": stats.waiting,
            "p50_ms": None if median is None else 1_000 * median,
            "p99_ms": None if slow is None else 1_000 * slow,
            "uptime_seconds": now - self._started,
        }

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of the queue and the models; prometheus_client calls this."""
        stats, models = self._service.batcher.stats, self._service.models
        for name, text, value in (
            ("te_queue_size", "Tokens that wait", stats.waiting),
            ("te_batch_next_size", "Texts in the last batch", stats.last_texts),
            ("te_batch_next_tokens", "Tokens in the last batch", stats.last_tokens),
        ):
            yield GaugeMetricFamily(name, text, value)
        for name, text, value in (
            ("batches", "Batches computed", stats.batches),
            ("failed_batches", "Batches that failed", stats.failed),
            ("cancelled_requests", "Requests cancelled because the client disconnected", stats.cancelled),
            ("texts", "Texts computed", stats.texts),
            ("tokens", "Tokens computed, without padding", stats.tokens),
            ("computed_tokens", "Tokens computed, with padding", sum(each.stats.computed_tokens for each in models)),
            ("truncated_texts", "Texts that were truncated", sum(each.stats.truncated for each in models)),
            ("compilations", "Programs made", sum(each.stats.compilations for each in models)),
        ):
            yield CounterMetricFamily(f"minilm_jax_{name}", text, value)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)

    def _seconds(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=_SECONDS, registry=self._registry)
