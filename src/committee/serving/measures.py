"""What a server counts and measures, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from committee.serving.service import Service

TEXT = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Measures:
    """Counters of a server: requests by route and status, their times, and batches by model.

    Labels have few values, whatever clients send: routes are patterns, and models are those that are served.

    See Also
    --------
    committee.serving.service.Service : What is measured.

    Examples
    --------
    >>> from committee.serving.measures import Measures
    >>> measures = Measures()
    >>> measures.count_request("/predict", 200, 0.01)
    >>> 'committee_requests_total{route="/predict",status="200"} 1.0' in measures.text().decode()
    True
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        labels = ["route", "status"]
        self._requests = Counter(
            "committee_requests", "Requests by route and status", labels, registry=registry
        )
        self._seconds = Histogram(
            "committee_request_seconds", "Time of a request", ["route"], buckets=_SECONDS, registry=registry
        )
        self._images = Histogram(
            "committee_batch_images", "Images in a batch", ["model"], buckets=_IMAGES, registry=registry
        )
        self._batches = Histogram(
            "committee_batch_seconds", "Time of a batch", ["model"], buckets=_SECONDS, registry=registry
        )

    def watch(self, service: Service) -> None:
        """Show what a service does at the moment, and the digests of its models."""
        registry = self._registry
        info = Gauge("committee_model", "1 for each model", ["model", "digest"], registry=registry)
        waiting = Gauge("committee_waiting_images", "Images in the queue", ["model"], registry=registry)
        for served in service.models.values():
            info.labels(served.name, served.digest).set(1)
            waiting.labels(served.name).set_function(served.batcher.__len__)
        Gauge("committee_admitted_images", "Images of all requests", registry=registry).set_function(
            lambda: service.admitted
        )

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_batch(self, model: str, images: int, seconds: float) -> None:
        """Count a call of a model."""
        self._images.labels(model).observe(images)
        self._batches.labels(model).observe(seconds)

    def text(self) -> bytes:
        """Return all measures in the text format of Prometheus."""
        return generate_latest(self._registry)
