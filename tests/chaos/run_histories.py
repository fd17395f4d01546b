"""Histories of map-reduce runs: what may be, and what breaks each rule about them."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.writing import Script

RUN, FOLD = "r-1", "r-1.fold-0.0-ab"
Tokens = tuple[int, ...]


def items(script: Script, count: int = 3, marks: str = "ccc", fold: str = "") -> None:
    """The items of a run, each done by a body whose token is its index plus 1; what callers of it hear comes after."""
    script.say("run", "caller-1", text=RUN, number=count, lane=fold)
    ids = [f"{RUN}.{index}" for index in range(count)]
    script.enqueue(*ids, lane="mapped")
    script.claim(5, 1, *ids)
    for index, (task_id, mark) in enumerate(zip(ids, marks, strict=True)):
        script.body(task_id, index + 1, "5.1|")
        script.settle("5.1|", task_id, mark=mark)
        script.found(task_id, mark, token=index + 1 if mark == "c" else 0)


def hear(
    script: Script,
    order: Tokens = (0, 1, 2),
    marks: str = "ccc",
    tokens: Tokens = (1, 2, 3),
    fold: str = "",
    folded: Tokens = (),
) -> None:
    script.say(
        "ran",
        "caller-1",
        text=RUN,
        since=script.at,
        ids=[f"{RUN}.{index}" for index in order],
        marks=marks,
        tokens=tokens,
        sums=folded,
        fence=fold,
    )


def close(script: Script, joined: int = 3, ended: int = 3) -> None:
    script.say("joined", "conductor", text=RUN, count=joined)
    script.counts(ended)


def folded(script: Script, values: Tokens, fold: str = "completed") -> None:
    """A run with a fold that was made, whose caller heard these values behind the token of the fold."""
    items(script, fold="gathered")
    script.enqueue(FOLD, lane="gathered")
    script.claim(5, 2, FOLD)
    script.body(FOLD, 9, "5.2|")
    script.settle("5.2|", FOLD, number=2)
    script.found(FOLD, token=9)
    hear(script, fold=fold, folded=values)
    close(script, ended=4)


def a_run(script: Script) -> None:
    items(script)
    hear(script)
    close(script)


def a_run_with_a_fold(script: Script) -> None:
    folded(script, (9, 1, 2, 3))


def a_run_heard_by_the_second_caller_after_the_first_had_died(script: Script) -> None:
    items(script)
    script.say("run", "caller-2", text=RUN, number=3)
    script.enqueue(*(f"{RUN}.{index}" for index in range(3)), lane="mapped", who="caller-2")
    hear(script)
    hear(script)
    close(script)


def a_run_of_which_an_item_was_quarantined(script: Script) -> None:
    script.say("run", "caller-1", text=RUN, number=1, lane="gathered")
    task_id = f"{RUN}.0"
    script.enqueue(task_id, lane="mapped")
    for epoch in (5, 6, 7):
        script.join(epoch, name=f"spore-{epoch}", lease_ms=1)
        script.claim(epoch, 1, task_id, marks="c" if epoch == 5 else "C")
        script.take(epoch, (task_id, f"{epoch}.1|"))
    script.found(task_id, "q", 8, 0, "1.3")
    hear(script, (0,), "q", (0,), "failed")
    script.say("joined", "conductor", text=RUN, count=1)
    script.counts(0, 0, 0, 1)


def an_answer_that_the_server_may_have_undone(script: Script) -> None:
    begin = script.at
    items(script)
    hear(script, tokens=(7, 8, 9))
    script.say("rollback", "conductor", since=begin, until=script.at)
    hear(script)
    close(script)


def foreign(script: Script) -> None:
    script.say("joined", "conductor", text="nobodys", count=0)
    script.counts(0)


def unheard(script: Script) -> None:
    items(script)
    close(script)


def a_missing_line(script: Script) -> None:
    items(script)
    hear(script, (0, 2), "cc", (1, 3))
    close(script)


def a_line_twice(script: Script) -> None:
    items(script)
    hear(script, (0, 1, 1, 2), "cccc", (1, 2, 2, 3))
    close(script)


def lines_in_another_order(script: Script) -> None:
    items(script)
    hear(script, (0, 2, 1), tokens=(1, 3, 2))
    close(script)


def results_of_each_other(script: Script) -> None:
    items(script)
    hear(script, tokens=(1, 3, 2))
    close(script)


def an_item_that_is_said_to_have_failed(script: Script) -> None:
    items(script)
    hear(script, marks="cfc", tokens=(1, 0, 3))
    close(script)


def an_item_that_has_not_ended(script: Script) -> None:
    items(script)
    hear(script, marks="ccp", tokens=(1, 2, 0))
    close(script)


def a_fold_in_another_order(script: Script) -> None:
    folded(script, (9, 2, 1, 3))


def a_fold_without_one_item(script: Script) -> None:
    folded(script, (9, 1, 2))


def a_fold_that_nobody_made(script: Script) -> None:
    folded(script, (8, 1, 2, 3))


def a_fold_that_was_given_up(script: Script) -> None:
    folded(script, (), "failed")


def a_fold_of_a_part(script: Script) -> None:
    script.say("cancel", ids=[f"{RUN}.0"], sums=[4])
    items(script, 1, "x", "gathered")
    hear(script, (0,), "x", (0,), "completed", (9,))
    script.say("joined", "conductor", text=RUN, count=1)
    script.counts(0, 0, 1)


def a_counter_that_missed_an_end(script: Script) -> None:
    items(script)
    hear(script)
    close(script, joined=2)


def a_run_without_a_counter(script: Script) -> None:
    items(script)
    hear(script)
    script.counts(3)


GOOD_RUNS: tuple[Callable[[Script], None], ...] = (
    a_run,
    a_run_with_a_fold,
    a_run_heard_by_the_second_caller_after_the_first_had_died,
    a_run_of_which_an_item_was_quarantined,
    an_answer_that_the_server_may_have_undone,
)

BAD_RUNS: dict[str, tuple[Callable[[Script], None], ...]] = {
    "run_foreign": (foreign,),
    "run_unheard": (unheard,),
    "run_lines": (a_missing_line, a_line_twice, lines_in_another_order),
    "run_told": (results_of_each_other, an_item_that_is_said_to_have_failed, an_item_that_has_not_ended),
    "run_fold": (
        a_fold_in_another_order,
        a_fold_without_one_item,
        a_fold_that_nobody_made,
        a_fold_that_was_given_up,
        a_fold_of_a_part,
    ),
    "run_count": (a_counter_that_missed_an_end, a_run_without_a_counter),
}
