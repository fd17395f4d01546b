"""Every rule of the checker over histories made by hand: what breaks it is named, what does not is let through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from chaos import checker
from chaos.checker import judge
from chaos.events import Event
from tests.chaos.bad_histories import BAD
from tests.chaos.good_histories import GOOD, plain
from tests.chaos.memory_histories import BAD_MEMORY, GOOD_MEMORY
from tests.chaos.requeue_histories import BAD_REQUEUES, GOOD_REQUEUES
from tests.chaos.run_histories import BAD_RUNS, GOOD_RUNS
from tests.chaos.writing import Script, finish_elsewhere
from tests.chaos.zombie_histories import BAD_ZOMBIES, GOOD_ZOMBIES, begin, end, finish, take

# What cannot be broken alone.
ALSO = {"double_result": {"ran_after_end", "wrong_result"}, "foreign": {"wrong_result"}, "lost": {"unended"}}


@pytest.mark.parametrize(
    ("rule", "write"),
    [
        (rule, write)
        for bad in (BAD, BAD_RUNS, BAD_MEMORY, BAD_REQUEUES, BAD_ZOMBIES)
        for rule, writers in bad.items()
        for write in writers
    ],
    ids=lambda x: str(x)[:40],
)
def test_what_breaks_a_rule_is_named(tmp_path: Path, rule: str, write: Callable[[Script], None]) -> None:
    write(Script(tmp_path))
    verdict = judge(tmp_path)
    assert rule in verdict.broken, verdict.sentences
    assert any(sentence.startswith(f"{rule}: ") for sentence in verdict.sentences)
    assert verdict.broken.keys() <= {rule, *ALSO.get(rule, ())}, verdict.sentences


@pytest.mark.parametrize("write", GOOD + GOOD_RUNS + GOOD_MEMORY + GOOD_REQUEUES + GOOD_ZOMBIES)
def test_what_may_happen_is_no_fault(tmp_path: Path, write: Callable[[Script], None]) -> None:
    write(Script(tmp_path))
    assert judge(tmp_path).sentences == []


@pytest.mark.parametrize(("lane", "kind"), [("brief", "async"), ("threaded", "thread"), ("byhand", "by hand")])
def test_the_figures_count_what_is_no_fault(tmp_path: Path, lane: str, kind: str) -> None:
    script = Script(tmp_path)
    script.join(5, lease_ms=1)
    script.enqueue("a", lane=lane)
    script.claim(5, 1, "a")
    script.take(5, ("a", "5.1|"))
    script.body("a", 9, "5.1|")
    finish_elsewhere(script)
    figures = judge(tmp_path).figures
    assert (figures["tasks"], figures["bodies"], figures["repeated effects"], figures["zombie bodies"]) == (1, 2, 1, 1)
    assert figures[f"{kind} zombies"] == 1


@pytest.mark.parametrize(
    ("lane", "stepped", "figure"),
    [
        ("nap", 500_000, "async zombies"),
        ("nap", -5_000_000, "zombies in a step"),
        ("threaded", 0, "thread zombies"),
        ("child", 0, "process zombies"),
        ("byhand", 0, "by hand zombies"),
    ],
)
def test_zombies_are_counted_by_kind(tmp_path: Path, lane: str, stepped: int, figure: str) -> None:
    script = Script(tmp_path)
    begin(script, lane)
    take(script)
    end(script, 1, stepped)
    finish(script)
    figures = judge(tmp_path).figures
    assert {name: count for name, count in figures.items() if "zombie" in name and count} == {
        "zombie bodies": 1,
        figure: 1,
    }


def test_every_field_of_an_event_has_a_default_or_is_always_there() -> None:
    assert [field.name for field in msgspec.structs.fields(Event) if field.required] == ["n", "at", "what"]


def test_the_command_judges_a_kept_history_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script(tmp_path)
    plain(script)
    monkeypatch.setattr("sys.argv", ["checker", str(tmp_path)])
    assert checker.main() == 0
    script.say("residue", "conductor", text="run is not empty")
    assert checker.main() == 1
    said = capsys.readouterr().out
    assert "residue: run is not empty" in said
    assert "broken: {'residue': 1}" in said
