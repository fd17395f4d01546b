from __future__ import annotations

import pytest

from tests.hives import altered
from venom_core.config import Settings
from venom_core.errors import InvalidSetting
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.scratch import forget_scratch, scratch_namespace


async def test_a_hive_of_its_own_is_removed_and_no_other(settings: Settings, broker: MessageBroker) -> None:
    kept = await broker.enqueue_task("scan")
    namespace = scratch_namespace()
    assert namespace != scratch_namespace()
    async with MessageBroker(altered(settings, hive_namespace=namespace, hive_partitions=4)) as own:
        await own.enqueue_many("scan", [{}] * 3_000)
        assert await forget_scratch(own.hive.link, namespace) > 4
        assert await own.hive.link.command("KEYS", f"*{namespace}*") == []
    assert await broker.get_task_status(kept) is not None


@pytest.mark.parametrize("namespace", ["venom", "", "scratch-", "scratch-*", "scratch-a}*"])
async def test_what_is_no_hive_of_its_own_is_left_alone(broker: MessageBroker, namespace: str) -> None:
    with pytest.raises(InvalidSetting, match="is no hive of its own"):
        await forget_scratch(broker.hive.link, namespace)
