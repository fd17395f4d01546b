"""Whoever waited before is told without asking; whoever only enqueues costs nobody anything."""

from __future__ import annotations

import asyncio

from tests.hives import ended, running
from tests.servers import PrivateServer
from venom_core.config import Settings
from venom_core.infrastructure.foresight import AHEAD_MAX, ENVELOPE_BYTES_MAX, Foresight
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.scripts import ENQUEUE, WAIT
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def echo(value: str) -> str:
    return value


def waiting() -> Foresight:
    """One whose process has waited for a task that it enqueued."""
    foresight = Foresight()
    assert not foresight.expects("first", b"e", hears=True)
    assert foresight.redeem("first") is None
    return foresight


def test_nothing_is_expected_of_a_process_that_only_enqueues() -> None:
    foresight = Foresight()
    assert not any(foresight.expects(str(number), b"e", hears=True) for number in range(2 * AHEAD_MAX))
    foresight.land("1", b"record")
    assert foresight.redeem("1") is None


def test_waiting_for_the_task_of_somebody_else_is_no_habit() -> None:
    foresight = Foresight()
    assert not foresight.expects("mine", b"e", hears=True)
    assert foresight.redeem("another's") is None
    assert not foresight.expects("mine too", b"e", hears=True)


def test_what_ended_before_anybody_waited_is_kept_for_who_does() -> None:
    foresight = waiting()
    assert foresight.expects("next", b"envelope", hears=True)
    foresight.land("next", b"record")
    guess = foresight.redeem("next")
    assert guess is not None
    assert (guess.envelope, guess.record) == (b"envelope", b"record")
    assert foresight.redeem("next") is None


def test_only_what_has_ended_is_redeemed_without_waiting() -> None:
    foresight = waiting()
    assert foresight.expects("next", b"envelope", hears=True)
    assert foresight.redeem_ended("next") is None
    assert foresight.redeem_ended("unknown") is None
    foresight.land("next", b"record")
    guess = foresight.redeem_ended("next")
    assert guess is not None
    assert (guess.envelope, guess.record) == (b"envelope", b"record")
    assert foresight.redeem("next") is None


def test_an_end_that_has_to_be_fetched_is_asked_for() -> None:
    foresight = waiting()
    assert foresight.expects("large", b"e", hears=True)
    foresight.land("large", b"")
    assert foresight.redeem("large") is None


def test_a_large_task_is_not_kept_in_memory() -> None:
    foresight = waiting()
    assert not foresight.expects("large", bytes(ENVELOPE_BYTES_MAX + 1), hears=True)
    assert foresight.expects("small", bytes(ENVELOPE_BYTES_MAX), hears=True)


def test_a_process_that_stops_waiting_is_not_expected_to_for_long() -> None:
    foresight = waiting()
    assert sum(foresight.expects(str(number), b"e", hears=True) for number in range(3 * AHEAD_MAX)) == AHEAD_MAX
    assert foresight.redeem("0") is None
    assert foresight.redeem(str(3 * AHEAD_MAX - 1)) is None  # the habit is back
    assert foresight.expects("again", b"e", hears=True)


async def test_from_the_second_task_on_a_caller_is_told_without_asking(private_server: PrivateServer) -> None:
    settings = Settings.load(redis_url=private_server.url)
    async with MessageBroker(settings) as broker, running(skills, settings, "node"):
        await ended(broker, await broker.enqueue_task("echo", {"value": "first"}))
        await broker.hive.link.command("SCRIPT", "FLUSH")
        assert (await ended(broker, await broker.enqueue_task("echo", {"value": "second"}))).result == "second"
        assert await broker.hive.link.command("SCRIPT", "EXISTS", WAIT.sha, ENQUEUE.sha) == [0, 1]


def test_nothing_is_registered_while_nothing_is_heard() -> None:
    foresight = waiting()
    assert not foresight.expects("deaf", b"e", hears=False)
    assert foresight.redeem("deaf") is None


async def test_what_ended_long_before_it_is_waited_for_and_what_is_large_is_heard_of_all_the_same(
    settings: Settings, broker: MessageBroker
) -> None:
    async with running(skills, settings, "node"):
        await ended(broker, await broker.enqueue_task("echo", {"value": "x"}))
        large = "y" * 10_000
        early = await broker.enqueue_task("echo", {"value": "early"})
        fetched = await broker.enqueue_task("echo", {"value": large})
        async with MessageBroker(settings) as other:
            await ended(other, early)
            await ended(other, fetched)
        assert (await ended(broker, early)).result == "early"
        assert (await ended(broker, fetched)).result == large


async def test_after_the_line_was_lost_whoever_waits_asks(private_server: PrivateServer) -> None:
    settings = Settings.load(redis_url=private_server.url)
    async with MessageBroker(settings) as broker:
        async with running(skills, settings, "node"):
            await ended(broker, await broker.enqueue_task("echo", {"value": "x"}))
        missed = await broker.enqueue_task("echo", {"value": "missed"})
        assert missed in broker.results._foresight._guesses
        with private_server.client() as client:
            client.client_kill_filter(_type="pubsub")
        async with asyncio.timeout(10):
            while broker.results._foresight._guesses:  # noqa: ASYNC110 - the waiter announces its reconnecting to nobody
                await asyncio.sleep(0.005)
        async with running(skills, settings, "node"):
            assert (await ended(broker, missed)).result == "missed"
