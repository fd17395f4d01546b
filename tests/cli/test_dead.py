from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Venom
from venom_core.infrastructure.message_broker import MessageBroker


async def bury(broker: MessageBroker, *task_ids: str) -> None:
    """Have tasks fail for good."""
    for task_id in task_ids:
        await broker.enqueue_task("work", task_id=task_id)
        assert await broker.next_task(timeout=20) is not None
        await broker.update_task_status(task_id, "failed", error="first line\nsecond line")


@pytest.fixture
async def _buried(broker: MessageBroker) -> None:
    await bury(broker, "one", "two")


@pytest.mark.usefixtures("_buried")
def test_dead_letters_are_listed_newest_first(venom: Venom) -> None:
    letters = json.loads(venom("dead", "list", "--json").stdout)
    assert [(letter["task_id"], letter["status"]) for letter in letters] == [("two", "failed"), ("one", "failed")]
    lines = venom("dead", "list").stdout.splitlines()
    assert len(lines) == 3
    assert "first line" in lines[1]
    assert "second line" not in lines[1]
    assert len(json.loads(venom("dead", "list", "--limit", "1", "--offset", "1", "--json").stdout)) == 1


@pytest.mark.usefixtures("_buried")
def test_dead_letters_are_put_back_or_forgotten(venom: Venom) -> None:
    assert venom("dead", "requeue", "one").stdout == "1 put back in line\n"
    assert venom("dead", "purge", "two").stdout == "1 forgotten\n"
    assert json.loads(venom("dead", "list", "--json").stdout) == []


@pytest.mark.usefixtures("_buried")
@pytest.mark.parametrize(("command", "said"), [("requeue", "2 put back in line\n"), ("purge", "2 forgotten\n")])
def test_all_of_them_must_be_asked_for(venom: Venom, command: str, said: str) -> None:
    assert venom("dead", command).exit_code == 2
    assert venom("dead", command, "one", "--all").exit_code == 2
    assert venom("dead", command, "--all").stdout == said


def test_a_page_too_long_is_one_sentence(venom: Venom) -> None:
    result = venom("dead", "list", "--limit", "5000")
    assert result.exit_code == 1
    assert result.stderr.startswith("venom: a page has")
