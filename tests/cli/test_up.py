"""A whole hive in one terminal: real processes, all ended with it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Venom, refused
from tests.cli.households import VENOM, household
from tests.hives import until, until_running, until_so
from tests.processes import ROOT
from tests.servers import free_port, sync_client
from venom_core.commands.children import Children, EarlyEnd
from venom_core.config import Settings
from venom_core.infrastructure.embedded import find_server
from venom_core.infrastructure.message_broker import MessageBroker

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def _own_hive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)


def at(data: Path, **settings: object) -> Settings:
    """How a caller reaches the hive in a folder."""
    server = find_server(data)
    assert server is not None
    return Settings.load(redis_url=server.url, **settings)


def venom_alone(*words: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A command as a process of its own."""
    return subprocess.run(
        [*VENOM, *words], capture_output=True, text=True, timeout=60, check=False, env=dict(environment)
    )


async def gone(processes: list[psutil.Process]) -> None:
    await until(lambda: not any(process.is_running() and process.status() != "zombie" for process in processes), 30)


async def test_a_second_hive_in_a_folder_is_refused_and_the_first_goes_on(short_dir: Path) -> None:
    data = short_dir / "data"
    with household(data) as hive:
        await hive.up()
        second = venom_alone("up", "--data", str(data), environment=os.environ)
        assert second.returncode == 1
        assert "is up in" in second.stderr
        assert "another --data and --name" in second.stderr
        async with MessageBroker(at(data)) as broker:
            task = await broker.wait_for(await broker.enqueue_task("pause", {"seconds": 0}), 30)
    assert task is not None
    assert task.status == "completed"


def test_skills_that_do_not_exist_are_told_before_anything_is_started(short_dir: Path) -> None:
    data = short_dir / "data"
    done = venom_alone("up", "--data", str(data), "--skills", "nomod:skills", environment=os.environ)
    assert done.returncode != 0
    assert "nomod" in done.stderr
    assert "Traceback" not in done.stderr
    assert find_server(data) is None


async def test_a_hive_comes_with_one_command_and_ends_with_ctrl_c(short_dir: Path) -> None:
    data = short_dir / "data"
    with household(data, "--spores", "2") as hive:
        await hive.up()
        assert "spore-1 | " in hive.text
        assert "2 Spores with the skills " in hive.text
        async with MessageBroker(at(data)) as broker:
            names = {node.profile.name for node in await broker.hive.nodes.all() if node.online}
            task = await broker.wait_for(await broker.enqueue_task("pause", {"seconds": 0}), 30)
        assert names == {"spore-nexus", "spore-1", "spore-2"}
        assert task is not None
        assert task.status == "completed"
        children = hive.children()
        assert len(children) == 3
        hive.interrupt()
        assert await hive.ended() == 0
        await gone(children)
        assert hive.text.splitlines()[-1] == "All ended."
        assert find_server(data) is None


async def test_a_nexus_and_its_spores_keep_an_audit_each(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They shared the file that HIVE_AUDIT_FILE names, and told one another of its lines without end."""
    named = short_dir / "audit.jsonl"
    monkeypatch.setenv("HIVE_AUDIT_FILE", str(named))
    with household(short_dir / "data") as hive:
        await hive.up()
        kept = {"spore-nexus": named, "spore-1": short_dir / "audit-spore-1.jsonl"}
        for name, path in kept.items():
            owner = path.with_name(f"{path.name}.owner")
            await until(lambda owner=owner, name=name: owner.exists() and owner.read_text() == name)  # type: ignore[misc]  # a default binds it now
        hive.interrupt()
        assert await hive.ended() == 0
        assert "Traceback" not in hive.text


async def test_a_second_ctrl_c_does_not_wait_for_what_runs(short_dir: Path) -> None:
    data = short_dir / "data"
    with household(data) as hive:
        await hive.up()
        async with MessageBroker(at(data)) as broker:
            await until_running(broker, await broker.enqueue_task("pause", {"seconds": 600}, timeout=900))
        hive.interrupt()
        await hive.said("Ctrl-C again does not wait for them")
        hive.interrupt()
        assert await hive.ended() == 0


async def test_a_drained_spore_is_not_started_again_and_the_last_one_ends_it(short_dir: Path) -> None:
    data = short_dir / "data"
    with household(data) as hive:
        await hive.up()
        environment = os.environ | {"REDIS_URL": at(data).store_url()}
        drained = await asyncio.to_thread(venom_alone, "node", "drain", "spore-1", environment=environment)
        assert drained.returncode == 0, drained.stderr
        await hive.said("spore-1 | has left")
        hive.interrupt()
        assert await hive.ended() == 0


async def test_when_it_is_killed_its_processes_end_and_the_server_is_found_again(short_dir: Path) -> None:
    data = short_dir / "data"
    with household(data) as hive:
        await hive.up()
        children = hive.children()
        hive.process.kill()
        await gone(children)
    with household(data) as again:
        await again.up()
        again.interrupt()
        assert await again.ended() == 0


async def test_a_named_server_is_used_and_stays(short_dir: Path, settings: Settings) -> None:
    namespace = settings.hive_namespace
    with household(short_dir / "data", "--redis-url", settings.store_url(), "--name", namespace[:8]) as hive:
        await hive.up()
        assert "the one of REDIS_URL" in hive.text
        hive.interrupt()
        assert await hive.ended() == 0
        assert "the server runs on" in hive.text
    client = sync_client(settings.store_url())
    assert client.ping()
    for key in client.scan_iter("{venom:*"):
        client.unlink(key)
    client.close()


# ------------------------------------------------------------------------------------------------ a second machine


async def test_the_line_for_the_next_machine_brings_a_spore_into_the_hive(short_dir: Path) -> None:
    data = short_dir / "data"
    with household(data, "--bind", "127.0.0.1", "--port", str(free_port())) as hive:
        await hive.up()
        assert "Trusted networks only until TLS is set up" in hive.text
        password, token = hive.secrets
        assert len(password) >= 40
        assert len(token) >= 40
        for name, secret in (("password", password), ("token", token)):
            assert (data / name).read_text() == secret
            assert (data / name).stat().st_mode & 0o777 == 0o600
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HIVE_PROFILE": "fast",
        }
        guest = await asyncio.create_subprocess_shell(
            f"exec env {hive.invitation} --name guest", cwd=ROOT, env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with MessageBroker(at(data, nexus_shared_token=token)) as broker:

                async def joined() -> bool:
                    return any(node.profile.name == "guest" and node.online for node in await broker.hive.nodes.all())

                await until_so(joined, 60)
                needs = {"node": "guest"}
                task = await broker.wait_for(await broker.enqueue_task("pause", {"seconds": 0}, requirements=needs), 30)
            assert task is not None
            assert (task.status, task.assigned_node) == ("completed", "guest")
            shown = [" ".join(process.cmdline()) for process in [*hive.children(), psutil.Process(guest.pid)]]
            assert not any(secret in line for line in shown for secret in (password, token)), "no list of processes"
        finally:
            guest.send_signal(signal.SIGTERM)
            await guest.wait()
        first = hive.invitation
        hive.interrupt()
        assert await hive.ended() == 0
        started = await asyncio.to_thread(venom_alone, "server", "start", "--data", str(data), environment=os.environ)
        assert f"export NEXUS_SHARED_TOKEN={token}" in started.stdout
    with household(data, "--bind", "127.0.0.1", "--port", first.partition("/0 ")[0].rpartition(":")[2]) as again:
        await again.up()
        assert again.invitation == first, "the line that was pasted once goes on working"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--bind", "0.0.0.0"), "opens the server to every network"),
        (("--bind", "::"), "opens the server to every network"),
        (("--bind", "203.0.113.7"), "is no address of this machine"),
        (("--bind", "venom.example"), "takes an address of this machine"),
    ],
)
def test_an_open_or_foreign_bind_is_refused(
    venom: Venom, short_dir: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.delenv("REDIS_URL")
    assert words in refused(venom("up", "--data", str(short_dir / "data"), *arguments))
    assert not (short_dir / "data").exists()


def test_a_weak_password_is_refused(venom: Venom, short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "short")
    said = refused(venom("up", "--data", str(short_dir / "data"), "--bind", "127.0.0.1"))
    assert "REDIS_PASSWORD has 5 characters" in said


def test_a_server_that_runs_elsewhere_is_not_opened(venom: Venom, short_dir: Path) -> None:
    data = str(short_dir / "data")
    assert subprocess.run([*VENOM, "server", "start", "--data", data], check=False, timeout=60).returncode == 0
    try:
        said = refused(venom("up", "--data", data, "--bind", "127.0.0.1", "--port", str(free_port())))
        assert "runs in" in said
        assert "venom server stop" in said
    finally:
        assert venom("server", "stop", "--data", data).exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [("--port", "7000"), ("--all-networks",), ("--bind", "127.0.0.1", "--redis-url", "redis://x"), ("--spores", "0")],
)
def test_a_command_that_is_used_wrongly_ends_with_2(venom: Venom, arguments: tuple[str, ...]) -> None:
    assert venom("up", *arguments).exit_code == 2


# ---------------------------------------------------------------------------------------------------- its processes


async def test_a_process_that_dies_is_started_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("venom_core.commands.children.EARLY_S", 0.0)
    monkeypatch.setattr("venom_core.commands.children.AGAIN_S", 0.01)
    said: list[str] = []
    children = Children(os.environ, lambda name, line: said.append(f"{name}: {line}"))
    await children.start(
        "it", "timeit", "-n", "1", "-r", "1", "import time; print('lives', flush=True); time.sleep(60)"
    )
    await until(lambda: "it: lives" in said, 30)
    children.living["it"].signal(signal.SIGKILL)
    await until(lambda: said.count("it: lives") == 2, 30)
    assert "it: died (signal SIGKILL); it is started again" in said
    forced = asyncio.Event()
    forced.set()
    await children.close(forced)
    assert not children.living["it"].alive


async def test_a_process_is_not_started_again_while_the_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one it ends right after its start, which is no reason to end the whole hive."""
    monkeypatch.setattr("venom_core.commands.children.AGAIN_S", 0.0)
    said: list[str] = []
    ready = asyncio.Event()
    children = Children(os.environ, lambda _name, line: said.append(line), ready=ready)
    await children.start(
        "it", "timeit", "-n", "1", "-r", "1", "import time; print('lives', flush=True); time.sleep(60)"
    )
    await until(lambda: "lives" in said, 30)
    children.living["it"].signal(signal.SIGKILL)
    await until(lambda: len(ready._waiters) == 1, 30)
    assert not children.living["it"].alive
    ready.set()
    await until(lambda: said.count("lives") == 2, 30)
    forced = asyncio.Event()
    forced.set()
    await children.close(forced)


async def test_a_process_that_ends_at_once_is_not_started_for_ever() -> None:
    children = Children(os.environ, lambda _name, _line: None)
    await children.start("it", "no_such_module_at_all")
    with pytest.raises(EarlyEnd, match=r"it ended right after its start \(exit code 1\): .*no_such_module_at_all"):
        await asyncio.wait_for(children.ended(), 30)
    await children.close(asyncio.Event())


async def test_a_line_of_any_length_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venom_core.commands.children.LINE_BYTES_MAX", 1024)
    said: list[str] = []
    children = Children(os.environ, lambda _name, line: said.append(line))
    await children.start("it", "timeit", "-n", "1", "-r", "1", "print('x' * 9000); print('after')")
    await asyncio.wait_for(children.ended(), 30)
    assert "after" in said
    assert said[-1] == "has left"
    await children.close(asyncio.Event())
