"""The verdict on a storm, from its history alone: `python -m chaos.checker FOLDER` judges a kept one again."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos import hive_rules, rules, run_rules, zombies
from chaos.history import gather
from chaos.lives import TAKEN, History

KEPT_PER_RULE = 5


@dataclass(slots=True)
class Verdict:
    """How often each rule was broken, the first sentences of each, and figures that are no faults."""

    broken: Counter[str] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)
    figures: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nothing was broken."""
        return not self.broken

    def accuse(self, rule: str, sentence: str) -> None:
        """A rule was broken."""
        self.broken[rule] += 1
        if self.broken[rule] <= KEPT_PER_RULE:
            self.sentences.append(f"{rule}: {sentence}")


def judge(folder: Path) -> Verdict:
    """Judge the history in a folder."""
    history = gather(folder)
    verdict = Verdict(figures=_figures(history))
    for rule, sentence in _all(history):
        verdict.accuse(rule, sentence)
    return verdict


def _all(history: History) -> Iterator[tuple[str, str]]:
    for line in history.unreadable:
        yield "unreadable", line
    for line in history.residue:
        yield "residue", line
    yield from hive_rules.of_counters(history)
    yield from hive_rules.of_nodes(history)
    yield from hive_rules.of_leaders(history)
    yield from hive_rules.of_memory(history)
    yield from hive_rules.of_stamps(history)
    yield from run_rules.of_runs(history)
    yield from zombies.of_zombies(history)
    for rule, task_id, sentence in rules.of_claims(history):
        yield rule, f"{task_id} {sentence}"
    for task_id, life in history.lives.items():
        for rule, sentence in rules.of_life(life):
            yield rule, f"{task_id} {sentence}"


def _figures(history: History) -> dict[str, int]:
    lives = history.lives.values()
    marks = Counter(life.mark for life in lives)
    return {
        "tasks": sum(life.level >= 0 for life in lives),
        "completed": marks["c"],
        "failed": marks["f"],
        "cancelled": marks["x"],
        "quarantined": marks["q"],
        "bodies": sum(len(life.bodies) for life in lives),
        "repeated effects": sum(max(sum(body.ended > 0 for body in life.bodies) - 1, 0) for life in lives),
        "taken back": sum(
            any(free.mark == TAKEN for free in hold.frees) for life in lives for hold in life.holds.values()
        ),
        **zombies.figures(history),
        "runs": len(history.runs),
        "runs taken up again": sum(run.resumed for run in history.runs.values()),
        "undone": sum(life.level >= 0 and not life.mark and not life.acked for life in lives),
        "blows": len(history.blows),
        **hive_rules.growth(history),
    }


def main() -> int:
    """The command."""
    begin = time.monotonic()
    verdict = judge(Path(sys.argv[1]))
    for sentence in verdict.sentences:
        print(sentence)
    print(", ".join(f"{count:,} {name}" for name, count in verdict.figures.items()))
    print("clean" if verdict.clean else f"broken: {dict(verdict.broken)}", f"({time.monotonic() - begin:.1f} s)")
    return 0 if verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main())
