"""Celery's worker; `arguments` of the settings go to its command line."""

from __future__ import annotations

from typing import Any

from billiard import current_process
from celery.signals import worker_process_init

from benchmarks.peers import bodies
from benchmarks.peers.celery.app import app_at
from benchmarks.peers.serving import told_by_runner

CELLS_A_WORKER = 8


def take_cell(**_: Any) -> None:
    """A child of the pool counts in a cell of its own."""
    if bodies.tally is not None:
        bodies.tally.cell = bodies.tally.cell * CELLS_A_WORKER + current_process().index


worker_process_init.connect(take_cell)
address, settings = told_by_runner()
arguments = settings.pop("arguments", [])
app, _ = app_at(address, settings)
app.start(argv=["--quiet", "worker", "--loglevel=CRITICAL", *arguments])
