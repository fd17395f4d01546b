from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading

import pytest

from tests.hives import altered, done, running, until
from tests.servers import PrivateServer
from venom_core import __version__
from venom_core.config import Settings
from venom_core.errors import InvalidSetting, InvalidSkill, StoreUnavailable
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore import main as main_module
from venom_spore.main import SporeOptions, VenomSpore, default_concurrency, main, serve
from venom_spore.skills import SkillSet

WORKER_SKILLS = "tests.spore.worker_skills:skills"


@pytest.fixture
def skills() -> SkillSet:
    made = SkillSet()

    @made.skill
    async def echo(value: str = "") -> str:
        return value

    return made


# ------------------------------------------------------------------------------------------------------- options


def test_how_many_tasks_run_at_a_time_follows_from_the_kinds_of_skills(skills: SkillSet) -> None:
    assert default_concurrency(skills) == 100

    @skills.skill
    def in_thread() -> None: ...

    assert default_concurrency(skills) == 16

    @skills.skill(process=True)
    def in_process() -> None: ...

    assert 1 <= default_concurrency(skills) <= 1_024


def test_a_spore_is_called_like_its_host_unless_named(settings: Settings, skills: SkillSet) -> None:
    assert VenomSpore(skills, settings=settings).name == socket.gethostname()
    assert VenomSpore(skills, SporeOptions("mine"), settings).name == "mine"


@pytest.mark.parametrize("options", [SporeOptions("a b"), SporeOptions("x" * 129), SporeOptions(tags=("a b",))])
def test_a_name_or_tag_that_is_none_is_refused(settings: Settings, skills: SkillSet, options: SporeOptions) -> None:
    with pytest.raises(InvalidSetting, match="a node name or tag is"):
        VenomSpore(skills, options, settings)


@pytest.mark.parametrize("slots", [-1, 10_001])
def test_a_concurrency_that_is_none_is_refused(settings: Settings, skills: SkillSet, slots: int) -> None:
    with pytest.raises(InvalidSetting, match="--concurrency is 1 to 10000"):
        VenomSpore(skills, SporeOptions(concurrency=slots), settings)


def test_a_process_skill_that_no_child_can_import_is_refused(settings: Settings, skills: SkillSet) -> None:
    @skills.skill(process=True)
    def local() -> None: ...

    with pytest.raises(InvalidSkill, match="cannot be imported by a child process"):
        VenomSpore(skills, settings=settings)


async def test_the_settings_come_from_the_environment_when_none_are_given(
    settings: Settings, skills: SkillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIVE_NAMESPACE", settings.hive_namespace)
    monkeypatch.setenv("REDIS_URL", settings.store_url())
    spore = VenomSpore(skills, SporeOptions("a-node"))
    spore.stop()
    assert spore.settings.hive_namespace == settings.hive_namespace
    await spore.disconnect()


# ---------------------------------------------------------------------------------------------------------- life


async def test_run_connects_by_itself(settings: Settings, broker: MessageBroker, skills: SkillSet) -> None:
    spore = VenomSpore(skills, SporeOptions("alone"), settings)
    work = asyncio.create_task(spore.run())
    assert await done(broker, "echo", {"value": "a"}) == "a"
    spore.stop()
    await work
    await spore.disconnect()
    await spore.disconnect()


async def test_a_spore_connects_again_after_it_was_disconnected(
    settings: Settings, broker: MessageBroker, skills: SkillSet
) -> None:
    spore = VenomSpore(skills, SporeOptions("again"), settings)
    for _ in range(2):
        work = asyncio.create_task(spore.run())
        assert await done(broker, "echo", {"value": "a"}) == "a"
        spore.stop()
        await work
        await spore.disconnect()


async def test_a_spore_without_redis_says_so(skills: SkillSet) -> None:
    spore = VenomSpore(skills, SporeOptions("lost"), Settings.load(redis_url="redis://127.0.0.1:1"))
    with pytest.raises(StoreUnavailable):
        await spore.run()
    await spore.disconnect()


async def test_a_signal_stops_a_served_spore(settings: Settings, broker: MessageBroker, skills: SkillSet) -> None:
    spore = VenomSpore(skills, SporeOptions("served"), settings)
    serving = asyncio.create_task(serve(spore))
    await done(broker, "echo")
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(serving, 5)
    assert spore.worker is None


async def test_a_signal_that_comes_while_the_spore_connects_stops_it(settings: Settings, skills: SkillSet) -> None:
    spore = VenomSpore(skills, SporeOptions("hasty"), settings)
    serving = asyncio.create_task(serve(spore))
    await asyncio.sleep(0)
    assert spore.worker is None
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(serving, 5)


async def test_no_thread_is_left_behind(settings: Settings, broker: MessageBroker) -> None:
    before = _threads()
    own = SkillSet()

    @own.skill
    def echo(value: str) -> str:
        return value

    async with running(own, altered(settings, hive_drain_timeout=1)):
        assert await done(broker, "echo", {"value": "a"}) == "a"
    await until(lambda: _threads() <= before)


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("venom-")}


# ------------------------------------------------------------------------------------------------------- command


def one_sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The only line on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--redis-url", "ftp://example.com"], "redis://"),
        (["--redis-url", "redis://127.0.0.1:1"], "cannot be reached"),
        (["--skills", "no_such_module:skills"], "there is no module 'no_such_module'"),
        (["--skills", "tests.spore.worker_skills:nothing"], "has no attribute 'nothing'"),
        (["--skills", "nonsense"], "does not look like pkg.module:attr"),
        (["--concurrency", "-5"], "--concurrency is 1 to 10000, not -5"),
        (["--concurrency", "0"], "--concurrency is 1 to 10000, not 0"),
        (["--name", "a b"], "a node name or tag is"),
        (["--tags", "ok,not ok"], "a node name or tag is"),
        (["--log-level", "loud"], "HIVE_LOG_LEVEL is 'LOUD'"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_2_if_no_restart_mends_it(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mendable = arguments[0] == "--skills" or words == "cannot be reached"
    assert main(["--skills", WORKER_SKILLS, *arguments]) == (1 if mendable else 2)
    line = one_sentence(capsys)
    assert line.startswith("venom-spore: ")
    assert words in line


def test_a_concurrency_that_is_no_number_is_told_by_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--skills", WORKER_SKILLS, "--concurrency", "many"])
    assert caught.value.code == 2
    assert "--concurrency" in capsys.readouterr().err


def test_a_hive_that_is_switched_off_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENABLE_HIVE", "false")
    assert main(["--skills", WORKER_SKILLS]) == 2
    assert "set ENABLE_HIVE=true to start a Spore" in one_sentence(capsys)


def test_a_wrong_password_is_one_sentence_without_the_password(
    private_server: PrivateServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with private_server.client() as client:
        client.config_set("requirepass", "right")
    monkeypatch.setenv("REDIS_PASSWORD", "a-wrong-one")
    assert main(["--skills", WORKER_SKILLS, "--redis-url", private_server.url]) == 1
    line = one_sentence(capsys)
    assert "password" in line
    assert "a-wrong-one" not in line


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"venom-spore {__version__}\n"


def _stopped_by(number: signal.Signals | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve only until a Spore has joined, then stop it as a signal would, or as Ctrl-C before the loop listens."""

    async def briefly(spore: VenomSpore) -> None:
        if number is None:
            raise KeyboardInterrupt
        serving = asyncio.create_task(serve(spore))
        await until(lambda: spore.worker is not None and spore.worker._keeper.epoch > 0)
        signal.raise_signal(number)
        await serving

    monkeypatch.setattr(main_module, "serve", briefly)


def test_a_clean_stop_is_exit_0(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("HIVE_NAMESPACE", settings.hive_namespace)
    _stopped_by(signal.SIGINT, monkeypatch)
    arguments = ["--skills", WORKER_SKILLS, "--redis-url", settings.store_url(), "--name", "x", "--tags", "a, b,"]
    assert main(arguments) == 0
    assert "x joined with" in caplog.text
    assert "x has left" in caplog.text


def test_a_keyboard_interrupt_before_the_loop_listens_is_exit_130(monkeypatch: pytest.MonkeyPatch) -> None:
    _stopped_by(None, monkeypatch)
    assert main(["--skills", WORKER_SKILLS]) == 130
