"""Celery's tasks, which its worker and its callers share."""

from __future__ import annotations

from typing import Any

from celery import Celery

from benchmarks.peers import bodies


def app_at(address: str, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """App, and its tasks by name."""
    app: Any = Celery("bench", broker=address, backend=address)
    app.conf.update(broker_connection_retry_on_startup=True, **settings)
    return app, {name: app.task(name=name)(getattr(bodies, f"blocking_{name}")) for name in ("noop", "telling")}
