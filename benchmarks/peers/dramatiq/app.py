"""Dramatiq's broker and actors, which its worker and its callers share."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers import bodies


def broker_at(address: str, settings: dict[str, Any], *, lean: bool = False) -> tuple[Any, dict[str, Any]]:
    """Broker and actors by name; `lean` leaves out all default middleware but retries, which is faster."""
    broker: Any = RedisBroker(url=address, **settings, **({"middleware": [Retries()]} if lean else {}))
    broker.add_middleware(Results(backend=RedisBackend(url=address)))
    return broker, {
        name: dramatiq.actor(
            getattr(bodies, f"blocking_{name}"), actor_name=name, broker=broker, store_results=name == "noop"
        )
        for name in ("noop", "telling")
    }
