"""What was claimed ahead waits in its order, but the urgent is not kept waiting by it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.hives import altered, ended, running, until
from venom_core.config import Settings
from venom_core.domain.seal import Seal
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.task_records import Lease
from venom_spore.execution import Attempt
from venom_spore.ready_line import ReadyLine
from venom_spore.skills import SkillSet

SEAL = Seal("h")


def attempt(name: str, priority: int) -> Attempt:
    return Attempt(Lease(name, SEAL.close("task", name, priority, b""), 0, 0, "1.1|", 0, 0))


def names(line: ReadyLine) -> str:
    return "".join(each.lease.task_id for each in line)


def test_claims_of_one_level_stand_in_their_order() -> None:
    line = ReadyLine()
    for claim in ("ab", "c", "", "de"):
        line.add([attempt(name, 5) for name in claim])
    assert names(line) == "abcde"


def test_what_is_more_urgent_goes_first_and_keeps_its_own_order() -> None:
    line = ReadyLine()
    line.add([attempt(name, 3) for name in "abc"])
    line.add([attempt("X", 8), attempt("Y", 8), attempt("d", 3)])
    assert names(line) == "XYabcd"


def test_a_low_one_that_was_claimed_so_that_none_starves_is_passed_once() -> None:
    line = ReadyLine()
    line.add([attempt("s", 0)])
    line.add([attempt(name, 9) for name in "ab"])
    line.add([attempt(name, 9) for name in "cd"])
    assert names(line) == "absc" + "d"


@given(st.lists(st.lists(st.integers(0, 10), max_size=6), max_size=8))
def test_nothing_is_lost_or_doubled(claims: list[list[int]]) -> None:
    line, count = ReadyLine(), 0
    for claim in claims:
        line.add([attempt(str(count + place), level) for place, level in enumerate(claim)])
        count += len(claim)
    assert sorted(int(each.lease.task_id) for each in line) == list(range(count))


async def test_an_urgent_task_overtakes_what_was_claimed_ahead(settings: Settings, broker: MessageBroker) -> None:
    ran: list[str] = []
    skills = SkillSet()

    @skills.skill
    async def note(name: str) -> None:
        ran.append(name)

    @skills.skill
    async def hold() -> None:
        await until(lambda: bool(spore.worker._ready) and spore.worker._ready[0].lease.task_id == "urgent")

    async with running(skills, altered(settings, hive_log_level="ERROR"), slots=1) as spore:
        spore.worker._pace.mean_s = 1e-6  # what is quick is claimed ahead
        held = await broker.enqueue_task("hold", {})
        await until(lambda: len(spore.worker.attempts) == 1)
        low = await broker.enqueue_many("note", [{"name": "low"}] * 2, priority=2)
        await until(lambda: len(spore.worker._ready) == 2)
        urgent = await broker.enqueue_task("note", {"name": "urgent"}, priority=9, task_id="urgent")
        for task_id in (held, urgent, *low):
            await ended(broker, task_id)
    assert ran == ["urgent", "low", "low"]
