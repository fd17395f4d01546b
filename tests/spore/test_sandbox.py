"""Process skills: results, failures and deaths are told apart, and nothing a task has started outlives it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from venom_core.errors import InvalidSkill, InvalidTask, SandboxCrashed
from venom_spore.context import TaskContext
from venom_spore.sandbox import Sandbox, SkillError
from venom_spore.sandbox_frames import Done, Emitted, pack
from venom_spore.skills import Skill, SkillSet, load_skills

ORIGIN = "tests.spore.child_skills:skills"
DEADLINE_S = 20.0

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode


@pytest.fixture(scope="module")
def skills() -> SkillSet:
    return load_skills(ORIGIN)


def children() -> list[psutil.Process]:
    """Processes below this one, without the server that other tests may have started."""
    return [each for each in psutil.Process().children(recursive=True) if not each.name().endswith("-server")]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    opened = Sandbox(2, grace_s=0.5)
    yield opened
    await opened.close()
    assert children() == []


@pytest.fixture
def call(sandbox: Sandbox, skills: SkillSet) -> Callable[..., Any]:
    """Run a skill of child_skills by name with keyword arguments; gives the decoded result."""

    async def run(name: str, context: TaskContext | None = None, **arguments: Any) -> Any:
        return decode(await sandbox.run(_skill(skills, name), encode(arguments), context))

    return run


def _skill(skills: SkillSet, name: str) -> Skill:
    skill = skills.get(name)
    assert skill is not None
    return skill


def _context(said: list[tuple[str, object]]) -> TaskContext:
    return TaskContext(
        "t1", "tell", attempt=2, crashes=1, node_id="n1", report=lambda kind, what: said.append((kind, what))
    )


async def appears(path: Path) -> list[int]:
    """The pids that a task writes into a file, once they are there."""
    deadline = time.monotonic() + DEADLINE_S
    while not (pids := _numbers(path)):
        assert time.monotonic() < deadline, f"{path.name} never appeared"
        await asyncio.sleep(0.01)
    return pids


def _numbers(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []


async def gone(pids: list[int]) -> None:
    """Return once none of these processes is left, not even as a zombie."""
    deadline = time.monotonic() + DEADLINE_S
    while left := [pid for pid in pids if psutil.pid_exists(pid)]:
        assert time.monotonic() < deadline, f"{left} are still there"
        await asyncio.sleep(0.01)


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_result_comes_back(call: Callable[..., Any]) -> None:
    assert await call("add", a=1) == 3
    assert await call("add_soon", a=1, b=5) == 6


async def test_a_child_is_used_again_and_is_another_process(call: Callable[..., Any]) -> None:
    pids = {await call("whoami") for _ in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids


async def test_at_most_as_many_children_as_slots(call: Callable[..., Any]) -> None:
    pids = await asyncio.gather(*(call("whoami") for _ in range(8)))
    assert len(set(pids)) <= 2


async def test_what_a_task_says_arrives_before_its_result_and_in_order(call: Callable[..., Any]) -> None:
    said: list[tuple[str, object]] = []
    assert await call("tell", _context(said), steps=2) == ["t1", "tell", 2, 1, "n1", False]
    assert said == [("progress", (0.5, "step 1")), ("progress", (1.0, "step 2")), ("emit", encode({"half": 1.0}))]


async def test_a_task_may_speak_from_several_threads(call: Callable[..., Any]) -> None:
    said: list[tuple[str, object]] = []
    assert await call("speak_from_threads", _context(said), threads=4) == 4
    assert len(said) == 200


async def test_what_a_task_says_to_nobody_is_dropped(call: Callable[..., Any], skills: SkillSet) -> None:
    with pytest.raises(SkillError, match="TypeError"):
        await call("tell", None, steps=2)
    assert await call("add", a=1) == 3


async def test_a_sink_that_raises_ends_the_child_and_the_next_task_gets_a_new_one(call: Callable[..., Any]) -> None:
    def refuse(kind: str, what: object) -> None:
        raise InvalidTask(f"no {kind}")

    context = TaskContext("t1", "tell", attempt=1, crashes=0, node_id="n1", report=refuse)
    first = await call("whoami")
    with pytest.raises(InvalidTask, match="no progress"):
        await call("tell", context, steps=2)
    assert await call("whoami") != first


async def test_printing_does_not_disturb_the_answer(
    call: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    assert await call("shout") == "heard"
    assert "frame?" in capfd.readouterr().out
    assert await call("close_stdout") == "closed"
    assert await call("add", a=1) == 3


async def test_an_exception_comes_back_as_text(call: Callable[..., Any]) -> None:
    with pytest.raises(SkillError, match=r"^ValueError: too wide$") as caught:
        await call("fail", text="too wide")
    assert (caught.value.kind, caught.value.message) == ("ValueError", "too wide")
    assert "child_skills.py" in caught.value.trace
    with pytest.raises(SkillError, match=r"^Strange: <exception str"):
        await call("fail_unprintably")
    with pytest.raises(SkillError) as long:
        await call("fail", text="ä" * 100_000)
    assert len(long.value.message) == 2_000
    assert len(long.value.trace) == 4_000


async def test_sys_exit_is_a_failure_and_the_child_lives(call: Callable[..., Any]) -> None:
    pid = await call("whoami")
    with pytest.raises(SkillError, match="SystemExit: 3"):
        await call("leave")
    assert await call("whoami") == pid


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("add", {"a": "one"}, "payload of 'add': expected int, got str at key 'a'"),
        ("add", {"a": 1, "c": 1}, "unexpected key 'c'"),
        ("unserialisable", {}, r"result of 'unserialisable'\['place'\]\[0\] is of type object"),
        ("return_text", {"length": 2_000_000}, "the limit is 1,048,576"),
        ("refuse", {}, "API_KEY is missing"),
    ],
)
async def test_what_trying_again_cannot_mend_comes_back_as_invalid_task(
    call: Callable[..., Any], name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidTask, match=message):
        await call(name, **arguments)


async def test_a_result_near_the_limit_comes_back(call: Callable[..., Any]) -> None:
    assert len(await call("return_text", length=1_048_000)) == 1_048_000


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("exit_hard", {"code": 7}, "the process of skill 'exit_hard' died: exit code 7"),
        ("exit_hard", {"code": 0}, "died: exit code 0"),
        ("signal_self", {"number": signal.SIGKILL}, "died: signal 9 .SIGKILL.; perhaps out of memory"),
        ("signal_self", {"number": signal.SIGSEGV}, "died: signal 11 .SIGSEGV.$"),
        ("signal_self", {"number": signal.SIGTERM}, "died: signal 15 .SIGTERM.$"),
        ("close_all_descriptors", {}, "died: exit code 1"),
    ],
)
async def test_a_death_is_told_with_its_cause_and_the_next_task_runs(
    call: Callable[..., Any], name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(SandboxCrashed, match=message):
        await call(name, **arguments)
    assert await call("add", a=1) == 3


async def test_allocating_without_end_is_stopped_at_the_limit(call: Callable[..., Any]) -> None:
    pid = await call("whoami")
    with pytest.raises(SkillError, match="MemoryError"):
        await call("allocate_without_end")
    assert await call("allocate_some", megabytes=50) == 50_000_000
    assert await call("whoami") == pid


async def test_a_copy_that_a_task_forked_cannot_answer(call: Callable[..., Any]) -> None:
    for _ in range(3):
        assert await call("fork_and_return") == "who returns?"
    assert await call("add", a=1) == 3


async def test_cancelling_ends_a_busy_loop(call: Callable[..., Any], tmp_path: Path) -> None:
    task = asyncio.create_task(call("spin", started=str(tmp_path / "started")))
    pids = await appears(tmp_path / "started")
    await cancelled(task)
    assert not psutil.pid_exists(pids[0])


async def test_cancelling_lets_a_task_tidy_up(call: Callable[..., Any], tmp_path: Path) -> None:
    for name, context in (("tidy_up", None), ("tidy_up_async", _context([]))):
        started, ended = tmp_path / f"{name}.started", tmp_path / f"{name}.ended"
        task = asyncio.create_task(call(name, context, started=str(started), ended=str(ended)))
        await appears(started)
        await cancelled(task)
        assert _numbers(ended) == [1]


async def test_cancelling_ends_a_family_that_ignores_sigterm_and_hides(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    task = asyncio.create_task(call("stubborn_family", started=str(tmp_path / "started")))
    pids = await appears(tmp_path / "started")
    assert len(pids) == 3
    await cancelled(task)
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []


async def test_a_second_cancellation_does_not_wait_for_the_grace(skills: SkillSet, tmp_path: Path) -> None:
    sandbox = Sandbox(1, grace_s=600.0)
    arguments = encode({"started": str(tmp_path / "started")})
    task = asyncio.create_task(sandbox.run(_skill(skills, "stubborn_family"), arguments, None))
    pids = await appears(tmp_path / "started")
    task.cancel()
    await asyncio.wait([task], timeout=0.1)
    assert not task.done()
    await cancelled(task)
    await gone(pids)
    await sandbox.close()


async def test_what_a_finished_task_left_running_is_ended_before_its_result_is_given(call: Callable[..., Any]) -> None:
    pids = await call("leave_family_behind")
    assert len(pids) == 2
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
    assert await call("add", a=1) == 3


async def test_a_process_that_dies_takes_its_family_along(call: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(SandboxCrashed, match="exit code 7"):
        await call("die_with_family", started=str(tmp_path / "started"))
    pids = await appears(tmp_path / "started")
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []


async def test_a_task_that_took_over_sigterm_does_not_protect_the_next_one(
    sandbox: Sandbox, call: Callable[..., Any], tmp_path: Path
) -> None:
    await call("take_over_sigterm")
    task = asyncio.create_task(call("tidy_up", started=str(tmp_path / "started"), ended=str(tmp_path / "ended")))
    await appears(tmp_path / "started")
    await cancelled(task)
    assert _numbers(tmp_path / "ended") == [1]


async def test_an_idle_child_is_ended_after_a_while(skills: SkillSet) -> None:
    sandbox = Sandbox(1, idle_s=0.05)
    pid = decode(await sandbox.run(_skill(skills, "whoami"), encode({}), None))
    await gone([pid])
    assert decode(await sandbox.run(_skill(skills, "add"), encode({"a": 1}), None)) == 3
    await sandbox.close()


async def test_an_idle_child_that_died_is_replaced_unnoticed(call: Callable[..., Any]) -> None:
    pid = await call("whoami")
    os.kill(pid, signal.SIGKILL)
    await gone([pid, *(process.pid for process in children())])
    assert await call("whoami") != pid


async def test_a_task_given_to_an_idle_child_that_is_dying_runs_in_another(
    call: Callable[..., Any], tmp_path: Path
) -> None:
    pid = await call("whoami")
    os.kill(pid, signal.SIGKILL)  # and at once, before the event loop can learn of it:
    assert await call("whoami") != pid
    (keeper,) = [each for each in children() if each.ppid() == os.getpid()]
    keeper.suspend()  # the runner dies, and nobody says so: the job is taken in and never begun
    (runner,) = keeper.children()
    runner.kill()
    task = asyncio.create_task(call("whoami"))
    await asyncio.wait([task], timeout=0.05)
    keeper.resume()
    assert await task != runner.pid


async def test_a_child_of_another_skill_set_makes_room(skills: SkillSet, tmp_path: Path) -> None:
    sandbox = Sandbox(1)
    first = decode(await sandbox.run(_skill(skills, "whoami"), encode({}), None))
    other = replace(_skill(skills, "whoami"), origin="tests.spore.more_child_skills:skills")
    second = decode(await sandbox.run(other, encode({}), None))
    assert second != first
    assert not psutil.pid_exists(first)
    await sandbox.close()


async def test_closing_ends_idle_and_busy_children(skills: SkillSet, tmp_path: Path) -> None:
    sandbox = Sandbox(2, grace_s=600.0)
    idle = decode(await sandbox.run(_skill(skills, "whoami"), encode({}), None))
    arguments = encode({"started": str(tmp_path / "started")})
    runs = [
        asyncio.create_task(sandbox.run(_skill(skills, "stubborn_family"), arguments, None)),
        asyncio.create_task(sandbox.run(_skill(skills, "whoami"), encode({}), None)),
    ]
    pids = await appears(tmp_path / "started")
    await asyncio.wait([runs[1]])
    await sandbox.close(grace_s=0.1)
    assert [pid for pid in [idle, *pids] if psutil.pid_exists(pid)] == []
    with pytest.raises(SandboxCrashed):
        await runs[0]


async def test_a_child_is_not_kept_once_the_sandbox_is_closed(skills: SkillSet) -> None:
    sandbox = Sandbox(1)
    await sandbox.close()
    pid = decode(await sandbox.run(_skill(skills, "whoami"), encode({}), None))
    await gone([pid])
    await sandbox.close()


async def test_a_keeper_that_does_not_answer_is_killed_with_all_below_it(
    sandbox: Sandbox, call: Callable[..., Any], tmp_path: Path
) -> None:
    task = asyncio.create_task(call("stubborn_family", started=str(tmp_path / "started")))
    pids = await appears(tmp_path / "started")
    (keeper,) = [each for each in children() if each.ppid() == os.getpid()]
    keeper.suspend()
    await cancelled(task)
    await gone([keeper.pid, *pids])


async def test_a_skill_that_no_child_can_import_is_refused(sandbox: Sandbox, skills: SkillSet) -> None:
    with pytest.raises(InvalidSkill, match="has no origin to import it from"):
        await sandbox.run(replace(_skill(skills, "add"), origin=""), encode({"a": 1}), None)
    with pytest.raises(InvalidTask, match="has no skill 'gone'"):
        await sandbox.run(replace(_skill(skills, "add"), name="gone"), encode({"a": 1}), None)
    with pytest.raises(InvalidTask, match="there is no module 'no_such_module'"):
        await sandbox.run(replace(_skill(skills, "add"), origin="no_such_module:skills"), encode({"a": 1}), None)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"\x7f\xff\xff\xff", "sent a frame of 2,147,483,647 bytes, the limit is"),
        (b"\x00\x00\x00\x01\xc1", "sent an answer that cannot be read"),
        (pack(Done(b"\xa1")), "sent an answer that cannot be read"),
        (pack(Emitted(b"\xa2\xff\xfe")), "sent an answer that cannot be read"),
    ],
)
async def test_a_child_that_breaks_the_rules_of_the_socket_is_ended(
    skills: SkillSet, sandbox: Sandbox, sent: bytes, message: str
) -> None:
    rogue = replace(_skill(skills, "add"), name="speak_raw", origin="tests.spore.more_child_skills:skills")
    with pytest.raises(SandboxCrashed, match=message):
        await sandbox.run(rogue, encode({"frame": sent.hex()}), None)


async def test_a_child_that_cannot_be_started_frees_its_slot(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/python")
        for _ in range(3):
            with pytest.raises(FileNotFoundError):
                await call("add", a=1)
    assert await call("add", a=1) == 3
