"""Histories of tasks that were put back in line after they had ended, and of hand-written loops."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.writing import SEC, Script, finish_elsewhere

LANE = "fickle"


def failed(script: Script, task_id: str = "a", total: int = 3) -> None:
    """A first life that ended badly."""
    script.enqueue(task_id, lane=LANE)
    script.claim(5, 1, task_id)
    script.settle("5.1|", task_id, mark="f", total=total)


def requeue(script: Script, task_id: str = "a", answer: str = "pending") -> None:
    call = script.say("requeue", "caller-1", ids=[task_id])
    if answer:
        script.say("ok", "caller-1", op=call, text=answer)


def completed(script: Script, task_id: str = "a", number: int = 2) -> None:
    """A second life that ended well."""
    script.claim(5, number, task_id)
    script.body(task_id, 1, f"5.{number}|")
    script.settle(f"5.{number}|", task_id, number=number)
    script.found(task_id)


def revived(script: Script) -> None:
    failed(script)
    script.say("told", "caller-1", ids=["a"], text="failed", token=0)
    requeue(script)
    completed(script)
    script.counts(1, 1)


def revived_by_a_call_without_an_answer(script: Script) -> None:
    failed(script)
    requeue(script, answer="")
    completed(script)
    script.counts(1, 1)


def failed_twice(script: Script) -> None:
    failed(script)
    requeue(script)
    script.claim(5, 2, "a")
    script.settle("5.2|", "a", mark="f", number=2)
    script.found("a", "f", token=0)
    script.counts(0, 2)


def asked_twice_and_done_once(script: Script) -> None:
    failed(script)
    requeue(script)
    requeue(script, answer="active")
    completed(script)
    requeue(script, answer="completed")
    script.counts(1, 1)


def the_first_end_was_answered_after_the_second(script: Script) -> None:
    script.enqueue("a", lane=LANE)
    script.claim(5, 1, "a")
    call = script.say("settle", epoch=5, number=1, fence="5.1|", ids=["a"], marks="f", sums=[3])
    requeue(script)
    script.say("claim", "spore-2", epoch=6, number=1, count=9)
    script.say("ok", "spore-2", op=script.n, now=script.now, ids=["a"], marks="c")
    script.body("a", 1, "6.1|")
    script.say("settle", "spore-2", epoch=6, number=1, fence="6.1|", ids=["a"], marks="c", sums=[7])
    script.say("ok", "spore-2", op=script.n, now=script.now)
    script.say("ok", op=call, now=script.now)
    script.found("a")
    script.counts(1, 1)


def a_crash_of_the_first_life_is_not_counted(script: Script) -> None:
    script.join(5, lease_ms=1)
    script.enqueue("a", lane=LANE)
    script.claim(5, 1, "a")
    script.take(5, ("a", "5.1|"))
    script.claim(6, 1, "a")
    script.settle("6.1|", "a", mark="f", total=3)
    requeue(script)
    script.claim(6, 2, "a")
    script.body("a", 1, "6.2|")
    script.settle("6.2|", "a", number=2)
    script.found("a")
    script.counts(1, 1)


def quarantined_and_revived(script: Script) -> None:
    script.enqueue("a", lane=LANE)
    for epoch in (7, 8, 9):
        script.join(epoch, name=f"spore-{epoch}", lease_ms=1)
        script.claim(epoch, 1, "a", marks="c" if epoch == 7 else "C")
        script.take(epoch, ("a", f"{epoch}.1|"))
    requeue(script)
    completed(script)
    script.counts(1, 0, 0, 1)


def overtaken_because_it_was_put_back_in_line(script: Script) -> None:
    failed(script, "x")
    failed(script, "a", total=4)
    script.enqueue("b", lane=LANE)
    requeue(script)
    requeue(script, "x")
    script.claim(5, 2, "b", "a", "x", count=3)
    for token, task_id in enumerate("bax", 1):
        script.body(task_id, token, "5.2|")
        script.found(task_id, token=token)
    script.settle("5.2|", "b", "a", "x", number=2)
    script.counts(3, 2)


def disowned_and_done_elsewhere(script: Script) -> None:
    script.join(5, lease_ms=1)
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.body("a", 9, "5.1|")
    script.take(5, ("a", "5.1|"))
    script.say("disowned", ids=["a"], token=9)
    finish_elsewhere(script)


def renewed_in_one_partition_and_reaped_in_another(script: Script) -> None:
    script.join(5, lease_ms=1)
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.say("renew", epoch=5, partition=1, now=script.now + 600_000, text="ok")
    script.take(5, ("a", "5.1|"))
    script.say("claim", epoch=5, partition=1, number=2, count=9)
    script.say("ok", op=script.n, now=script.now, ids=[], marks="")
    finish_elsewhere(script)


def ended_twice_and_then_put_back(script: Script) -> None:
    failed(script)
    script.at += SEC
    script.claim(5, 2, "a")
    script.body("a", 1, "5.2|")
    script.settle("5.2|", "a", number=2)
    requeue(script)
    script.found("a")
    script.counts(1, 1)


def put_back_once_and_ended_three_times(script: Script) -> None:
    failed(script)
    requeue(script)
    script.claim(5, 2, "a")
    script.settle("5.2|", "a", mark="f", total=4, number=2)
    completed(script, number=3)
    script.counts(1, 2)


def claimed_again_before_it_was_put_back(script: Script) -> None:
    failed(script)
    script.at += SEC
    script.claim(5, 2, "a")
    script.settle("5.2|", "a", mark="b", number=2)
    requeue(script)
    completed(script, number=3)
    script.counts(1, 1)


def a_completed_one_put_back(script: Script) -> None:
    script.enqueue("a", lane=LANE)
    script.claim(5, 1, "a")
    script.body("a", 2, "5.1|")
    script.settle("5.1|", "a", total=3)
    requeue(script)
    completed(script)
    script.counts(2)


def the_end_of_the_first_life_is_recorded(script: Script) -> None:
    failed(script)
    requeue(script)
    script.claim(5, 2, "a")
    script.settle("5.2|", "a", mark="f", total=4, number=2)
    script.found("a", "f", total=3, token=0)
    script.counts(0, 2)


def a_crash_of_the_first_life_is_counted(script: Script) -> None:
    a_crash_of_the_first_life_is_not_counted(script)
    script.found("a", tries="1.1")


def an_end_of_the_first_life_uncounted(script: Script) -> None:
    revived(script)
    script.counts(1, 0)


def an_end_too_many_counted(script: Script) -> None:
    revived(script)
    script.counts(1, 2)


def heard_of_an_end_that_never_was(script: Script) -> None:
    failed(script)
    requeue(script)
    script.say("told", "caller-1", ids=["a"], text="quarantined", token=0)
    completed(script)
    script.counts(1, 1)


def disowned_and_recorded(script: Script) -> None:
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.body("a", 1, "5.1|")
    script.settle("5.1|", "a")
    script.say("disowned", ids=["a"], token=1)
    script.found("a")
    script.counts()


GOOD_REQUEUES: tuple[Callable[[Script], None], ...] = (
    revived,
    revived_by_a_call_without_an_answer,
    failed_twice,
    asked_twice_and_done_once,
    the_first_end_was_answered_after_the_second,
    a_crash_of_the_first_life_is_not_counted,
    quarantined_and_revived,
    overtaken_because_it_was_put_back_in_line,
    disowned_and_done_elsewhere,
    renewed_in_one_partition_and_reaped_in_another,
)

BAD_REQUEUES: dict[str, tuple[Callable[[Script], None], ...]] = {
    "double_result": (ended_twice_and_then_put_back, put_back_once_and_ended_three_times, a_completed_one_put_back),
    "ran_after_end": (claimed_again_before_it_was_put_back,),
    "wrong_result": (the_end_of_the_first_life_is_recorded,),
    "tries": (a_crash_of_the_first_life_is_counted,),
    "counters": (an_end_of_the_first_life_uncounted, an_end_too_many_counted),
    "told_otherwise": (heard_of_an_end_that_never_was,),
    "disowned": (disowned_and_recorded,),
}
