"""What nodes refuse reaches their own chain, the store and every Nexus's chain; and the command that reads them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.hives import altered, running, until_so
from venom_core.audit_chain import AuditChain, read_entries, verify
from venom_core.cli import main
from venom_core.clock import ManualClock
from venom_core.config import Settings
from venom_core.errors import AuditBroken
from venom_core.event_loop import end_tasks
from venom_core.infrastructure import audit_follower, audit_pen
from venom_core.infrastructure.audit import audit_lines
from venom_core.infrastructure.audit_follower import AuditFollower, places
from venom_core.infrastructure.audit_pen import PER_MINUTE_MAX, AuditPen
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.nexus import Nexus
from venom_spore.skills import SkillSet

TOKEN = "a token of at least thirty-two characters"
FOREIGN = "another token of thirty-two characters"

skills = SkillSet()


@skills.skill
async def noop() -> None:
    """Nothing."""


def events(path: Path) -> list[str]:
    return [entry.event for entry in read_entries(path) if entry is not None] if path.exists() else []


async def until_event(path: Path, event: str) -> None:
    async def there() -> bool:
        return event in await asyncio.to_thread(events, path)

    await until_so(there)


async def test_a_forged_task_stands_in_the_chains_of_the_node_and_of_the_nexus(
    fast: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_follower, "EVERY_S", 0.05)
    of_node, of_nexus = tmp_path / "node.jsonl", tmp_path / "nexus.jsonl"
    trusted = altered(fast, nexus_shared_token=TOKEN)
    forger = altered(fast, nexus_shared_token=FOREIGN)
    nexus = Nexus(altered(trusted, hive_audit_file=str(of_nexus)), name="nexus-1")
    serving = asyncio.create_task(nexus.run())
    task_id = ""
    async with MessageBroker(forger) as foreign:
        for _ in range(2):  # the second life tells how far the chain went in the first
            async with running(skills, altered(trusted, hive_audit_file=str(of_node)), name="n1"):
                task_id = await foreign.enqueue_task("noop", {})
                await until_event(of_node, "refused_envelope")

                async def copied(wanted: str = task_id) -> bool:
                    found = await asyncio.to_thread(lambda: list(read_entries(of_nexus)) if of_nexus.exists() else [])
                    return any(entry is not None and entry.actor == wanted for entry in found)

                await until_so(copied)
    await until_event(of_nexus, "audit_head")
    nexus.stop()
    await serving
    await end_tasks(serving)
    assert verify(of_node).seq >= 2
    verify(of_nexus)
    told = {entry.actor for entry in read_entries(of_nexus) if entry is not None and entry.event == "refused_envelope"}
    assert task_id in told


async def test_a_nexus_that_starts_again_copies_no_line_twice(broker: MessageBroker, tmp_path: Path) -> None:
    path = tmp_path / "nexus.jsonl"
    for number in range(3):
        await broker.hive.tasks.audit("refused_envelope", f"t{number}", "why", "n1")
    assert await AuditFollower(broker.hive, path, "x").look() == 3
    assert await AuditFollower(broker.hive, path, "x").look() == 0
    await broker.hive.tasks.audit("refused_envelope", "t3", "why", "n1")
    assert await AuditFollower(broker.hive, path, "x").look() == 1
    assert verify(path).seq == 4
    assert list(places(path)) == [0]


async def test_a_flood_is_counted_not_written_out(broker: MessageBroker, tmp_path: Path) -> None:
    path, clock = tmp_path / "node.jsonl", ManualClock()
    pen = AuditPen(broker.hive.tasks, str(path), clock)
    for number in range(PER_MINUTE_MAX + 7):
        await pen.write("refused_order", str(number), "forged", "n1")
    assert verify(path).seq == PER_MINUTE_MAX
    clock.advance(60)
    await pen.write("refused_order", "later", "forged", "n1")
    *_, last = read_entries(path)
    assert last is not None
    assert last.detail == "forged (and 7 more within a minute)"


async def test_a_chain_that_cannot_be_written_stops_nobody_and_is_said(
    broker: MessageBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pen = AuditPen(broker.hive.tasks, str(tmp_path / "no" / "such" / "folder"), ManualClock())
    await pen.write("refused_order", "t", "forged", "n1")
    assert "the audit was not written" in caplog.text


async def test_a_damaged_head_is_said_and_stops_nobody(
    broker: MessageBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "node.jsonl.head").write_text("what")
    await AuditPen(broker.hive.tasks, str(tmp_path / "node.jsonl"), ManualClock()).tell_head("n1")
    assert "the end of the audit was not told" in caplog.text


async def test_a_follower_waits_out_a_disk_that_takes_nothing(
    broker: MessageBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await broker.hive.tasks.audit("refused_envelope", "t", "why", "n1")
    follower = asyncio.create_task(AuditFollower(broker.hive, tmp_path / "no" / "folder", "x").run())

    async def said() -> bool:
        return "the audit is copied later" in caplog.text

    await until_so(said)
    await end_tasks(follower)


def _chain(path: Path, count: int = 3) -> AuditChain:
    chain = AuditChain(path, "n1", ManualClock())
    for number in range(count):
        chain.append("refused_order", f"task-{number}", "forged")
    return chain


def test_the_command_shows_lines_and_verifies_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = _chain(tmp_path / "audit.jsonl")
    monkeypatch.setenv("HIVE_AUDIT_FILE", str(chain.path))
    shown = CliRunner().invoke(main, ["audit", "show", "--json", "--lines", "2"])
    assert [line["actor"] for line in json.loads(shown.stdout)] == ["task-1", "task-2"]
    assert CliRunner().invoke(main, ["audit", "show", "--event", "nothing", "--json"]).stdout.strip() == "[]"
    assert "task-2" in CliRunner().invoke(main, ["audit", "show"]).stdout
    verified = CliRunner().invoke(main, ["audit", "verify"])
    assert verified.exit_code == 0
    assert "3 lines, none changed; 1 head that was seen is in it" in verified.stdout
    assert json.loads(CliRunner().invoke(main, ["audit", "verify", "--json"]).stdout)["lines"] == 3


def test_the_command_names_columns_like_fields_and_shows_no_place_in_the_store(tmp_path: Path) -> None:
    nexus = AuditChain(tmp_path / "nexus.jsonl", "nexus-1", ManualClock())
    nexus.append("release_committed", "n1", "launcher: 1.0-abc @0:1795297979759-0")
    shown = CliRunner().invoke(main, ["audit", "show", str(nexus.path)])
    header, line = shown.stdout.splitlines()
    assert header.split() == ["seq", "at", "node", "event", "actor", "detail"]
    assert line.endswith("n1      launcher: 1.0-abc")
    told = json.loads(CliRunner().invoke(main, ["audit", "show", str(nexus.path), "--json"]).stdout)
    assert set(header.split()) <= set(told[0])
    assert told[0]["detail"].endswith(" @0:1795297979759-0")


@pytest.mark.parametrize("heads", [0, 1, 2])
def test_the_command_counts_in_words(tmp_path: Path, heads: int) -> None:
    chain = _chain(tmp_path / "audit.jsonl", 1)
    kept = chain.head_file.rename(tmp_path / "kept.head")
    witnesses = [word for _ in range(heads) for word in ("--witness", str(kept))]
    said = CliRunner().invoke(main, ["audit", "verify", str(chain.path), *witnesses]).stdout
    words = (
        "there was no head to compare it with",
        "1 head that was seen is in it",
        "2 heads that were seen are in it",
    )
    assert f": 1 line, none changed; {words[heads]}\n" in said


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_log_that_was_changed_is_shown_with_a_warning(tmp_path: Path, form: list[str]) -> None:
    chain = _chain(tmp_path / "audit.jsonl")
    chain.path.write_bytes(chain.path.read_bytes().replace(b"task-1", b"task-9"))
    shown = CliRunner().invoke(main, ["audit", "show", str(chain.path), *form])
    assert shown.exit_code == 1
    assert "task-9" in shown.stdout
    assert shown.stderr.startswith(f"venom: line 2 of {chain.path} was changed: ")
    chain.path.write_bytes(b"".join(chain.path.read_bytes().splitlines(keepends=True)[:1]))
    assert "its end is cut off" in CliRunner().invoke(main, ["audit", "show", str(chain.path), *form]).stderr


def test_the_command_finds_an_end_that_was_cut_off_by_the_nexus_that_was_told(tmp_path: Path) -> None:
    chain = _chain(tmp_path / "node.jsonl")
    nexus = AuditChain(tmp_path / "nexus.jsonl", "nexus", ManualClock())
    head = chain.head()
    nexus.append("audit_head", "n1", f"{head.seq} {head.hash} @0:1-0")
    nexus.append("audit_head", "another", f"9 {head.hash} @0:2-0")
    chain.path.write_bytes(b"".join(chain.path.read_bytes().splitlines(keepends=True)[:2]))
    chain.head_file.unlink()
    assert CliRunner().invoke(main, ["audit", "verify", str(chain.path)]).exit_code == 0
    found = CliRunner().invoke(main, ["audit", "verify", str(chain.path), "--witness", str(nexus.path)])
    assert found.exit_code == 1
    assert "its end is cut off" in found.output


def test_a_log_that_was_written_anew_from_its_first_line_is_found_by_its_witness(tmp_path: Path) -> None:
    chain = _chain(tmp_path / "node.jsonl")
    nexus = AuditChain(tmp_path / "nexus.jsonl", "nexus", ManualClock())
    head = chain.head()
    nexus.append("audit_head", "n1", f"{head.seq} {head.hash} @0:1-0")
    chain.path.unlink()
    chain.head_file.unlink()
    for _ in range(3):
        chain.append("nothing", "", "happened")
    found = CliRunner().invoke(main, ["audit", "verify", str(chain.path), "--witness", str(nexus.path)])
    assert found.exit_code == 1
    assert "it was written anew" in found.output


def test_a_witness_that_knows_nothing_of_a_log_is_none(tmp_path: Path) -> None:
    chain, other = _chain(tmp_path / "node.jsonl"), _chain(tmp_path / "other.jsonl")
    found = CliRunner().invoke(main, ["audit", "verify", str(chain.path), "--witness", str(other.path)])
    assert found.exit_code == 1
    assert "holds no head of this log" in found.output


async def test_a_flood_in_one_look_is_bounded_and_the_rest_follows(
    broker: MessageBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_follower, "LINES_PER_LOOK_MAX", 4)
    for number in range(6):
        await broker.hive.tasks.audit("refused_envelope", f"t{number}", "\U0001f9ff" * 500, "n1")
    follower = AuditFollower(broker.hive, tmp_path / "nexus.jsonl", "x")
    assert [await follower.look() for _ in range(3)] == [4, 2, 0]
    assert len(places(tmp_path / "nexus.jsonl")) == 1
    assert verify(tmp_path / "nexus.jsonl").seq == 6


async def test_a_log_that_is_none_stops_no_nexus_and_is_said_once(
    broker: MessageBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_follower, "EVERY_S", 0.01)
    path = tmp_path / "nexus.jsonl"
    path.write_bytes(b"dear diary,\n")
    await broker.hive.tasks.audit("refused_envelope", "t", "why", "n1")
    following = asyncio.create_task(AuditFollower(broker.hive, path, "x").run())

    async def said() -> bool:
        return "move it away" in caplog.text

    await until_so(said)
    path.unlink()

    async def copied() -> bool:
        return path.exists() and verify(path).seq == 1

    await until_so(copied)
    await end_tasks(following)
    assert caplog.text.count("move it away") == 1


async def test_how_far_the_chain_goes_is_told_again_once_it_went_on(
    broker: MessageBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_pen, "TELL_EVERY_S", 0.01)
    chain = _chain(tmp_path / "node.jsonl", 1)
    telling = asyncio.create_task(AuditPen(broker.hive.tasks, str(chain.path), ManualClock()).keep_telling("n1"))

    async def heads() -> list[str]:
        return [line.why.split()[0] for line in await audit_lines(broker.hive) if line.what == "audit_head"]

    async def one() -> bool:
        return await heads() == ["1"]

    async def two() -> bool:
        return await heads() == ["1", "2"]

    await until_so(one)
    chain.append("refused_order")
    await until_so(two)
    await end_tasks(telling)


async def test_what_updater_and_launcher_did_stands_in_the_chain_of_the_nexus_too(
    broker: MessageBroker, tmp_path: Path
) -> None:
    chain = _chain(tmp_path / "node.jsonl", 1)
    chain.append("update_refused", "updater", '{"code": "TOO_SOON"}')
    chain.append("release_committed", "launcher", "1.0-abc")
    for _ in range(2):  # a second life of the Spore tells nothing twice
        await AuditPen(broker.hive.tasks, str(chain.path), ManualClock()).tell_head("n1")
    chain.append("release_rolling_back", "launcher", "2.0-abc: it never joined")
    await AuditPen(broker.hive.tasks, str(chain.path), ManualClock()).tell_head("n1")
    await AuditFollower(broker.hive, tmp_path / "nexus.jsonl", "nexus-1").look()
    entries = [entry for entry in read_entries(tmp_path / "nexus.jsonl") if entry is not None]
    told = [(entry.event, entry.node) for entry in entries if entry.event != "audit_head"]
    assert told == [("update_refused", "n1"), ("release_committed", "n1"), ("release_rolling_back", "n1")]
    assert entries[0].detail.startswith('updater: {"code": "TOO_SOON"} @0:')
    (tmp_path / "node.jsonl.told").write_bytes(b"\xff")
    await AuditPen(broker.hive.tasks, str(chain.path), ManualClock()).tell_head("n1")
    assert await AuditFollower(broker.hive, tmp_path / "nexus.jsonl", "nexus-1").look() == 4


async def test_what_came_from_the_hive_is_never_told_to_it_again(broker: MessageBroker, tmp_path: Path) -> None:
    """One file for a Nexus and a Spore fed itself without end: told, copied, told again, each time longer."""
    chain = _chain(tmp_path / "one.jsonl", 1)
    chain.append("release_rolling_back", "launcher", "2.0-abc: it never joined")
    lines = []
    for _ in range(4):
        await AuditPen(broker.hive.tasks, str(chain.path), ManualClock()).tell_head("n1")
        await AuditFollower(broker.hive, chain.path, "nexus-1").look()
        lines.append([event for event in events(chain.path) if event != "audit_head"])
    assert lines == [["refused_order", "release_rolling_back", "release_rolling_back"]] * 4


async def test_a_node_tells_of_its_own_lines_only(broker: MessageBroker, tmp_path: Path) -> None:
    chain = _chain(tmp_path / "node.jsonl", 1)
    AuditChain(chain.path, "another").append("release_committed", "launcher", "1.0-abc")
    chain.append("release_committed", "launcher", "2.0-abc")
    await AuditPen(broker.hive.tasks, str(chain.path), ManualClock()).tell_head("n1")
    told = [line.why for line in await audit_lines(broker.hive) if line.what == "release_committed"]
    assert told == ["launcher: 2.0-abc"]


async def test_the_file_of_a_nexus_takes_no_line_of_another_process(
    broker: MessageBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_follower, "EVERY_S", 0.01)
    path = tmp_path / "nexus.jsonl"
    await broker.hive.tasks.audit("refused_envelope", "t", "why", "n1")
    following = asyncio.create_task(AuditFollower(broker.hive, path, "nexus-1").run())
    await until_event(path, "refused_envelope")
    with pytest.raises(AuditBroken, match="the audit of nexus-1, which runs; give this process a file of its own"):
        AuditChain(path, "n1").append("refused_order")
    pen = AuditPen(broker.hive.tasks, str(path), ManualClock())
    await pen.keep_telling("n1")  # says it, and keeps no file
    await pen.write("refused_order", "n1", "forged", "n1")
    assert caplog.text.count("give this process a file of its own") == 1
    second = asyncio.create_task(AuditFollower(broker.hive, path, "nexus-2").run())

    async def said() -> bool:
        return caplog.text.count("give this process a file of its own") == 2

    await until_so(said)
    await end_tasks(following)
    await broker.hive.tasks.audit("refused_envelope", "t2", "why", "n1")

    async def taken_over() -> bool:
        return len(events(path)) == 3

    await until_so(taken_over)
    await end_tasks(second)
    assert events(path).count("refused_envelope") == 2
    assert verify(path).seq == 3


async def test_two_spores_do_not_keep_one_file(
    broker: MessageBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_pen, "TELL_EVERY_S", 0.01)
    chain = _chain(tmp_path / "node.jsonl", 1)
    first = asyncio.create_task(AuditPen(broker.hive.tasks, str(chain.path), ManualClock()).keep_telling("n1"))

    async def told() -> bool:
        return any(line.what == "audit_head" for line in await audit_lines(broker.hive))

    await until_so(told)
    await AuditPen(broker.hive.tasks, str(chain.path), ManualClock()).keep_telling("n2")
    assert "the audit of n1, which runs; give this process a file of its own" in caplog.text
    chain.append("update_staged", "updater")  # what else runs for this node still writes
    again = asyncio.create_task(AuditPen(broker.hive.tasks, str(chain.path), ManualClock()).keep_telling("n1"))
    await until_so(told)
    await end_tasks(first, again)
    assert caplog.text.count("no audit is kept here") == 1
    with chain.claim(alone=True):
        chain.append("refused_order")
    assert verify(chain.path).seq == 3


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    assert "name the file of an audit, or set HIVE_AUDIT_FILE" in CliRunner().invoke(main, ["audit", "show"]).output
    gone = CliRunner().invoke(main, ["audit", "verify", str(_chain(tmp_path / "a.jsonl").path), "--witness", "x.head"])
    assert gone.exit_code == 1
    assert "cannot be read" in gone.output
