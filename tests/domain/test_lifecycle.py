from __future__ import annotations

from itertools import product

import pytest

from venom_core.domain.lifecycle import (
    DEAD_LETTERS,
    MEANING,
    TERMINAL,
    TRANSITIONS,
    TaskEvent,
    TaskStatus,
    after,
    diagram,
)
from venom_core.errors import IllegalTransition, InputError

PAIRS = list(product(TaskStatus, TaskEvent))


@pytest.mark.parametrize(("status", "event"), PAIRS, ids=str)
def test_every_pair_is_a_row_of_the_table_or_refused(status: TaskStatus, event: TaskEvent) -> None:
    if (status, event) in TRANSITIONS:
        assert after(status, event) is TRANSITIONS[status, event]
    else:
        with pytest.raises(IllegalTransition) as caught:
            after(status, event)
        legal = sorted(other for known, other in TRANSITIONS if known is status)
        assert str(caught.value).endswith(": " + (", ".join(legal) or "nothing"))


def test_a_refusal_says_what_would_be_legal() -> None:
    with pytest.raises(
        IllegalTransition, match=r"^a pending task cannot complete; from pending it may: cancel, claim$"
    ):
        after(TaskStatus.PENDING, TaskEvent.COMPLETE)
    with pytest.raises(InputError, match="from completed it may: nothing"):
        after(TaskStatus.COMPLETED, TaskEvent.REQUEUE)


def test_nothing_follows_completion_and_only_requeue_follows_another_end() -> None:
    leaving = {status: {event for source, event in TRANSITIONS if source is status} for status in TERMINAL}
    assert leaving.pop(TaskStatus.COMPLETED) == set()
    assert all(events == {TaskEvent.REQUEUE} for events in leaving.values())


def test_every_state_can_be_reached_and_every_open_state_can_be_cancelled() -> None:
    assert {TaskStatus.PENDING, *TRANSITIONS.values()} == set(TaskStatus)
    for status in set(TaskStatus) - TERMINAL:
        assert after(status, TaskEvent.CANCEL) is TaskStatus.CANCELLED


def test_dead_letters_are_ends_that_somebody_should_look_at() -> None:
    assert sorted(DEAD_LETTERS) == [TaskStatus.FAILED, TaskStatus.QUARANTINED]
    assert DEAD_LETTERS < TERMINAL


def test_every_event_has_a_meaning() -> None:
    assert set(MEANING) == set(TaskEvent)
    assert all(words for words in MEANING.values())


def test_states_and_events_are_the_plain_words_of_the_documents() -> None:
    words = ["pending", "running", "completed", "failed", "cancelled", "quarantined"]
    assert list(TaskStatus) == words
    assert f"{TaskStatus.PENDING} {TaskEvent.CLAIM}" == "pending claim"


def test_the_diagram_shows_every_row_and_nothing_else() -> None:
    lines = diagram().split("\n")
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> pending: enqueue"]
    rows = [f"    {source} --> {target}: {event}" for (source, event), target in TRANSITIONS.items()]
    ends = [f"    {status} --> [*]: forgotten after its time to live" for status in sorted(TERMINAL)]
    assert lines[2:] == rows + ends
