"""A Spore's side of the pipe: what it says, when it stops, and that nobody without a launcher pays for it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hives import FAST, altered, until
from tests.processes import spore
from venom_core.clock import ManualClock
from venom_core.config import Settings
from venom_core.errors import InvalidSetting
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore import release_link
from venom_spore.launcher.link import Link, Word
from venom_spore.machine import PsutilReader
from venom_spore.release_link import ORPHAN_EXIT, ORPHAN_S, LinkedHeartbeat, ReleaseLink, self_test_type

ROOT = Path(__file__).resolve().parents[2]


class Ends:
    """Both ends of a pipe in one process."""

    def __init__(self, folder: Path) -> None:
        ear, self.mouth = os.pipe()
        self.launcher = Link(ear)
        self.spore = ReleaseLink(self.mouth, "1.0-abc", folder, on_trial=True)

    async def heard(self, say: str) -> Word:
        """The next word of this kind."""
        found: list[Word] = []

        def come() -> bool:
            found.extend(word for word in self.launcher.read() if word.say == say)
            return bool(found)

        await until(come)
        return found[0]


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    """A pipe whose release is in `tmp_path`."""
    return Ends(tmp_path)


def test_without_a_launcher_nothing_of_it_is_loaded() -> None:
    ours = "{'venom_spore.release_link', 'venom_spore.update_hints', 'venom_spore.state_audit'}"
    look = f"import sys, venom_spore.main; print(*{ours} & {{*sys.modules}})"
    found = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "\n"


@pytest.mark.parametrize("text", ["", "x", "-1", "99999", "9" * 30, "{file}"])
def test_what_is_no_pipe_of_a_launcher_is_refused(text: str, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(InvalidSetting, match="only venom-launcher sets it"):
        ReleaseLink.from_environment({"VENOM_RELEASE_LINK": text.format(file=file.fileno())})


async def test_a_spore_with_a_false_pipe_says_one_sentence(
    fast: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENOM_RELEASE_LINK", "77")
    with spore("a", fast, tmp_path) as node:
        assert await node.ended() == 2
        assert node.text.count("\n") == 1
        assert "is no pipe of a launcher" in node.text


async def test_safe_mode_needs_no_launcher_and_no_skills(fast: Settings, broker: MessageBroker, tmp_path: Path) -> None:
    with spore("a", fast, tmp_path, "--safe-mode") as node:
        await node.said("joined with 100 slots and 0 skills")
        [found] = await broker.hive.nodes.all()
        assert found.profile.tags == ("safe-mode",)
        node.send(signal.SIGTERM)
        assert await node.ended() == 0


def test_what_is_said_is_heard_and_nobody_is_kept_waiting(ends: Ends) -> None:
    ends.spore.say("look", at_ms=7)
    assert ends.launcher.read() == [Word("look", at_ms=7)]
    for _ in range(20_000):
        ends.spore.say("beat")  # far more than a pipe holds
    assert not ends.spore.is_lost()
    ends.launcher.close()
    assert ends.spore.is_lost()
    ends.spore.say("beat")


@pytest.mark.parametrize(
    ("manifest", "files", "ok", "why"),
    [
        (None, {}, True, ""),
        ("{}", {}, True, ""),
        ('{"check": "yes_a:well"}', {"yes_a.py": "def well():\n    return 1\n"}, True, ""),
        ('{"check": "no_b:well"}', {"no_b.py": "def well():\n    return None\n"}, False, "no_b:well did not say yes"),
        (
            '{"check": "bad_c:well"}',
            {"bad_c.py": "def well():\n    raise SystemExit('hunter2')\n"},
            False,
            "it raised SystemExit; the Spore's log says more",
        ),
        ('{"check": "odd_d:well"}', {"odd_d.py": "well = 3\n"}, False, "TypeError"),
        ('{"check": "gone_e:well"}', {}, False, "ModuleNotFoundError"),
        ('{"check": 5}', {}, False, "ModuleNotFoundError"),
        ("[]", {}, False, "AttributeError"),
        ("{", {}, False, "JSONDecodeError"),
    ],
)
async def test_the_check_of_a_release_is_called_and_its_answer_told(
    ends: Ends,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    manifest: str | None,
    files: dict[str, str],
    ok: bool,
    why: str,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    await ends.spore._check()
    word = await ends.heard("check")
    assert word.ok is ok
    assert why in word.why
    assert "hunter2" not in word.why


async def test_a_check_that_hangs_is_given_up(ends: Ends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(release_link, "CHECK_S", 0.1)
    (tmp_path / "slow_f.py").write_text("import threading\ngate = threading.Event()\nwell = gate.wait\n")
    (tmp_path / "manifest.json").write_text('{"check": "slow_f:well"}')
    await ends.spore._check()
    assert (await ends.heard("check")).why == "it did not end within 0.1 s"
    sys.modules["slow_f"].gate.set()


async def test_a_task_that_nobody_answers_ends_the_self_test(
    ends: Ends, fast: Settings, broker: MessageBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_link, "TEST_S", 0.5)
    async with ends.spore.proving(broker.hive, fast, "nobody"):
        word = await ends.heard("self-test")
    assert not word.ok
    assert word.why == "a task to this node did not end within 0.5 s"
    assert (await broker.get_queue_stats())["tasks_pending"] == 1


async def test_a_wrong_answer_ends_the_self_test_too(ends: Ends, fast: Settings, broker: MessageBroker) -> None:
    async with ends.spore.proving(broker.hive, fast, "liar"):
        task = await broker.next_task([self_test_type("liar")], 10)
        assert task is not None
        await broker.update_task_status(task.task_id, "completed", result="something else")
        word = await ends.heard("self-test")
    assert (word.ok, word.why) == (False, "it ended completed: None")


async def test_who_is_not_on_trial_proves_nothing(fast: Settings, broker: MessageBroker, tmp_path: Path) -> None:
    ear, mouth = os.pipe()
    link = ReleaseLink(mouth, "1.0-abc", tmp_path, on_trial=False)
    async with link.proving(broker.hive, fast, "n1"):
        assert (await broker.get_queue_stats())["tasks_pending"] == 0
    os.close(ear)
    os.close(mouth)


async def test_the_end_of_a_launcher_is_heard_once(ends: Ends) -> None:
    gone = asyncio.Event()
    async with ends.spore.watching(gone.set):
        assert not gone.is_set()
        ends.launcher.close()
        async with asyncio.timeout(10):
            await gone.wait()


async def test_a_spore_that_is_stuck_does_not_outlive_its_launcher_for_ever(
    ends: Ends, fast: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, codes = ManualClock(), list[int]()
    monkeypatch.setattr(os, "_exit", codes.append)
    heart = LinkedHeartbeat(PsutilReader(), clock, ends.spore, fast, None)
    heart.read()
    ends.launcher.close()
    heart.read()
    clock.advance(fast.hive_drain_timeout + ORPHAN_S)
    heart.read()
    assert codes == []
    clock.advance(1.0)
    heart.read()
    assert codes == [ORPHAN_EXIT]


async def test_a_release_comes_before_the_current_folder(
    ends: Ends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an old copy of a skill in the folder that the launcher was started in would stand in for the new one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["first"])
    ends.spore.settle_in()
    ends.spore.settle_in()
    assert sys.path == ["first", str(tmp_path)]
    os.close(ends.mouth)


async def test_many_partitions_beat_once(ends: Ends, settings: Settings) -> None:
    heart = LinkedHeartbeat(PsutilReader(), ManualClock(), ends.spore, altered(settings, **FAST), None)
    for _ in range(100):
        heart.hear(())
    assert (await ends.heard("ready")).gap_s == FAST["hive_lease"]
    await asyncio.sleep(0)
    heart.hear(())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [word.say for word in ends.launcher.read()] == ["beat"]


def test_a_node_has_a_self_test_of_its_own() -> None:
    assert self_test_type("a") != self_test_type("b")
    assert len(self_test_type("x" * 128)) < 128
