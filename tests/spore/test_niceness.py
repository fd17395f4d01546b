from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from tests.hives import altered, done
from tests.processes import NodeProcess
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker


@pytest.mark.parametrize("asked", [0, 7])
async def test_a_spore_and_all_its_tasks_are_as_nice_as_was_asked(
    fast: Settings, broker: MessageBroker, tmp_path: Path, asked: int
) -> None:
    arguments = ("--skills", "tests.spore.nice_skills:skills")
    nice = max(os.nice(0), asked)
    with NodeProcess("venom_spore.main", "nice", altered(fast, hive_niceness=asked), tmp_path, *arguments) as spore:
        for skill in ("nice_here", "nice_in_a_thread", "nice_in_a_child"):
            assert await done(broker, skill) == nice
        assert psutil.Process(spore.process.pid).nice() == nice
