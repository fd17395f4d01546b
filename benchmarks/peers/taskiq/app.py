"""taskiq's broker on streams and its tasks, which its worker and its callers share.

`consumer_id="0"`: by default a group does not see what was enqueued before it was made.
"""

from __future__ import annotations

from typing import Any

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.peers import bodies

RESULTS_KEPT_S = 600


def broker_at(address: str, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Broker, and its tasks by name."""
    results = RedisAsyncResultBackend(address, result_ex_time=RESULTS_KEPT_S)
    broker = RedisStreamBroker(address, consumer_id="0", **settings).with_result_backend(results)
    found = {name: broker.task(task_name=name)(getattr(bodies, name)) for name in ("noop", "telling")}
    return broker, found
