"""What a real arq worker of the tests runs: python -m arq tests.infrastructure.arq_functions.WorkerSettings --burst"""

from __future__ import annotations

from typing import Any

from venom_core.config import Settings
from venom_core.infrastructure.arq_bridge import pack_job, unpack_job
from venom_core.infrastructure.message_broker import MessageBroker


async def double(_: dict[str, Any], number: int) -> int:
    return 2 * number


async def refuse(_: dict[str, Any]) -> None:
    raise ValueError("not today")


class WorkerSettings:
    """As a user would write it: the broker's own settings, and jobs without pickle."""

    functions = (double, refuse)
    redis_settings = MessageBroker(Settings.load()).redis_settings
    job_serializer = staticmethod(pack_job)
    job_deserializer = staticmethod(unpack_job)
    queue_name = f"arq:{Settings.load().hive_namespace}"
    max_tries = 1
    keep_result = 60
    health_check_interval = 1
