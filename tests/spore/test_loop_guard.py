from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from tests.hives import ShiftedClock, until
from venom_core.infrastructure.task_records import Lease
from venom_spore.execution import Attempt, Verdict
from venom_spore.heartbeat import Heartbeat
from venom_spore.loop_guard import SIGNAL, LoopGuard, LoopInterrupted
from venom_spore.machine import MachineReading
from venom_spore.notes import note_sink
from venom_spore.outbox import Outbox


class StillMachine:
    """A machine whose readings are what the test says."""

    def __init__(self, cpu_percent: float) -> None:
        self.cpu_percent = cpu_percent

    def read(self) -> MachineReading:
        return MachineReading(
            cpu_percent=self.cpu_percent,
            memory_percent=50.0,
            disk_percent=150.0,
            load_1m=1.5,
            cpu_count=2.0,
            memory_total_bytes=2,
            memory_available_bytes=1,
        )


def attempt_at(task_id: str) -> Attempt:
    return Attempt(Lease(task_id, b"", 0, 0, "1.1|", 0, 0))


async def overdue_here(task_id: str) -> Attempt:
    """An attempt that this very coroutine runs and that should have ended."""
    attempt = attempt_at(task_id)
    attempt.runner = asyncio.current_task()
    attempt.stops_at_s = asyncio.get_running_loop().time() - 1
    return attempt


async def test_it_knocks_only_at_an_overdue_attempt_of_a_silent_loop() -> None:
    attempt = await overdue_here("late")
    guard = LoopGuard(asyncio.get_running_loop(), {("late", "1.1|"): attempt})
    try:
        guard.check(0.1)
        attempt.stops_at_s += 60
        guard.check(10)
        assert attempt.stop is None
        attempt.stops_at_s -= 60
        with pytest.raises(LoopInterrupted):
            _knock(guard)
        assert attempt.stop is Verdict.TIMED_OUT
    finally:
        guard.close()
        guard.close()


def _knock(guard: LoopGuard) -> None:
    guard.check(10)
    for _ in range(1_000_000):  # the signal is handled between two steps of the interpreter
        pass


async def test_a_knock_that_finds_another_task_on_the_stack_does_nothing() -> None:
    attempt = attempt_at("elsewhere")
    attempt.stops_at_s = 0.0
    guard = LoopGuard(asyncio.get_running_loop(), {("elsewhere", "1.1|"): attempt})
    try:
        _knock(guard)
        assert attempt.stop is None
    finally:
        guard.close()


def test_a_knock_outside_of_the_loop_does_nothing() -> None:
    loop = asyncio.new_event_loop()
    guard = LoopGuard(loop, {})
    signal.raise_signal(SIGNAL)
    guard.close()
    loop.close()


async def test_a_cancel_of_a_blocking_task_is_told_in_the_lease_thread() -> None:
    attempt, other = await overdue_here("wanted"), attempt_at("other")
    attempt.stops_at_s += 60
    guard = LoopGuard(asyncio.get_running_loop(), {("wanted", "1.1|"): attempt, ("other", "1.1|"): other})
    try:
        guard.cancel(("wanted",), 0.1)
        assert [attempt.stop, other.stop] == [None, None]
        with pytest.raises(LoopInterrupted):
            _cancel(guard)
        assert [attempt.stop, other.stop] == [Verdict.CANCELLED, None]
    finally:
        guard.close()


def _cancel(guard: LoopGuard) -> None:
    guard.cancel(("wanted",), 10)
    for _ in range(1_000_000):
        pass


async def test_outside_of_the_main_thread_it_stays_away() -> None:
    before = signal.getsignal(SIGNAL)
    attempt = await overdue_here("late")
    guard = await asyncio.to_thread(LoopGuard, asyncio.get_running_loop(), {("late", "1.1|"): attempt})
    assert signal.getsignal(SIGNAL) is before
    guard.check(10)
    guard.close()


# --------------------------------------------------------------------------------------------------- the heartbeat


async def test_a_heartbeat_says_how_loaded_the_node_is_and_presses_readings_into_percent() -> None:
    heartbeat = Heartbeat(StillMachine(float("nan")), ShiftedClock(0))
    load = heartbeat.read()
    assert (load.cpu_percent, load.memory_percent, load.disk_percent, load.load_1m) == (100.0, 50.0, 100.0, 1.5)
    assert load.active_tasks == 0
    heartbeat.watch({("a", "1.1|"): attempt_at("a")})
    assert heartbeat.read().active_tasks == 1
    heartbeat.hear(("a",))
    heartbeat.unwatch()
    heartbeat.unwatch()
    heartbeat.hear(("a",))


async def test_a_heartbeat_says_for_how_long_the_loop_has_been_silent() -> None:
    heartbeat = Heartbeat(StillMachine(1.0), ShiftedClock(0))
    heartbeat._ticked_s -= 5
    assert 5_000 <= heartbeat.read().loop_silent_ms < 6_000
    await until(lambda: heartbeat.read().loop_silent_ms < 5_000)


def test_a_heartbeat_survives_the_end_of_its_loop() -> None:
    async def make() -> Heartbeat:
        return Heartbeat(StillMachine(1.0), ShiftedClock(0))

    heartbeat = asyncio.run(make())
    assert heartbeat.read().cpu_percent == 1.0


# ------------------------------------------------------------------------------------------------------- the notes


class Ears(Outbox):
    """Hears what would be sent."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, bytes]] = []

    def progress(self, lease: Lease, data: bytes) -> None:
        self.heard.append(("progress", lease.task_id, data))

    def emit(self, lease: Lease, data: bytes) -> None:
        self.heard.append(("emit", lease.task_id, data))


async def test_what_a_task_says_is_noted_from_any_thread_until_it_has_ended() -> None:
    ears, attempt = Ears(), attempt_at("a")
    report = note_sink(ears, asyncio.get_running_loop())(attempt)
    report("emit", b"one")
    thread = threading.Thread(target=report, args=("progress", (0.5, "half")))
    thread.start()
    thread.join()
    assert ears.heard == [("emit", "a", b"one")]
    await until(lambda: len(ears.heard) == 2)
    assert ears.heard[1][0] == "progress"
    report("emit", "no bytes")
    attempt.verdict = Verdict.DONE
    report("emit", b"too late")
    attempt.verdict, attempt.stop = None, Verdict.TIMED_OUT
    report("emit", b"too late")
    assert len(ears.heard) == 2
