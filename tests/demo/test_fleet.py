from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.hives import until
from venom_core.clock import Clock
from venom_core.demo import fleet as fleet_module
from venom_core.demo.fleet import ComponentDied, Fleet, open_fleet
from venom_core.demo.quickstart import _outcome
from venom_core.errors import InputError, StoreUnavailable, VenomError
from venom_core.infrastructure.embedded import EmbeddedServer


@pytest.fixture
def fleet(server: EmbeddedServer, tmp_path: Path) -> Fleet:
    """A fleet on the common server, which is not its own to stop."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    return Fleet(folder, "tfleet", None, server=server)


async def test_what_cannot_even_start_is_named_with_its_last_words(fleet: Fleet) -> None:
    await fleet._start("broken", "venom_core.absent")
    with pytest.raises(ComponentDied, match=r"broken died \(exit code 1\)(.|\n)*No module named venom_core.absent"):
        await asyncio.wait_for(fleet.watch(), 20)
    await fleet.close()
    assert not fleet.folder.exists()


async def test_what_does_not_listen_is_ended_by_force(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "STOP_TIMEOUT_S", 0.1)
    await fleet.start_nexus("stubborn")
    component = fleet.components["stubborn"]
    await until(lambda: "stubborn is up" in component.log.read_text())
    os.kill(component.pid, signal.SIGSTOP)
    await fleet.close()
    assert component.process.returncode == -signal.SIGKILL


async def test_what_was_killed_on_purpose_is_no_error(fleet: Fleet) -> None:
    await fleet.start_nexus("victim")
    pid = fleet.kill("victim").pid
    await fleet.components["victim"].process.wait()
    fleet.check()
    fleet.kill("victim")
    await fleet.close()
    assert not psutil.pid_exists(pid)


def test_a_signal_without_a_name_is_told_by_its_number() -> None:
    assert fleet_module._ending(-signal.SIGRTMIN - 1) == f"signal {signal.SIGRTMIN + 1}"


def test_the_settings_of_whoever_starts_it_are_hidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIVE_LEASE", "3")
    monkeypatch.setenv("VENOM_REDIS_SERVER", "/some/server")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fleet = open_fleet(Clock())
    assert "HIVE_LEASE" not in os.environ
    assert fleet.server_binary == "/some/server"
    assert fleet.namespace != open_fleet(Clock()).namespace


async def _ended(make: Callable[[], Coroutine[Any, Any, int]]) -> asyncio.Task[int]:
    task = asyncio.create_task(make())
    await asyncio.wait([task])
    return task


async def test_the_death_of_a_component_says_more_than_what_it_did_to_us(fleet: Fleet) -> None:
    async def lost() -> int:
        raise StoreUnavailable("gone")

    async def all_lost() -> int:
        async with asyncio.TaskGroup() as group:
            group.create_task(lost())
        return 0

    watch = asyncio.create_task(fleet.watch())
    for work in (await _ended(lost), await _ended(all_lost)):
        with pytest.raises(StoreUnavailable, match="gone"):
            _outcome(fleet, work, watch)
        fleet.server = EmbeddedServer("unix:///nowhere")
        with pytest.raises(VenomError, match="the embedded server died"):
            _outcome(fleet, work, watch)
        fleet.server = None
    watch.cancel()
    await asyncio.wait([watch])


async def test_an_outcome_is_the_exit_code_or_the_fault(fleet: Fleet) -> None:
    async def fine() -> int:
        return 7

    async def wrong() -> int:
        raise InputError("wrong")

    async def watch() -> None:
        raise ComponentDied("dead")

    waiting = asyncio.create_task(fleet.watch())
    assert _outcome(fleet, await _ended(fine), waiting) == 7
    with pytest.raises(InputError, match="wrong"):
        _outcome(fleet, await _ended(wrong), waiting)
    waiting.cancel()
    dead = asyncio.create_task(watch())
    await asyncio.wait([dead, waiting])
    with pytest.raises(ComponentDied, match="dead"):
        _outcome(fleet, await _ended(fine), dead)
