"""streaQ's tasks, which its worker and its callers share. msgpack instead of its default, pickle, which is slower."""

from __future__ import annotations

from typing import Any

import msgspec
from streaq import Worker

from benchmarks.peers import bodies


def worker_at(address: str, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Worker, and its tasks by name."""
    worker: Any = Worker(
        redis_url=address, serializer=msgspec.msgpack.encode, deserializer=msgspec.msgpack.decode, **settings
    )
    found = {name: worker.task(name=name, silent=True)(getattr(bodies, name)) for name in ("noop", "telling")}
    return worker, found
