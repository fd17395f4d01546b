"""What must hold of every task and of every claim, rule by rule; each gives the sentences about what breaks it.

A rule never accuses on a maybe: where the history does not know whether a call was carried out, both are allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from chaos.lives import CRASHED, ENDS, RETRIED, TAKEN, Again, Free, History, Hold, Life, all_frees

Fault = tuple[str, str]
SHARE = 32
MARKS = {"completed": "c", "failed": "f", "cancelled": "x", "quarantined": "q"}
# How a task of a lane may end; any task may be quarantined after three crashes, or cancelled if somebody asked.
ALLOWED = {
    "hopeless": "f",
    "hungry": "cf",
    "strangled": "q",
    "host_killer": "q",
    "deaf": "cf",
    "stubborn": "cf",
    "fickle": "cf",
    "byhand": "cf",
}
ALLOWED_ELSE = "c"
CRASHES_MAX = 3


def of_life(life: Life) -> Iterator[Fault]:
    """All rules about one task."""
    if life.level < 0 and life.mark:
        yield "foreign", "is in Redis, but nobody enqueued it"
        return
    yield from _ends_once(life)
    if life.holds:
        yield from _held_by_one(life)
    if life.mark in ENDS and life.mark:
        yield from _ended_rightly(life)
    yield from _bodies(life)


def _ends_once(life: Life) -> Iterator[Fault]:
    if life.acked and not life.mark:
        yield "lost", "was acknowledged and is not in Redis any more"
    elif life.mark == "-":
        yield "unended", "is in Redis and has not ended"
    # In the order in which they were sent: an answer may be late, but nobody reports an end before the one it follows.
    sure_ends = sorted((free for free in all_frees(life) if free.sure and free.mark in ENDS), key=_since)
    if not _each_put_back(sure_ends, life):
        yield "double_result", f"{len(sure_ends)} ends were recorded: {', '.join(free.mark for free in sure_ends)}"
    if life.told is not None and life.mark in ENDS:
        status, token = life.told
        if not may_hear(life, MARKS.get(status, ""), token):
            yield "told_otherwise", f"a caller heard {status} {token}, Redis says {life.mark} {life.token}"


def may_hear(life: Life, mark: str, token: int) -> bool:
    """Whether a caller may have heard of such an end: of the recorded one, or of one that was put back in line."""
    if mark == life.mark and (mark != "c" or token == life.token):
        return True
    return bool(life.agains) and mark in "fxq" and any(_may_be(free, mark) for free in all_frees(life))


def _may_be(free: Free, mark: str) -> bool:
    return free.mark == mark or (free.mark in (TAKEN, CRASHED) and mark in "xq")


def _since(event: Free | Again) -> int:
    return event.since


def _each_put_back(ends: list[Free], life: Life) -> bool:
    """Whether between each end and the next somebody may have put the task back in line; a completed one never is."""
    agains = sorted(life.agains, key=_since)
    for end, following in pairwise(ends):
        fits = next((again for again in agains if _between(end, again, following.until)), None)
        if fits is None:
            return False
        agains.remove(fits)
    return True


def _between(end: Free, again: Again, until: int) -> bool:
    return end.mark != "c" and end.since <= again.until and again.since <= until


def _held_by_one(life: Life) -> Iterator[Fault]:
    for hold in life.holds.values():
        sure = [free for free in hold.frees if free.sure]
        if len(sure) > 1:
            ended = any(free.mark in ENDS for free in sure)
            yield (
                "stale_result" if ended else "fence_twice",
                f"fence {hold.fence} was ended more than once: {' '.join(free.mark for free in sure)}",
            )
        if life.due_ms and hold.now and hold.now < life.due_ms - 1:
            yield "early", f"was claimed {life.due_ms - hold.now} ms before it was due"
    known = sorted((hold for hold in life.holds.values() if hold.sure), key=lambda hold: hold.now)
    for hold, following in pairwise(known):
        if hold.now < following.now:
            yield from _gave_way(life, hold, following)


def _gave_way(life: Life, hold: Hold, following: Hold) -> Iterator[Fault]:
    """One hold must have ended before the next began, and not for good, if nobody put the task back in line."""
    if not any(free.since <= following.until for free in hold.frees):
        yield "two_holders", f"{following.fence} got it while {hold.fence} held it"
    for free in hold.frees:
        over = free.sure and free.mark in ENDS and free.until < following.now * 1000
        if over and not any(_between(free, again, following.until) for again in life.agains):
            yield "ran_after_end", f"{following.fence} got it after it had ended under {hold.fence}"


def _ended_rightly(life: Life) -> Iterator[Fault]:
    last = max((again.since for again in life.agains if again.sure), default=0)
    possible = [free for free in all_frees(life) if _may_end(free) and free.until >= last]
    if not any(life.sum in free.sums for free in possible):
        yield "wrong_result", "the recorded end is none that anybody reported and had accepted"
    crashes, maybe_crashes = _count(life, TAKEN + CRASHED)
    failures, maybe_failures = _count(life, RETRIED)
    allowed = ALLOWED.get(life.lane, ALLOWED_ELSE)
    if crashes + maybe_crashes >= CRASHES_MAX:
        allowed += "q"
    if life.wished:
        allowed += "x"
    if life.mark not in allowed:
        yield "wrong_status", f"ended as {life.mark}, a task of {life.lane} may end as {allowed}"
    if life.mark in "cfq":
        attempt, _, crashed = life.tries.partition(".")
        if not failures + 1 <= int(attempt) <= failures + maybe_failures + 1:
            yield "tries", f"counts attempt {attempt}, the history {failures + 1} to {failures + maybe_failures + 1}"
        if not crashes <= int(crashed) <= crashes + maybe_crashes:
            yield "tries", f"counts {crashed} crashes, the history {crashes} to {crashes + maybe_crashes}"


def _may_end(free: Free) -> bool:
    return free.mark in ENDS or free.mark in (TAKEN, CRASHED)


def _count(life: Life, marks: str) -> tuple[int, int]:
    """How many holds surely ended so, and how many more may have, since the task was put in line for the last time."""
    sure = maybe = 0
    first = max((again.since for again in life.agains if again.sure), default=0)
    surely = max((again.until for again in life.agains), default=0)
    for hold in life.holds.values():
        of_kind = [free for free in hold.frees if free.mark in marks and free.until >= first]
        if any(free.sure and free.since >= surely for free in of_kind):
            sure += 1
        elif of_kind:
            maybe += 1
    return sure, maybe


def _bodies(life: Life) -> Iterator[Fault]:
    for body in life.bodies:
        if body.fence and not (body.fence in life.holds and life.holds[body.fence].until):
            yield "unclaimed_body", f"a body ran under {body.fence}, which nobody was given"
    if life.mark == "c" and all(body.token != life.token for body in life.bodies):
        yield "foreign_result", f"its result {life.token} was made by no body of it"
    if life.mark == "c" and life.token in life.disowned:
        yield "disowned", f"its result {life.token} is recorded, but who made it was told that it is not"


def of_claims(history: History) -> Iterator[tuple[str, str, str]]:
    """Order within a claim, as (rule, task id, sentence): most urgent first, and first in first out in a level."""
    lives = history.lives
    for claim in history.claims:
        if not claim.ordered:
            continue
        # One task in so many is taken from a lower level first, so that none starves.
        first = (claim.count + SHARE - 1) // SHARE
        level = "z"
        before = _Before()
        for task_id, mark in zip(claim.ids[first:], claim.marks[first:], strict=True):
            if mark.lower() > level:
                yield "order", task_id, f"level {ord(mark.lower()) - 97} came after {ord(level) - 97} in one claim"
            level = mark.lower()
            life = lives[task_id]
            if mark.isupper() or life.due_ms or life.agains:
                continue
            if before.overtook(life, mark):
                yield "order", task_id, "was overtaken by a later one of its level in one claim"


class _Before:
    """What came before a task in one claim; calls of one caller that were under way at once have no order."""

    def __init__(self) -> None:
        self._sent: dict[tuple[int, str], int] = {}
        self._order: dict[tuple[int, str, int], int] = {}

    def overtook(self, life: Life, mark: str) -> bool:
        """Whether something before this one came into line after it; from now on this one is before, too."""
        caller, call = (life.caller, mark), (life.caller, mark, life.call)
        sent, order = self._sent.get(caller, 0), self._order.get(call, 0)
        self._sent[caller], self._order[call] = max(sent, life.sent), max(order, life.order)
        return life.stored < sent or life.order < order
