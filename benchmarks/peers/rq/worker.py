"""RQ's worker: the usual one, which forks for every job, or `SimpleWorker`, which does not and is faster."""

from __future__ import annotations

import importlib

import redis
from rq import SimpleWorker, Worker

from benchmarks.peers.serving import told_by_runner

importlib.import_module("benchmarks.peers.bodies")  # now, so that no fork has to
address, settings = told_by_runner()
kind = {"Worker": Worker, "SimpleWorker": SimpleWorker}[settings.pop("worker", "Worker")]
kind(["default"], connection=redis.Redis.from_url(address), **settings).work(logging_level="CRITICAL")
