"""streaQ's worker."""

from __future__ import annotations

from benchmarks.peers.serving import told_by_runner
from benchmarks.peers.streaq.app import worker_at

address, settings = told_by_runner()
worker, _ = worker_at(address, settings | {"anyio_kwargs": {"use_uvloop": True}})
worker.run_sync()
