from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.hives import until
from venom_core.errors import Forbidden, InvalidTask, LimitReached, TaskTimeout
from venom_spore.builtin.child import run_child
from venom_spore.builtin.shell import OUTPUT_BYTES_MAX, Shell
from venom_spore.builtin.workspace import Workspace
from venom_spore.process_tree import wait_unreaped


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(Workspace(tmp_path / "workspace", 1000), enabled=True)


def python(script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", script, *arguments]


def gone(pid_file: Path) -> bool:
    """Whether the process that wrote its number there has ended."""
    pid = int(pid_file.read_text())
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# ------------------------------------------------------------------------------------------------------------ runs


async def test_a_program_runs_in_the_workspace_and_its_end_is_the_result(shell: Shell, tmp_path: Path) -> None:
    script = "import os, sys; print(os.getcwd()); print('żółć', file=sys.stderr); open('made', 'w'); sys.exit(3)"
    assert await shell.shell(python(script)) == {
        "exit_code": 3,
        "stdout": f"{tmp_path}/workspace\n",
        "stderr": "żółć\n",
        "cut": False,
    }
    assert (tmp_path / "workspace/made").exists()


async def test_no_shell_reads_the_words(shell: Shell) -> None:
    done = await shell.shell(["echo", "$HOME", "*", ";", "id", "|", "cat", "`id`", "$(id)"])
    assert done["stdout"] == "$HOME * ; id | cat `id` $(id)\n"


async def test_nothing_of_the_spores_environment_gets_in(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIVE_LLM_API_KEY", "hidden")
    monkeypatch.setenv("REDIS_PASSWORD", "hidden")
    done = await shell.shell(["env"])
    names = {line.partition("=")[0] for line in done["stdout"].splitlines()}
    assert names <= {"PATH", "LANG", "HOME"}


async def test_its_input_is_empty(shell: Shell) -> None:
    assert (await shell.shell(["cat"], timeout=20))["stdout"] == ""


# --------------------------------------------------------------------------------------------------------- refused


async def test_it_is_off_unless_it_is_enabled(tmp_path: Path) -> None:
    off = Shell(Workspace(tmp_path, 1000), enabled=False)
    with pytest.raises(Forbidden, match="set HIVE_SHELL_ENABLED=true on it to allow the skill shell"):
        await off.shell(["id"])


@pytest.mark.parametrize(
    ("command", "timeout", "kind", "words"),
    [
        ([], 1.0, InvalidTask, "command is a list of 1 to 1000 words"),
        ([""], 1.0, InvalidTask, "command is a list of 1 to 1000 words"),
        (["a"] * 1001, 1.0, InvalidTask, "command is a list of 1 to 1000 words"),
        (["no-such-program"], 1.0, InvalidTask, "there is no program 'no-such-program' on this node"),
        (["/etc"], 1.0, Forbidden, "'/etc' cannot be run: "),
        (["echo", "a\0b"], 1.0, InvalidTask, "command is a list of 1 to 1000 words without NUL"),
        (["echo", "x" * 3_000_000], 1.0, Forbidden, "'echo' cannot be run: "),
        (["id"], 0.0, LimitReached, "timeout is above 0 and at most 3600 seconds, not 0"),
        (["id"], float("nan"), LimitReached, "not nan"),
        (["id"], 3601.0, LimitReached, "not 3601"),
    ],
)
async def test_what_cannot_be_run_is_one_sentence(
    shell: Shell, command: list[str], timeout: float, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as caught:
        await shell.shell(command, timeout)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 250


# ---------------------------------------------------------------------------------------------------------- bounds


async def test_of_much_output_the_head_is_kept(shell: Shell) -> None:
    done = await shell.shell(python("import sys; sys.stdout.write('x' * 10_000_000); sys.exit(7)"))
    assert (done["exit_code"], len(done["stdout"]), done["cut"]) == (7, OUTPUT_BYTES_MAX, True)
    exact = await shell.shell(python(f"print('x' * {OUTPUT_BYTES_MAX}, end='')"))
    assert (len(exact["stdout"]), exact["cut"]) == (OUTPUT_BYTES_MAX, False)


STUBBORN = """
import os, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
own = sys.argv[1]
if own == "top":
    for name in ("below", "away"):
        subprocess.Popen([sys.executable, __file__, name], start_new_session=name == "away")
with open(own + ".part", "w") as file:
    file.write(str(os.getpid()))
os.rename(own + ".part", own + ".pid")
time.sleep(600)
"""


def stubborn(root: Path) -> list[str]:
    """A program that heeds no signal, with a child in its group and one in a session of its own."""
    root.mkdir(exist_ok=True)
    (root / "stubborn.py").write_text(STUBBORN)
    return [sys.executable, "stubborn.py", "top"]


def pids(root: Path) -> list[Path]:
    return [root / f"{name}.pid" for name in ("top", "below", "away")]


async def test_a_program_that_is_cancelled_is_gone_with_all_it_started(shell: Shell, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    running = asyncio.create_task(shell.shell(stubborn(root), 60.0))
    await until(lambda: all(file.exists() for file in pids(root)))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: all(gone(file) for file in pids(root)))


async def test_a_program_that_takes_too_long_is_gone_with_all_it_started(tmp_path: Path) -> None:
    script = "import subprocess; subprocess.Popen(['sleep', '600']).wait()"
    with pytest.raises(TaskTimeout, match=r"python.* took longer than 0\.5 s and was ended"):
        await Shell(Workspace(tmp_path, 1000), enabled=True).shell(python(script), 0.5)
    own = psutil.Process()
    assert [child.pid for child in own.children(recursive=True) if child.name() == "sleep"] == []


async def test_what_a_program_leaves_running_is_ended_with_it(shell: Shell, tmp_path: Path) -> None:
    done = await shell.shell(["sh", "-c", "sleep 600 & echo $! > left.pid; echo done"], 30.0)
    assert done["stdout"] == "done\n"
    await until(lambda: gone(tmp_path / "workspace/left.pid"))


async def test_a_daemon_that_holds_the_output_does_not_hold_up_the_result(shell: Shell, tmp_path: Path) -> None:
    script = (
        "import os, subprocess; child = subprocess.Popen(['sleep', '600'], start_new_session=True);"
        "open('left.pid', 'w').write(str(child.pid)); print('done')"
    )
    done = await shell.shell(python(script), 30.0)
    assert done["stdout"] == "done\n"
    os.kill(int((tmp_path / "workspace/left.pid").read_text()), 9)


async def test_what_is_given_is_its_input(tmp_path: Path) -> None:
    given: dict[str, Any] = {"folder": tmp_path, "environment": {"PATH": "/bin:/usr/bin"}, "timeout_s": 30}
    done = await run_child(["cat"], output_bytes_max=1 << 23, given=b"x" * (1 << 22), **given)
    assert (done.exit_code, len(done.out), done.cut) == (0, 1 << 22, False)


async def test_a_group_is_killed_only_while_its_number_is_still_its_own(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its leader is reaped, the number of an empty group may be anybody's."""
    own: list[bool] = []

    def note(group: int, number: int) -> None:
        own.append(psutil.pid_exists(group) and psutil.Process(group).ppid() == os.getpid())
        real(group, number)

    real = os.killpg
    monkeypatch.setattr(os, "killpg", note)
    assert (await shell.shell(["true"]))["exit_code"] == 0
    with pytest.raises(TaskTimeout):
        await shell.shell(["sleep", "600"], 0.1)
    running = asyncio.create_task(shell.shell(["sh", "-c", "touch begun; sleep 600"], 60.0))
    await until((tmp_path / "workspace/begun").exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert own
    assert all(own)


@pytest.mark.parametrize("missing", ["", "waitid"])
def test_a_child_that_was_waited_for_can_still_be_reaped(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing:
        monkeypatch.delattr(os, missing)
    with subprocess.Popen(["sh", "-c", "sleep 0.1; exit 7"]) as process:
        wait_unreaped(process.pid)
        assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
        assert process.wait() == 7
    wait_unreaped(process.pid)


async def test_no_descriptor_and_no_process_is_left_behind(shell: Shell) -> None:
    await shell.shell(["true"])
    before = psutil.Process().num_fds()
    for _ in range(5):
        await shell.shell(["true"])
    assert psutil.Process().num_fds() <= before
