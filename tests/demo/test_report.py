from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.demo.ends import ended, file
from venom_core.demo import report as report_module
from venom_core.demo import run as run_module
from venom_core.demo.ledger import Ledger
from venom_core.demo.rates import SpeedUp
from venom_core.demo.report import report
from venom_core.demo.run import Killed, Run
from venom_core.demo.sources import Sources
from venom_core.domain.lifecycle import TaskStatus


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "cores", lambda: 2)


def run_of(*names: str) -> Run:
    """A run that has found nothing in each of these files."""
    files = tuple(file(name) for name in names)
    ledger = Ledger()
    for one in files:
        ledger.add(one, ended(str(one.path)))
    return Run(Sources(Path("/src"), files), files, ledger, seconds=2.0, slots=3)


def text_of(run: Run) -> str:
    return "\n".join(line for line, _ in report(run, run.ledger.prove(run.files)))


def test_a_run_in_which_nothing_happened_says_so() -> None:
    text = text_of(run_of("a.py", "b.py"))
    assert "Findings: 0 high, 0 medium, 0 low, in 6 lines of code" in text
    assert "Unparsable files: none" in text
    assert "Where each task ran: spore-1 2" in text
    assert "Recovered: nothing, because there was too little to do" in text
    assert "Speed: 2 files in 2.0 s, 1.0 files/s over all" in text
    assert "Speed-up: not measured" in text
    assert text.endswith("All 2 files are in the result exactly once.")


def test_the_speed_up_is_told_against_what_the_machine_allows() -> None:
    run = run_of("a.py")
    run.speed_up = SpeedUp(work_s=9.0, seconds=5.0)
    text = text_of(run)
    assert "Speed-up: 1.8× of 2.0× possible on 2 cores\n" in text
    assert "what took one slot alone 9.0 s, 3 slots did again in 5.0 s, before the kill" in text
    assert "rough" not in text


def test_a_short_measurement_is_called_rough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "cores", lambda: 1)
    run = run_of("a.py")
    run.speed_up = SpeedUp(work_s=0.9, seconds=1.0)
    assert "Speed-up: 0.9× of 1.0× possible on 1 core\n" in text_of(run)
    assert "rough figure" in text_of(run)


def test_recovery_is_told_in_seconds_after_the_kill() -> None:
    run = run_of()
    run.ledger.add(file("a.py"), ended("/src/a.py", crashes=1))
    run.killed = Killed("spore-2", at_s=run.ledger.recovered[0].started_s - 5)
    wanted = "Recovered: a.py (crashes: 1) started again on spore-1 5.0 s after the kill and was done after 8.0 s"
    assert wanted in text_of(run)


def test_a_spore_killed_between_two_files_lost_nothing() -> None:
    run = run_of("a.py")
    run.killed = Killed("spore-2", at_s=0)
    assert "Recovered: nothing; spore-2 was killed between two files" in text_of(run)


def test_many_unparsable_files_are_counted_and_the_first_are_named() -> None:
    run = run_of()
    for number in range(12):
        run.ledger.add(file(f"{number:02}.py"), ended(f"/src/{number:02}.py", {"skipped": "odd\x1b"}))
    text = text_of(run)
    assert "Unparsable files: 12" in text
    assert r"  00.py: odd\x1b" in text
    assert "  and 2 more" in text


def test_what_is_missing_failed_or_doubled_is_named_and_nothing_is_claimed() -> None:
    run = run_of("a.py", "b.py", "c.py")
    run.ledger.seen = Counter({"/src/a.py": 2, "/src/b.py": 1, "/src/x.py": 1})
    run.ledger.add(file("c.py"), ended("/src/c.py", status=TaskStatus.FAILED, error="no"))
    text = text_of(run)
    for words in (
        "Failed: c.py: failed: no",
        "In the result missing: /src/c.py",
        "In the result more than once: /src/a.py",
        "In the result foreign: /src/x.py",
    ):
        assert words in text
    assert "exactly once" not in text


def test_the_machine_has_cores() -> None:
    assert run_module.cores() >= 1
