"""A Spore that stands still for longer than its lease: nothing it held goes on before it is known who has the tasks."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.hives import ended, until
from tests.processes import NodeProcess
from tests.servers import PrivateServer
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker

SKILLS = ("--skills", "tests.recovery.still_skills:skills")
LEASE_S = 1.2


@dataclass(frozen=True)
class Line:
    """What a skill said: in which process, and when (s)."""

    word: str
    number: int
    pid: int
    at_s: float


class Journal:
    """What the skills wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, *words: str) -> list[Line]:
        text = self.path.read_text() if self.path.exists() else ""
        found = [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]
        lines = [Line(word, int(number), int(pid), float(at)) for word, number, pid, at in found]
        return [line for line in lines if not words or line.word in words]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def spore(name: str, settings: Settings, folder: Path) -> NodeProcess:
    return NodeProcess("venom_spore.main", name, settings, folder, *SKILLS)


async def sleep_past_lease() -> None:
    """For a process that stands still meanwhile."""
    end_s = Clock().lasting_s() + 1.5 * LEASE_S
    await until(lambda: Clock().lasting_s() > end_s)


async def begun(broker: MessageBroker, journal: Journal, skill: str, seconds: float) -> str:
    """The id of a task whose body has begun."""
    task_id = await broker.enqueue_task(skill, {"journal": str(journal.path), "seconds": seconds})
    await until(lambda: len(journal.lines("begin")) == 1)
    return task_id


KINDS = [("nap", 2.0), ("steps", 60.0), ("thread_steps", 60.0), ("process_steps", 60.0)]


@pytest.mark.parametrize(("skill", "seconds"), KINDS)
async def test_what_a_spore_lost_while_it_stood_still_takes_no_step_more(
    fast: Settings, broker: MessageBroker, tmp_path: Path, journal: Journal, skill: str, seconds: float
) -> None:
    with spore("sleeper", fast, tmp_path) as sleeper:
        task_id = await begun(broker, journal, skill, seconds)
        sleeper.send(signal.SIGSTOP)
        with spore("heir", fast, tmp_path):
            task = await ended(broker, task_id)
            assert (task.status, task.result, task.crashes) == ("completed", "heir", 1)
            first, taken = journal.lines("begin")
            # What the nap waits for has come by now.
            await until(lambda: skill != "nap" or Clock().lasting_s() > first.at_s + seconds)
            sleeper.send(signal.SIGCONT)
            await sleeper.said("the lease was lost; stopping 1 tasks")
            await sleeper.said("joined", times=2)
            lost = {line.pid for line in journal.lines() if line.at_s < taken.at_s}
            assert [line for line in journal.lines("step", "end") if line.pid in lost and line.at_s > taken.at_s] == []
            assert len(lost) == (2 if skill == "process_steps" else 1)
            await until(lambda: skill != "process_steps" or not any(map(psutil.pid_exists, lost)))
            # Bodies of the loop are held there, unless the word of the loss was the first that the loop heard.
            assert skill in ("nap", "steps") or "stood still for too long" not in sleeper.text


@pytest.mark.parametrize(
    ("skill", "seconds"), [("nap", 1.0), ("steps", 3.0), ("thread_steps", 3.0), ("process_steps", 3.0)]
)
async def test_what_nobody_took_meanwhile_goes_on_where_it_was(
    fast: Settings, broker: MessageBroker, tmp_path: Path, journal: Journal, skill: str, seconds: float
) -> None:
    with spore("alone", fast, tmp_path) as alone:
        task_id = await begun(broker, journal, skill, seconds)
        alone.send(signal.SIGSTOP)
        await sleep_past_lease()
        alone.send(signal.SIGCONT)
        task = await ended(broker, task_id)
        assert (task.status, task.result, task.attempt, task.crashes) == ("completed", "alone", 1, 0)
        assert len(journal.lines("begin")) == len(journal.lines("end")) == 1
        assert journal.lines("stopped") == []


@pytest.mark.parametrize(("skill", "seconds"), [("nap", 2.0), ("steps", 60.0)])
async def test_what_was_lost_meanwhile_is_held_until_that_is_known(
    private_server: PrivateServer, tmp_path: Path, journal: Journal, skill: str, seconds: float
) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with MessageBroker(settings) as broker:
        with spore("sleeper", settings, tmp_path) as sleeper:
            task_id = await begun(broker, journal, skill, seconds)
            sleeper.send(signal.SIGSTOP)
            with spore("heir", settings, tmp_path):
                assert (await ended(broker, task_id)).result == "heir"
            await until(lambda: skill != "nap" or Clock().lasting_s() > journal.lines("begin")[0].at_s + seconds)
            private_server.stall()
            sleeper.send(signal.SIGCONT)
            await sleeper.said("stood still for too long")
            private_server.resume()
            await sleeper.said("the lease was lost; stopping 1 tasks")
            lost, taken = journal.lines("begin")
            its_steps = [line for line in journal.lines("step", "end") if line.pid == lost.pid]
            assert all(line.at_s < taken.at_s for line in its_steps)


async def test_a_redis_that_is_away_for_longer_than_the_lease_holds_nothing_back(
    private_server: PrivateServer, tmp_path: Path, journal: Journal
) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with MessageBroker(settings) as broker:
        with spore("patient", settings, tmp_path) as patient:
            task_id = await begun(broker, journal, "steps", 4.0)
            private_server.stall()
            await sleep_past_lease()
            away_s = Clock().lasting_s()
            await until(lambda: any(line.at_s > away_s for line in journal.lines("step")))
            private_server.resume()
            assert (await ended(broker, task_id)).crashes == 0
            assert "stood still" not in patient.text


async def test_who_stood_still_while_redis_is_away_waits_for_its_answer(
    private_server: PrivateServer, tmp_path: Path, journal: Journal
) -> None:
    settings = Settings.load(redis_url=private_server.url, hive_profile="fast")
    async with MessageBroker(settings) as broker:
        with spore("patient", settings, tmp_path) as patient:
            task_id = await begun(broker, journal, "steps", 5.0)
            patient.send(signal.SIGSTOP)
            private_server.stall()
            await sleep_past_lease()
            let_go_s = Clock().lasting_s()
            patient.send(signal.SIGCONT)
            await patient.said("stood still for too long")
            await patient.said("heartbeat missed")
            assert not any(line.at_s > let_go_s for line in journal.lines("step"))
            private_server.resume()
            await patient.said("nobody took the lease meanwhile")
            task = await ended(broker, task_id)
            assert (task.status, task.attempt, task.crashes) == ("completed", 1, 0)
            assert any(line.at_s > let_go_s for line in journal.lines("step"))
