"""What a service counts, for Prometheus."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters, gauges and histograms, each service its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter("zsad_requests", "Answered requests", ["route", "status"], registry=self._registry)
        self._seconds = Histogram(
            "zsad_request_seconds", "From head to answer", ["route"], buckets=SECONDS, registry=self._registry
        )
        self._images = Counter(
            "zsad_images", "Images by detector, scored or refused", ["detector", "outcome"], registry=self._registry
        )
        self._streams = Histogram(
            "zsad_stream_images", "Images that ran through a detector in a row", buckets=IMAGES, registry=self._registry
        )
        self._waiting = Gauge("zsad_waiting_images", "Images in the queue", registry=self._registry)

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Ask this for the length of the queue."""
        self._waiting.set_function(length)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def image(self, detector: str, *, is_scored: bool) -> None:
        """Count an image."""
        self._images.labels(detector, "scored" if is_scored else "refused").inc()

    def stream(self, images: int) -> None:
        """Count images that ran through a detector in a row."""
        self._streams.observe(images)

    def text(self) -> bytes:
        """All of it, in the text format of Prometheus."""
        return generate_latest(self._registry)
