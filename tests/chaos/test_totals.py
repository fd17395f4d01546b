from __future__ import annotations

from collections import Counter
from pathlib import Path

from chaos import totals
from chaos.checker import Verdict


def test_figures_of_all_storms_are_summed_and_of_growth_the_most_is_named(tmp_path: Path) -> None:
    verdicts = [
        Verdict(figures={"tasks": 1_000, "blows": 0, "KiB more in the idle server": -30}),
        Verdict(Counter({"lost": 2}), figures={"tasks": 234, "blows": 7, "KiB more in the idle server": 12}),
    ]
    for number, verdict in enumerate(verdicts):
        (tmp_path / f"storm-{number}").mkdir()
        totals.leave(tmp_path / f"storm-{number}", verdict)
    (tmp_path / "storm-that-was-not-judged").mkdir()
    said = totals.line(tmp_path)
    assert said == "2 storms, 1 clean: 1,234 tasks, 7 blows, at most 12 KiB more in the idle server"
