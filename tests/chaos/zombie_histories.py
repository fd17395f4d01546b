"""Histories of bodies that came to their end after their task was lost: which could be stopped, and which not."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.writing import SEC, Script

IDS = ("a", "b")
FENCE = "5.1|"


def begin(script: Script, lane: str = "nap", lease_ms: int = 1) -> None:
    """Two tasks on one node, whose bodies (1 and 2) have begun; a child does not know its fence."""
    script.join(5, lease_ms=lease_ms)
    script.enqueue(*IDS, lane=lane)
    script.claim(5, 1, *IDS)
    for token, task_id in enumerate(IDS, 1):
        fence = "" if lane in ("child", "brood") else FENCE
        script.say("start", ids=[task_id], token=token, fence=fence, text="spore")


def still(script: Script, write: Callable[[], object]) -> None:
    """The node stands still while something happens."""
    since = script.at
    write()
    script.say("still", "conductor", text="spore", since=since, until=script.at)


def take(script: Script, force: int = 0) -> None:
    script.take(5, *((task_id, FENCE) for task_id in IDS), force=force)


def end(script: Script, token: int, stepped: int = 0) -> None:
    """A body comes to its end; its last step began `stepped` (µs) after the last line, or it does not say."""
    since = script.at + stepped if stepped else 0
    script.say("end", ids=[IDS[token - 1]], token=token, since=since)


def finish(script: Script) -> None:
    """Both run elsewhere."""
    script.claim(6, 1, *IDS)
    for token, task_id in enumerate(IDS, 3):
        script.body(task_id, token, "6.1|")
        script.found(task_id, token=token, tries="1.1")
    script.settle("6.1|", *IDS)
    script.counts(2)


def two_steps_after_it_stood_still(script: Script) -> None:
    begin(script)
    still(script, lambda: take(script))
    end(script, 1, SEC // 2)
    end(script, 2, SEC // 2)
    finish(script)


def two_bodies_that_begin_after_it_stood_still(script: Script) -> None:
    script.join(5, lease_ms=1)
    script.enqueue(*IDS)
    script.claim(5, 1, *IDS)
    still(script, lambda: take(script))
    for token, task_id in enumerate(IDS, 1):
        script.body(task_id, token, FENCE)
    finish(script)


def a_child_that_ends_while_its_node_stands_still(script: Script) -> None:
    begin(script, "child")

    def meanwhile() -> None:
        take(script)
        end(script, 1)

    still(script, meanwhile)
    finish(script)


def a_child_that_goes_on_after_its_node_stood_still(script: Script) -> None:
    begin(script, "brood")
    still(script, lambda: take(script))
    end(script, 1)
    finish(script)


def a_step_long_after_the_loss_was_heard(script: Script) -> None:
    begin(script)
    take(script)
    script.say("renew", epoch=5, now=script.now, text="lost")
    script.say("blow", "conductor", text="a while")
    end(script, 1, SEC)
    finish(script)


def a_child_that_outlives_the_loss(script: Script) -> None:
    begin(script, "child")
    take(script)
    script.say("renew", epoch=5, now=script.now, text="lost")
    script.at += SEC
    end(script, 1)
    finish(script)


def the_one_step_that_was_under_way(script: Script) -> None:
    begin(script)
    still(script, lambda: take(script))
    end(script, 1, SEC // 2)
    finish(script)


def steps_that_had_begun_before(script: Script) -> None:
    begin(script, "brief")
    still(script, lambda: take(script))
    end(script, 1)
    end(script, 2)
    finish(script)


def threads(script: Script) -> None:
    begin(script, "threaded")
    still(script, lambda: take(script))
    end(script, 1)
    end(script, 2)
    finish(script)


def a_node_that_is_cut_off(script: Script) -> None:
    begin(script)
    take(script)
    end(script, 1, SEC // 2)
    end(script, 2, SEC // 2)
    finish(script)


def children_of_a_node_that_is_cut_off(script: Script) -> None:
    begin(script, "child")
    take(script)
    end(script, 1)
    finish(script)


def taken_by_force_from_a_node_that_was_stopped_for_less_than_its_lease(script: Script) -> None:
    begin(script, lease_ms=600_000)
    still(script, lambda: take(script, force=1))
    end(script, 1, SEC // 2)
    end(script, 2, SEC // 2)
    finish(script)


def a_child_that_ends_before_word_has_got_around(script: Script) -> None:
    begin(script, "brood")
    take(script)
    script.say("renew", epoch=5, now=script.now, text="lost")
    end(script, 1)
    finish(script)


def a_node_that_was_stopped_when_it_had_just_heard(script: Script) -> None:
    begin(script)
    take(script)
    script.say("renew", epoch=5, now=script.now, text="lost")
    still(script, lambda: script.say("blow", "conductor", text="a while"))
    end(script, 1, SEC)
    finish(script)


def lost_after_it_had_gone_on(script: Script) -> None:
    begin(script)
    still(script, lambda: None)
    take(script)
    end(script, 1, SEC // 2)
    end(script, 2, SEC // 2)
    finish(script)


def done_by_its_second_claim_on_one_node(script: Script) -> None:
    begin(script, "child")
    take(script)
    script.join(7, lease_ms=60_000)
    script.claim(7, 1, *IDS)
    for token, task_id in enumerate(IDS, 3):
        script.say("start", ids=[task_id], token=token, text="spore")
        script.say("end", ids=[task_id], token=token)
        script.found(task_id, token=token, tries="1.1")
    script.settle("7.1|", *IDS)
    script.counts(2)


GOOD_ZOMBIES: tuple[Callable[[Script], None], ...] = (
    the_one_step_that_was_under_way,
    steps_that_had_begun_before,
    threads,
    a_node_that_is_cut_off,
    children_of_a_node_that_is_cut_off,
    taken_by_force_from_a_node_that_was_stopped_for_less_than_its_lease,
    a_child_that_ends_before_word_has_got_around,
    a_node_that_was_stopped_when_it_had_just_heard,
    lost_after_it_had_gone_on,
    done_by_its_second_claim_on_one_node,
)

BAD_ZOMBIES: dict[str, tuple[Callable[[Script], None], ...]] = {
    "zombie_ran_on": (
        two_steps_after_it_stood_still,
        two_bodies_that_begin_after_it_stood_still,
        a_child_that_ends_while_its_node_stands_still,
        a_child_that_goes_on_after_its_node_stood_still,
        a_step_long_after_the_loss_was_heard,
        a_child_that_outlives_the_loss,
    ),
}
