"""What Prometheus is told; one registry a gateway, so that many may live in one process."""

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from edge_gateway.scorer import Loaded, Scored
from edge_gateway.spool import Depth

__all__ = ["Metrics"]

_SECONDS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 5e-2, 0.25, 1.0)


class Metrics:
    """The gateway's figures, under the names of the ecosystem."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "inference_requests_total", "Vectors decided about.", ["outcome"], registry=self.registry
        )
        self._duration = Histogram(
            "inference_request_duration_seconds",
            "Time of one inference, its share of a micro-batch.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._anomalies = Counter("anomalies_detected_total", "Vectors called anomalies.", registry=self.registry)
        self._load = Gauge("model_load_time_seconds", "Time to load the serving model.", registry=self.registry)
        self._info = Info("model", "The model that serves.", registry=self.registry)
        self._spool_records = Gauge("spool_records", "Records waiting to be sent.", registry=self.registry)
        self._spool_bytes = Gauge("spool_bytes", "Their size.", registry=self.registry)
        self._spool_age = Gauge("spool_oldest_age_seconds", "Age of the oldest.", registry=self.registry)
        self._spool_dropped = Gauge(
            "spool_dropped", "Records given up since the device was enrolled.", registry=self.registry
        )
        self._commands = Counter("commands_total", "Phases that commands reached.", ["phase"], registry=self.registry)
        self._safe_mode = Gauge("safe_mode", "1: no model works, the rules decide.", registry=self.registry)

    def decided(self, scored: Scored) -> None:
        count = len(scored.at_ms)
        failed = int(np.count_nonzero(scored.decisions.failed))
        if count - failed:
            self._requests.labels("ok").inc(count - failed)
            self._duration.observe(scored.latency_ms / 1000)
        if failed:
            self._requests.labels("error").inc(failed)
        self._anomalies.inc(int(np.count_nonzero(scored.decisions.anomaly)))

    def serves(self, loaded: Loaded | None) -> None:
        if loaded is None:
            self._info.info({"model_id": "", "pipeline": "", "slot": ""})
            return
        self._load.set(loaded.model.load_s if loaded.model else 0.0)
        self._info.info({"model_id": loaded.model_id, "pipeline": loaded.pipeline.id, "slot": loaded.slot})
        self._safe_mode.set(0 if loaded.model else 1)

    def spool(self, depth: Depth, now_ms: int) -> None:
        self._spool_records.set(depth.records)
        self._spool_bytes.set(depth.bytes)
        self._spool_age.set(0 if depth.oldest_ms is None else max(now_ms - depth.oldest_ms, 0) / 1000)
        self._spool_dropped.set(depth.dropped)

    def acked(self, phase: str) -> None:
        self._commands.labels(phase).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)
