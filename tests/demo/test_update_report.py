"""What a run says of the updates that came while it worked."""

from __future__ import annotations

from pathlib import Path

from venom_core.demo.ledger import Ledger, Proof
from venom_core.demo.rates import Span
from venom_core.demo.report import report
from venom_core.demo.run import Run, Update
from venom_core.demo.sources import Sources
from venom_core.demo.update_report import rate, slowest_window, update_lines

STEADY = [Span(f"{number}", "a", 1, number / 10, number / 10 + 0.05) for number in range(100)]


def worked(*updates: Update) -> Run:
    ledger = Ledger(spans=[span for span in STEADY if not 5 <= span.ended_s < 7])
    ledger.releases.update({"1.0": 50, "2.0": 30})
    return Run(Sources(Path("/x"), ()), (), ledger, updates=list(updates))


def test_the_rate_counts_what_ended_in_a_stretch() -> None:
    assert rate(STEADY, 1.0, 2.0) == 10.0
    assert rate(STEADY, 2.0, 2.0) == 0.0


def test_the_slowest_second_is_one_that_lies_whole_in_the_stretch() -> None:
    run = worked()
    assert slowest_window(run.ledger.spans, 4.0, 8.0) == 0.0
    assert slowest_window(run.ledger.spans, 1.0, 4.0) == 10.0
    assert slowest_window(run.ledger.spans, 1.0, 1.5) == 0.0


def test_a_release_that_was_kept_and_one_that_was_not_say_what_they_cost() -> None:
    run = worked(Update("2.0", 3, 4.0, 8.0), Update("3.0", 3, 8.0, 9.0, fails=True))
    kept, back, counts = [text for text, _ in update_lines(run)]
    assert kept == (
        "Update to 2.0: all 3 Spores kept it after 4.0 s; "
        "9.9 files/s before, 5.0 meanwhile (-49 %), 0 in the slowest second"
    )
    assert back.startswith(
        "Update to 3.0: it died at its start, and all 3 Spores were back by themselves, after 1.0 s; "
    )
    assert counts == "Files by release: 1.0 50, 2.0 30"


def test_the_report_has_these_lines_in_the_place_of_the_kill() -> None:
    text = "\n".join(line for line, _ in report(worked(Update("2.0", 3, 4.0, 8.0)), Proof((), (), ())))
    assert "Update to 2.0" in text
    assert "Recovered" not in text


def test_what_comes_after_an_update_says_nothing_of_the_speed() -> None:
    assert worked(Update("2.0", 3, 4.0, 8.0)).undisturbed_until_s == 4.0
