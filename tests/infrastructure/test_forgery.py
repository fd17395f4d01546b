"""What somebody with access to Redis, but without the token, may write: never run, always noted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from tests.hives import altered, audit_lines, done, ended, running, until_so
from venom_core.config import Settings
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.seal import Seal
from venom_core.domain.task import NOTHING, Outcome, TaskBody, seal_outcome, seal_task
from venom_core.errors import SecurityError
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

TOKEN = "a token that has thirty-two letters"
OTHER = "another token with enough of letters"


@pytest.fixture
def signed(fast: Settings) -> Settings:
    """The hive with a token."""
    return altered(fast, nexus_shared_token=TOKEN)


@pytest.fixture
async def guarded(signed: Settings) -> AsyncIterator[MessageBroker]:
    """A broker that holds the token."""
    async with MessageBroker(signed) as broker:
        yield broker


@pytest.fixture
def ran() -> list[str]:
    """What the skills below were called with."""
    return []


@pytest.fixture
def skills(ran: list[str]) -> SkillSet:
    made = SkillSet()

    @made.skill
    async def echo(value: str = "") -> str:
        ran.append(value)
        return value

    return made


def body(value: str) -> TaskBody:
    return TaskBody("echo", msgspec.Raw(msgspec.msgpack.encode({"value": value})), 5_000, 3, 1)


async def slip_in(hive: Hive, task_id: str, envelope: bytes | None) -> None:
    """Write an envelope past every door and put its id in line (None: keep the envelope that is there)."""
    space = hive.tasks.keyspace
    if envelope is not None:
        await hive.link.command("HSET", space.key(0, "task"), task_id, envelope)
    queue, _, wake = space.type_keys(0, "echo")
    await hive.link.command("HINCRBY", space.key(0, "count"), "background", 1)
    await hive.link.command("ZADD", queue, 8 * 2**49, task_id)
    await hive.link.command("ZADD", space.key(0, "ready"), "LT", 8 * 2**49, "echo")
    await hive.link.command("LPUSH", wake, "1")


def unsigned(envelope: bytes, namespace: str) -> bytes:
    return seal_task(Seal(namespace), "evil", 2, body("evil"))


def foreign(envelope: bytes, namespace: str) -> bytes:
    return seal_task(Seal(namespace, OTHER), "evil", 2, body("evil"))


def of_another_hive(envelope: bytes, namespace: str) -> bytes:
    return seal_task(Seal("elsewhere", TOKEN), "evil", 2, body("evil"))


def of_another_id(envelope: bytes, namespace: str) -> bytes:
    return envelope


def altered_at_the_end(envelope: bytes, namespace: str) -> bytes:
    return envelope[:-1] + bytes([envelope[-1] ^ 1])


def made_more_urgent(envelope: bytes, namespace: str) -> bytes:
    return envelope[:3] + b"\x0a" + envelope[4:]


def garbage(envelope: bytes, namespace: str) -> bytes:
    return b"\x01\x01"


def of_a_later_format(envelope: bytes, namespace: str) -> bytes:
    return b"\x02" + envelope[1:]


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        foreign,
        of_another_hive,
        of_another_id,
        altered_at_the_end,
        made_more_urgent,
        garbage,
        of_a_later_format,
    ],
)
async def test_a_forged_envelope_never_runs_and_is_buried_with_an_audit_line(
    signed: Settings,
    guarded: MessageBroker,
    skills: SkillSet,
    ran: list[str],
    forge: Callable[[bytes, str], bytes],
) -> None:
    hive = guarded.hive
    model = seal_task(hive.seal, "good", 2, body("good"))
    async with running(skills, signed):
        await slip_in(hive, "evil", forge(model, signed.hive_namespace))

        async def buried() -> bool:
            return [letter.task_id for letter in await guarded.dead_letters.list()] == ["evil"]

        await until_so(buried)
        assert await done(guarded, "echo", {"value": "honest"}) == "honest"
    assert ran == ["honest"]
    line = next(line for line in await audit_lines(guarded) if line["what"] == "refused_envelope")
    assert (line["task"], line["node"]) == ("evil", "spore")
    assert "SecurityError" in line["why"]
    letter = (await guarded.dead_letters.list())[0]
    assert letter.task_type == "forged"
    assert letter.error is not None
    with pytest.raises(SecurityError):
        await guarded.get_task_status("evil")
    assert await guarded.dead_letters.requeue() == 0
    assert await guarded.dead_letters.purge() == 1


async def test_a_hand_written_loop_never_sees_a_forged_envelope(guarded: MessageBroker) -> None:
    await slip_in(guarded.hive, "evil", b"\x01\x00\x00\x02" + b"\x90")
    honest = await guarded.enqueue_task("echo")
    task = await guarded.next_task(timeout=5)
    assert task is not None
    assert task.task_id == honest
    assert [letter.task_id for letter in await guarded.dead_letters.list()] == ["evil"]
    assert [line["what"] for line in await audit_lines(guarded)] == ["refused_envelope"]


async def test_a_completed_task_put_in_line_again_does_not_run_again(
    signed: Settings, guarded: MessageBroker, skills: SkillSet, ran: list[str]
) -> None:
    async with running(skills, signed):
        await done(guarded, "echo", {"value": "once"}, task_id="once")
        await slip_in(guarded.hive, "once", None)
        await done(guarded, "echo", {"value": "after"})
        assert ran == ["once", "after"]
        assert (await ended(guarded, "once")).attempt == 1
    stats = await guarded.get_queue_stats()
    assert (stats["tasks_completed"], stats["tasks_pending"], stats["tasks_running"]) == (2, 0, 0)


async def test_a_forged_outcome_is_refused_by_whoever_reads_it(
    signed: Settings, guarded: MessageBroker, skills: SkillSet
) -> None:
    hive = guarded.hive
    task_id = await guarded.enqueue_task("echo")
    lie = Outcome("spore", 1, 0, 1, 2, msgspec.Raw(msgspec.msgpack.encode("lie")))
    for record in (
        seal_outcome(Seal(signed.hive_namespace), task_id, TaskStatus.COMPLETED, lie),
        seal_outcome(Seal(signed.hive_namespace, OTHER), task_id, TaskStatus.COMPLETED, lie),
        seal_outcome(hive.seal, "other", TaskStatus.COMPLETED, lie),
    ):
        await hive.link.command("HSET", hive.tasks.keyspace.key(0, "outcome"), task_id, record)
        with pytest.raises(SecurityError, match=task_id):
            await guarded.wait_for(task_id, timeout=5)
        with pytest.raises(SecurityError, match=task_id):
            await guarded.get_task_status(task_id)
        with pytest.raises(SecurityError, match=task_id):
            await guarded.explain(task_id)
    await hive.link.command("HDEL", hive.tasks.keyspace.key(0, "outcome"), task_id)
    async with running(skills, signed):
        assert (await ended(guarded, task_id)).status == "completed"


async def test_a_failure_turned_into_a_success_is_refused(guarded: MessageBroker) -> None:
    hive = guarded.hive
    task_id = await guarded.enqueue_task("echo")
    record = seal_outcome(hive.seal, task_id, TaskStatus.FAILED, Outcome("spore", 1, 0, 1, 2, NOTHING, "no"))
    await hive.link.command("HSET", hive.tasks.keyspace.key(0, "outcome"), task_id, record[:3] + b"c" + record[4:])
    with pytest.raises(SecurityError, match="altered"):
        await guarded.wait_for(task_id, timeout=5)
    await hive.link.command("HDEL", hive.tasks.keyspace.key(0, "outcome"), task_id)


async def test_a_forged_message_to_a_waiter_is_refused(guarded: MessageBroker) -> None:
    task_id = await guarded.enqueue_task("echo")
    lie = seal_outcome(Seal("x"), task_id, TaskStatus.COMPLETED, Outcome("spore", 1, 0, 1, 2, NOTHING))
    letter = b"%d:%d:%b%b" % (len(task_id), len(lie), task_id.encode(), lie)
    waiting = asyncio.create_task(guarded.wait_for(task_id, timeout=20))
    waiter = guarded._waiter
    assert waiter is not None

    async def heard() -> bool:
        return bool(await guarded.hive.link.command("PUBLISH", waiter._channel, letter)) and waiting.done()

    await until_so(heard)
    with pytest.raises(SecurityError):
        await waiting


async def test_a_node_without_the_token_refuses_what_is_signed(
    fast: Settings, guarded: MessageBroker, skills: SkillSet, ran: list[str]
) -> None:
    task_id = await guarded.enqueue_task("echo", {"value": "signed"})
    async with MessageBroker(fast) as naive, running(skills, fast):
        with pytest.raises(SecurityError, match="set NEXUS_SHARED_TOKEN"):
            await naive.get_task_status(task_id)

        async def refused() -> bool:
            return [line["what"] for line in await audit_lines(naive)] == ["refused_envelope"]

        await until_so(refused)
    assert ran == []


async def test_a_token_is_changed_without_a_pause(
    signed: Settings, guarded: MessageBroker, skills: SkillSet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    changed = altered(signed, nexus_shared_token=OTHER, nexus_shared_token_previous=TOKEN)
    under_old = await guarded.enqueue_task("echo", {"value": "old"})
    async with MessageBroker(changed) as broker, running(skills, changed):
        assert (await ended(broker, under_old)).result == "old"
        assert await done(broker, "echo", {"value": "new"}) == "new"
        with pytest.raises(SecurityError):
            await guarded.get_task_status(under_old)
    assert "refused" not in caplog.text
