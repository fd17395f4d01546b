"""The documents' examples of the Foreman, against a real server and real Spores."""

from __future__ import annotations

import pytest

from tests.agents.test_foreman import Machine, foreman_of, known, skills
from tests.hives import ended, running
from tests.seed.documents import LANGUAGES, example, run_example
from venom_core.config import Settings
from venom_core.core.node_manager import NodeManager
from venom_core.domain.node import NodeLoad
from venom_core.infrastructure.message_broker import MessageBroker

pytestmark = pytest.mark.parametrize("language", LANGUAGES)
NODES = {"en": "Nodes online: 2/2", "pl": "Węzły online: 2/2"}
CPU = {"en": "Average CPU load: 30.0%", "pl": "Średnie obciążenie CPU: 30.0%"}
STATUS = {
    "en": ["Nodes: 2/2 online", "Average CPU: 30.0%", "Average RAM: 10.0%", "Active tasks: 0"],
    "pl": ["Węzły: 2/2 online", "Średnie CPU: 30.0%", "Średnia RAM: 10.0%", "Aktywne zadania: 0"],
}


async def test_the_load_score_is_the_documents_formula(language: str) -> None:
    """The document counts in fractions, the score in percent; nothing else differs."""
    names = await run_example(example(language, 1), cpu_usage=0.5, memory_usage=0.25, active_tasks=7)
    score = NodeLoad(cpu_percent=50.0, memory_percent=25.0, active_tasks=7).score()
    assert score == pytest.approx(100 * names["load_score"])


async def test_foreman(
    language: str, fast: Settings, broker: MessageBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        running(skills, fast, "plain", reader=Machine(10.0)),
        running(skills, fast, "gpu", reader=Machine(50.0, gpu=True)),
        foreman_of(broker) as watching,
    ):
        await known(watching, "plain", "gpu")
        await broker.enqueue_task("where", {}, task_id="task_123")
        manager = NodeManager(broker)
        names = await run_example(example(language, 2), kernel=None, message_broker=broker, node_manager=manager)
        try:
            assert names["node_id"] == "gpu"
            assert capsys.readouterr().out.splitlines() == [NODES[language], CPU[language]]
            assert (await ended(broker, "task_123")).result in {"gpu", "plain"}
        finally:
            await names["foreman"].stop()


async def test_cluster_status(
    language: str, fast: Settings, broker: MessageBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    async with (
        running(skills, fast, "a", reader=Machine(20.0)),
        running(skills, fast, "b", reader=Machine(40.0)),
        foreman_of(broker) as foreman,
    ):
        await known(foreman, "a", "b")
        await run_example(example(language, 10), foreman=foreman)
        assert [line for line in capsys.readouterr().out.splitlines() if line] == STATUS[language]


async def test_a_node_that_is_offline_is_named(
    language: str, fast: Settings, broker: MessageBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    async with foreman_of(broker) as foreman, running(skills, fast, "stays", reader=Machine()):
        profile = (await broker.hive.nodes.all())[0].profile
        gone = type(profile)(name="went", skills=profile.skills)
        joined = await broker.hive.nodes.join(gone, 1)
        assert joined.epoch
        await known(foreman, "stays")
        await run_example(example(language, 17), foreman=foreman)
        assert capsys.readouterr().out == "Node went offline!\n"
