"""taskiq's worker, without the process that its command puts above it."""

from __future__ import annotations

import uvloop
from taskiq.api import run_receiver_task

from benchmarks.peers.serving import told_by_runner
from benchmarks.peers.taskiq.app import broker_at

address, settings = told_by_runner()
broker, _ = broker_at(address, settings)
uvloop.run(run_receiver_task(broker, run_startup=True))
