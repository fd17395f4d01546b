"""The server that `venom up` started dies, and is there again with all it held; or the hive ends and says why."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.cli.households import Household, household
from tests.hives import PATIENCE_S, ended, until, until_running
from tests.servers import SERVER_BINARY, free_port
from venom_core.commands import server_keeper
from venom_core.commands.server_keeper import ServerKeeper
from venom_core.config import Settings
from venom_core.errors import StoreUnavailable
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.embedded import EmbeddedServer, ServerOptions, ensure_server, find_server
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.server_binary import find_server_binary

pytestmark = pytest.mark.timeout(240)
DIED = "server | died (signal SIGKILL); it is started again with its data"


@pytest.fixture(autouse=True)
def _own_hive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)


def found_in(data: Path) -> EmbeddedServer:
    server = find_server(data)
    assert server is not None
    return server


def kill(server: EmbeddedServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)


async def gone(processes: list[psutil.Process]) -> None:
    await until(lambda: not any(process.is_running() and process.status() != "zombie" for process in processes), 30)


def slow_next_time(folder: Path) -> tuple[Path, Path]:
    """A server binary that hangs instead of serving once the second file is there."""
    binary, slow = folder / "serve", folder / "slow"
    real = find_server_binary(SERVER_BINARY)
    binary.write_text(f'#!/bin/sh\n[ "$1" = --version ] || [ ! -e {slow} ] || exec sleep 600\nexec {real} "$@"\n')
    binary.chmod(0o700)
    return binary, slow


# ---------------------------------------------------------------------------------------------------- a whole hive


@pytest.mark.parametrize("to_others", [False, True])
async def test_a_server_that_is_killed_comes_back_where_it_was_with_all_it_held(
    short_dir: Path, to_others: bool
) -> None:
    data = short_dir / "data"
    opened = ("--bind", "127.0.0.1", "--port", str(free_port())) if to_others else ()
    with household(data, *opened) as hive:
        await hive.up()
        first = found_in(data)
        token = {"nexus_shared_token": (data / "token").read_text()} if to_others else {}
        async with MessageBroker(Settings.load(redis_url=first.url, **token)) as broker:
            before = await broker.enqueue_task("pause", {"seconds": 0})
            await ended(broker, before)
            waits = await broker.enqueue_task("nobody_can")
            for deaths in (1, 2):
                server = found_in(data)
                kill(server)
                await until(lambda deaths=deaths: hive.text.count(DIED) == deaths)  # type: ignore[misc]  # a default binds it now
                task = await ended(broker, await broker.enqueue_task("pause", {"seconds": 0}), 30)
                assert task.status == "completed"
                again = found_in(data)
                assert again.url == first.url
                assert again.pid != server.pid
            kept = [await broker.get_task_status(task_id) for task_id in (before, waits)]
        assert [task.status if task else None for task in kept] == ["completed", "pending"]
        hive.interrupt()
        assert await hive.ended() == 0
        assert hive.text.splitlines()[-1] == "All ended."
        assert "Traceback" not in hive.text
        assert find_server(data) is None


async def test_a_server_that_is_killed_before_all_are_online_comes_back_too(short_dir: Path) -> None:
    data = short_dir / "data"
    with household(data) as hive:
        await hive.said("venom.nexus: ")
        kill(found_in(data))
        await hive.up()
        assert DIED in hive.text
        async with MessageBroker(Settings.load(redis_url=found_in(data).url)) as broker:
            task = await ended(broker, await broker.enqueue_task("pause", {"seconds": 0}), 30)
        assert task.status == "completed"
        hive.interrupt()
        assert await hive.ended() == 0


async def test_a_server_whose_data_are_gone_ends_the_hive_with_one_error(short_dir: Path) -> None:
    data = short_dir / "data"
    with household(data) as hive:
        await hive.up()
        children = hive.children()
        server = found_in(data)
        data.rename(short_dir / "elsewhere")
        kill(server)
        assert await hive.ended() == 1
        await gone(children)
        [told] = [line for line in hive.text.splitlines() if line.startswith("venom: ")]
        assert told.startswith("venom: The server is given up, 5 tries to have it again were in vain")
        assert f"its data are no longer in {data}" in told
        assert "Traceback" not in hive.text
        assert not data.exists(), "an empty server would have been taken for the lost one"


@contextmanager
def dying(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Household, Path]]:
    """A hive whose server hangs when it is started again."""
    binary, slow = slow_next_time(short_dir)
    monkeypatch.setenv("VENOM_REDIS_SERVER", str(binary))
    with household(short_dir / "data") as hive:
        yield hive, slow


async def test_ctrl_c_while_the_server_is_started_again_ends_everything(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = short_dir / "data" / "server.json"
    with dying(short_dir, monkeypatch) as (hive, slow):
        await hive.up()
        children, first = hive.children(), found_in(short_dir / "data").pid
        slow.touch()
        kill(found_in(short_dir / "data"))
        await until(lambda: json.loads(record.read_text())["pid"] != first)
        starting = psutil.Process(json.loads(record.read_text())["pid"])
        hive.interrupt()
        await hive.said("Ctrl-C again does not wait for them")
        hive.interrupt()
        assert await hive.ended() == 0
        await gone([*children, starting])
        assert hive.text.splitlines()[-1] == "All ended."
        assert "Traceback" not in hive.text


async def test_what_is_handed_back_on_leaving_is_kept_by_a_server_that_died_meanwhile(short_dir: Path) -> None:
    data = short_dir / "data"
    with household(data) as hive:
        await hive.up()
        first = found_in(data)
        async with MessageBroker(Settings.load(redis_url=first.url)) as broker:
            task_id = await broker.enqueue_task("pause", {"seconds": 600}, timeout=900)
            await until_running(broker, task_id)
        hive.interrupt()
        await hive.said("Ctrl-C again does not wait for them")
        kill(first)
        await hive.said(DIED)
        await until(lambda: (now := find_server(data)) is not None and now.pid != first.pid)
        hive.interrupt()
        assert await hive.ended() == 0
    server = ensure_server(data, url=None, server_binary=SERVER_BINARY)
    try:
        async with MessageBroker(Settings.load(redis_url=server.url)) as broker:
            task = await broker.get_task_status(task_id)
            assert task is not None
            assert task.status == "pending"
    finally:
        server.stop()


# ---------------------------------------------------------------------------------------------------- the keeper alone


class Kept:
    """A server in a folder, and who looks after it."""

    def __init__(self, folder: Path, binary: Path | None = None) -> None:
        self._binary = str(binary) if binary else SERVER_BINARY
        self.folder, self.lines = folder, list[str]()
        self.first = ensure_server(folder, url=None, server_binary=self._binary)
        self.keeper = ServerKeeper(self.first, ServerOptions(), self._binary)
        self.work = asyncio.create_task(self.keeper.keep(lambda name, line: self.lines.append(f"{name}: {line}")))

    async def said(self, words: str, times: int = 1) -> None:
        await until(lambda: sum(words in line for line in self.lines) == times or self.work.done())
        assert sum(words in line for line in self.lines) == times, self.lines

    async def dies(self, words: str, times: int) -> None:
        """Kill the present server, hear these words for the `times`-th time, and wait for the next one."""
        kill(self.keeper.server)
        await self.said(words, times)
        await asyncio.wait_for(self.keeper.ready.wait(), PATIENCE_S)

    async def close(self) -> None:
        await end_tasks(self.work)
        await self.keeper.close()
        self.keeper.stop()


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_keeper, "AGAIN_S", 0.01)


@pytest.mark.usefixtures("_quick")
async def test_a_server_that_dies_again_and_again_is_given_up(short_dir: Path) -> None:
    kept = Kept(short_dir)
    try:
        for deaths in range(1, server_keeper.TRIES + 1):
            await kept.dies("died (signal SIGKILL)", deaths)
        kill(kept.keeper.server)
        with pytest.raises(StoreUnavailable, match=r"5 tries .* in vain; the last one: died \(signal SIGKILL\)"):
            await asyncio.wait_for(kept.work, PATIENCE_S)
        pauses = [float(line.split()[-2]) for line in kept.lines]
        assert pauses == [0.01, 0.02, 0.04, 0.08, 0.16]
    finally:
        await kept.close()


@pytest.mark.usefixtures("_quick")
async def test_after_a_long_life_a_death_is_the_first_again(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_keeper, "FORGIVEN_S", 0.0)
    monkeypatch.setattr("venom_spore.launcher.backoff.FORGIVEN_S", 0.0)
    kept = Kept(short_dir)
    try:
        for deaths in range(1, server_keeper.TRIES + 3):
            await kept.dies("in 0.01 s", deaths)
    finally:
        await kept.close()


@pytest.mark.usefixtures("_quick")
async def test_a_binary_that_is_gone_is_tried_and_told(short_dir: Path) -> None:
    binary, _ = slow_next_time(short_dir)
    kept = Kept(short_dir / "data", binary)
    try:
        binary.unlink()
        kill(kept.first)
        with pytest.raises(StoreUnavailable, match=r"the last one: VENOM_REDIS_SERVER is "):
            await asyncio.wait_for(kept.work, PATIENCE_S)
        await kept.said("is tried again", server_keeper.TRIES - 1)
    finally:
        await kept.close()


async def test_a_server_that_was_stopped_stays_so(short_dir: Path) -> None:
    kept = Kept(short_dir)
    try:
        found_in(short_dir).stop()
        await kept.said("was stopped, so it is not started again")
        assert not kept.work.done()
        assert find_server(short_dir) is None
    finally:
        await kept.close()


async def test_a_server_that_somebody_else_started_meanwhile_is_his(
    short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_keeper, "AGAIN_S", 2.0)
    kept = Kept(short_dir)
    kill(kept.first)
    await until(lambda: not kept.first.alive)
    other = ensure_server(short_dir, url=None, server_binary=SERVER_BINARY)
    try:
        await kept.said("was started by somebody else")
        await kept.close()
        assert other.alive
    finally:
        other.stop()


async def test_a_server_of_others_is_never_touched(short_dir: Path) -> None:
    own = ensure_server(short_dir, url=None, server_binary=SERVER_BINARY)
    kept = Kept(short_dir)
    try:
        kill(own)
        own.stop()
        assert not kept.work.done()
        assert kept.lines == []
        assert find_server(short_dir) is None
    finally:
        await kept.close()
