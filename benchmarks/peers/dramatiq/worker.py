"""Dramatiq's worker, without the process that its command puts above it."""

from __future__ import annotations

import signal
from typing import Any

from dramatiq import Worker

from benchmarks.peers.dramatiq.app import broker_at
from benchmarks.peers.serving import told_by_runner

WORKERS_OWN = ("worker_threads", "worker_timeout")

address, settings = told_by_runner()
own = {name: settings.pop(name) for name in WORKERS_OWN if name in settings}
prefetch = settings.pop("queue_prefetch", 0)
lean = settings.pop("middleware", "") == "Retries"
broker, _ = broker_at(address, settings, lean=lean)
worker: Any = Worker(broker, **own)
worker.queue_prefetch = prefetch or worker.queue_prefetch
worker.start()
signal.sigwait({signal.SIGTERM, signal.SIGINT})
worker.stop()
