"""What a child process knows of the hive's secrets, and what it does with them."""

from __future__ import annotations

import msgspec

from venom_spore.sandbox import Sandbox
from venom_spore.skills import load_skills


async def test_a_child_masks_the_secrets_that_reach_it_neither_by_argument_nor_environment() -> None:
    skill = load_skills("tests.spore.child_skills:skills").get("log_line")
    assert skill is not None
    opened = Sandbox(1, secrets=("hunter2-hunter2",))
    try:
        for _ in range(2):
            answer = await opened.run(skill, msgspec.msgpack.encode({"text": "it is hunter2-hunter2"}), None)
            line, *others = msgspec.msgpack.decode(answer)
            assert "it is ***" in line
            assert not any("hunter2" in other for other in others)
    finally:
        await opened.close()
