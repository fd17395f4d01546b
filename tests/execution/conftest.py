"""A skill to call and Spores to run what it asks for."""

from __future__ import annotations

import pytest

from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_core.infrastructure.message_broker import MessageBroker


@pytest.fixture
def parallel(broker: MessageBroker) -> ParallelSkill:
    return ParallelSkill(broker)
