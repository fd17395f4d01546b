"""One worker, always: started again when it dies, ended whole, never left behind, never beside a second one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hives import altered, done, ended, until
from tests.launcher.launchers import HANGS, LauncherProcess, exists
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.launcher.layout import LauncherFault, Layout
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.releases import BASE, COMPLETE


async def the_worker(launcher: LauncherProcess) -> int:
    """The process id of the worker, once there is exactly one."""
    await until(lambda: len(launcher.workers) == 1)
    return launcher.workers[0]


async def test_the_first_start_makes_a_complete_base_and_leaves_nothing_behind(fast: Settings, tmp_path: Path) -> None:
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        assert (launcher.layout.current / COMPLETE).exists()
        assert launcher.layout.current.resolve().name == launcher.state.current == BASE
        assert launcher.layout.home.stat().st_mode & 0o777 == 0o700
        worker = await the_worker(launcher)
        assert os.getpgid(worker) == worker
        launcher.send(signal.SIGTERM)
        assert await launcher.ended() == 0
        assert not exists(worker)


async def test_sigterm_drains_and_a_second_one_forces(fast: Settings, broker: MessageBroker, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        short = await broker.enqueue_task("work", {"journal": str(journal), "number": 1, "seconds": 1.0})
        await until(lambda: journal.exists() and "begin 1" in journal.read_text())
        launcher.send(signal.SIGTERM)
        assert await launcher.ended() == 0
        assert (await ended(broker, short)).status == "completed"

        launcher.start_again()
        await launcher.said("joined with", times=2)
        long = await broker.enqueue_task("work", {"journal": str(journal), "number": 2, "seconds": 60.0})
        await until(lambda: "begin 2" in journal.read_text())
        launcher.send(signal.SIGTERM)
        await launcher.said("draining: 1 tasks", times=2)
        launcher.send(signal.SIGTERM)
        assert await launcher.ended() == 0
        assert "stopped 2" in journal.read_text()
        await broker.cancel_task(long)


async def test_a_worker_that_dies_is_started_again_and_its_task_too(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        first = await the_worker(launcher)
        task = await broker.enqueue_task("hold_first", {"journal": str(journal)})
        await until(journal.exists)
        os.kill(first, signal.SIGKILL)
        await launcher.said("joined with", times=2)
        assert await the_worker(launcher) != first
        assert "killed by SIGKILL; it is started again in 0.5 s" in launcher.text
        assert (await ended(broker, task)).result == "n1"


async def test_what_a_dead_worker_left_behind_is_ended_wherever_it_hid(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    """A task forks twice and opens a session of its own: neither its parent nor its group leads to it."""
    hidden = tmp_path / "hidden"
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        worker = await the_worker(launcher)
        assert await done(broker, "hide", {"place": str(hidden)}) == "hidden"
        await until(lambda: hidden.exists() and hidden.read_text().endswith("\n"))
        stray = int(hidden.read_text())
        assert os.getsid(stray) == stray
        os.kill(worker, signal.SIGKILL)
        await until(lambda: not exists(stray))
        await launcher.said("joined with", times=2)


async def test_a_worker_whose_launcher_is_killed_drains_and_leaves(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        worker = await the_worker(launcher)
        task = await broker.enqueue_task("work", {"journal": str(journal), "seconds": 1.0})
        await until(journal.exists)
        launcher.kill()
        await launcher.said("the launcher is gone; leaving")
        assert (await ended(broker, task)).attempt == 1
        await until(lambda: not exists(worker))


async def test_a_worker_that_cannot_even_start_dies_with_its_launcher(fast: Settings, tmp_path: Path) -> None:
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        launcher.stage("2.0", HANGS)
        await launcher.said("(on trial)")
        worker = await the_worker(launcher)
        launcher.kill()
        await until(lambda: not exists(worker))


async def test_a_worker_that_hangs_while_it_loads_its_skills_dies_with_its_launcher(
    fast: Settings, tmp_path: Path
) -> None:
    with LauncherProcess(fast, tmp_path, skills="tests.launcher.hanging:skills") as launcher:
        worker = await the_worker(launcher)
        await launcher.said("the import hangs")
        launcher.kill()
        await until(lambda: not exists(worker))


async def test_a_node_that_is_told_to_drain_takes_its_launcher_along(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        await until_heard(broker, launcher)
        assert await launcher.ended() == 0
        assert "left of its own accord" in launcher.text


async def until_heard(broker: MessageBroker, launcher: LauncherProcess) -> None:
    """Broadcast a drain until somebody hears it."""
    data = {"hive": broker.settings.hive_namespace, "target_nodes": ["n1"]}
    while "told to leave the hive" not in launcher.text:
        await broker.broadcast_control("NODE_DRAIN", data)


async def test_a_second_launcher_of_one_home_is_refused(fast: Settings, tmp_path: Path) -> None:
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        with launcher.twin() as second:
            assert await second.ended() == 1
            assert second.text.startswith("venom-launcher: BUSY: another launcher keeps ")
            assert second.text.count("\n") == 1
            assert "n1-home (idle, 0-base); give this one another --home" in second.text
        assert launcher.process.poll() is None


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a process namespace is for root on Linux")
async def test_as_process_1_it_reaps_what_others_left(fast: Settings, broker: MessageBroker, tmp_path: Path) -> None:
    with LauncherProcess(fast, tmp_path, before=("unshare", "--pid", "--fork", "--mount-proc")) as launcher:
        await launcher.said("joined with")
        first = launcher.workers[0]  # unshare's child: process 1 in there
        assert await done(broker, "hide", {"place": str(tmp_path / "hidden"), "seconds": 0.0}) == "hidden"

        def zombies() -> list[str]:
            listed = subprocess.run(
                ["ps", "-o", "stat=", "--ppid", str(first)], capture_output=True, text=True, check=False
            )
            return [line for line in listed.stdout.split() if line.startswith("Z")]

        await until((tmp_path / "hidden").exists)
        await until(lambda: zombies() == [])
        os.kill(first, signal.SIGTERM)
        assert await launcher.ended() == 0


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1}', '{"schema": 9, "phase": "idle"}', "\0" * 70_000])
async def test_a_damaged_state_is_said_in_one_sentence_and_what_runs_goes_on(
    fast: Settings, tmp_path: Path, text: str
) -> None:
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        launcher.send(signal.SIGTERM)
        await launcher.ended()
        launcher.layout.state_file.write_text(text)
        launcher.start_again()
        await launcher.said("joined with", times=2)
        assert launcher.text.count("state.json is no state of a launcher") == 1
        assert launcher.layout.state_file.with_suffix(".damaged").read_text() == text
        assert launcher.state.current == BASE
        assert launcher.state.phase is Phase.IDLE


async def test_who_reads_json_reads_the_launcher_too(fast: Settings, tmp_path: Path) -> None:
    with LauncherProcess(altered(fast, hive_log_format="json"), tmp_path) as launcher:
        await launcher.said("joined with")
        with launcher.twin() as second:
            assert await second.ended() == 1
            assert "BUSY" in json.loads(second.text)["message"]
        launcher.send(signal.SIGTERM)
        assert await launcher.ended() == 0
        lines = [json.loads(line) for line in launcher.text.splitlines()]
        assert {line["logger"] for line in lines} >= {"venom.launcher", "venom.spore"}
        assert all({"timestamp", "level", "message", "process"} <= line.keys() for line in lines)


def test_a_current_that_is_a_folder_is_refused_before_anything_is_done(fast: Settings, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "n1-home")
    layout.prepare()
    layout.current.mkdir()
    with LauncherProcess(fast, tmp_path) as launcher:
        assert launcher.process.wait(30) == 1
        assert "is a folder, not a link to a release; move it away" in launcher.text
        assert not layout.state_file.exists()


@pytest.mark.parametrize("option", ["--poll", "--probation", "--ready", "--patience", "--hint-every"])
def test_what_is_no_number_of_seconds_is_refused(fast: Settings, tmp_path: Path, option: str) -> None:
    with LauncherProcess(fast, tmp_path, option, "soon") as launcher:
        assert launcher.process.wait(30) == 1
        assert f"{option} is seconds from 0 to a year, not 'soon'" in launcher.text


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_a_home_that_is_a_file_is_said_in_one_sentence(tmp_path: Path, below: str) -> None:
    (tmp_path / "tasks.py").write_text("")
    home = tmp_path / "tasks.py" / below
    with pytest.raises(LauncherFault, match=r"must be a folder, and a file is in its way; give another --home$"):
        Layout(home).prepare()


def test_a_file_in_a_home_where_a_folder_must_be_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "releases").write_text("")
    tmp_path.chmod(0o700)
    with pytest.raises(LauncherFault, match=r"releases must be a folder, and a file is in its way; move it away"):
        Layout(tmp_path).prepare()


async def test_who_follows_no_repository_is_told_so_once_and_how_to_join(fast: Settings, tmp_path: Path) -> None:
    with LauncherProcess(fast, tmp_path, "--poll", "1") as launcher:
        await launcher.said("joined with")
        launcher.send(signal.SIGHUP)
        launcher.send(signal.SIGTERM)
        assert await launcher.ended() == 0
        told = f"venom ota join URL FINGERPRINT --home {launcher.layout.home}"
        assert launcher.text.count("follows no repository") == launcher.text.count(told) == 1


@pytest.mark.parametrize(
    ("name", "environment", "why"),
    [
        ("n1", {"HIVE_OTA_INTERVAL": "banana"}, "HIVE_OTA_INTERVAL is 'banana'"),
        ("a b", {}, "a node name or tag is"),
        ("--unknown", {}, "--name: expected one argument"),
    ],
)
async def test_a_worker_that_is_used_wrongly_is_not_started_again(
    fast: Settings, tmp_path: Path, name: str, environment: dict[str, str], why: str
) -> None:
    with LauncherProcess(fast, tmp_path, name=name, secrets=environment) as launcher:
        assert await launcher.ended() == 2
        assert why in launcher.text
        assert launcher.text.count("starting 0-base") == 1
        assert "its options (after --) or settings are wrong, and no restart mends that" in launcher.text
        assert (launcher.state.phase, launcher.state.current) == (Phase.IDLE, BASE)


async def test_once_a_worker_was_up_its_exit_code_2_is_a_death_like_any_other(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    with LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        await broker.enqueue_task("leave_with", {"code": 2}, max_retries=0)
        await launcher.said("joined with", times=2)
        assert "ended with exit code 2; it is started again" in launcher.text
