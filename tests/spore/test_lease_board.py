"""When a lease is in doubt: after a Spore stood still, and never because Redis is away."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_spore.lease_board import MARGIN, PULSE, STILL, LeaseBoard

LEASE_S = 60.0
TERM_S = (1 - MARGIN) * LEASE_S


@pytest.fixture
def board() -> Iterator[LeaseBoard]:
    """Just taken, at moment 1000."""
    made = LeaseBoard(LEASE_S)
    made.renew(1000.0)
    made.pulse(1000.0)
    yield made
    made.close()


def runs(board: LeaseBoard, since_s: float, until_s: float) -> None:
    """The pulses of a Spore that runs."""
    at_s = since_s
    while at_s <= until_s:
        board.pulse(at_s)
        at_s += PULSE * LEASE_S


def test_before_the_lease_is_taken_nothing_is_in_doubt() -> None:
    made = LeaseBoard(LEASE_S)
    assert not made.in_doubt(1e9)
    made.close()


def test_a_lease_that_surely_holds_is_not_in_doubt_however_long_the_spore_stood(board: LeaseBoard) -> None:
    assert not board.in_doubt(1000 + TERM_S)
    board.pulse(1000 + TERM_S)
    assert not board.in_doubt(1000 + TERM_S + STILL * LEASE_S)


def test_a_spore_that_stood_still_past_the_term_is_in_doubt_also_after_its_next_pulse(board: LeaseBoard) -> None:
    late_s = 1000 + TERM_S + 1
    assert board.in_doubt(late_s)
    board.pulse(late_s)
    runs(board, late_s, late_s + 10 * LEASE_S)
    assert board.in_doubt(late_s + 10 * LEASE_S)


def test_a_redis_that_is_away_is_no_reason_for_doubt(board: LeaseBoard) -> None:
    runs(board, 1000, 1000 + 50 * LEASE_S)
    assert not board.in_doubt(1000 + 50 * LEASE_S)
    assert board.in_doubt(1000 + 50 * LEASE_S + STILL * LEASE_S + PULSE * LEASE_S)


def test_an_answer_to_what_was_asked_after_waking_ends_the_doubt(board: LeaseBoard) -> None:
    board.pulse(2000)
    board.renew(2001)
    assert not board.in_doubt(2002)
    runs(board, 2000, 2000 + 5 * LEASE_S)
    assert not board.in_doubt(2000 + 5 * LEASE_S)


def test_an_answer_to_what_was_asked_before_it_stood_still_does_not(board: LeaseBoard) -> None:
    board.renew(1001)
    assert board.in_doubt(2000)
    board.pulse(2000)
    board.renew(1002)
    assert board.in_doubt(2001)


def test_a_lease_that_redis_says_is_lost_is_in_doubt_until_the_next_is_taken(board: LeaseBoard) -> None:
    board.doubt(1001)
    assert board.in_doubt(1001)
    runs(board, 1001, 1100)
    assert board.in_doubt(1100)
    board.renew(1101)
    assert not board.in_doubt(1101)


def test_it_is_looked_at_when_the_term_ends_and_at_each_pulse(board: LeaseBoard) -> None:
    assert board.look_in_s(1000) == PULSE * LEASE_S
    assert board.look_in_s(1000 + TERM_S - 1) == pytest.approx(1)
    assert 0 < board.look_in_s(5000) < PULSE * LEASE_S


@given(st.lists(st.floats(0.01, PULSE * LEASE_S), max_size=200))
def test_who_never_stands_still_is_never_in_doubt(pauses: list[float]) -> None:
    board, at_s = LeaseBoard(LEASE_S), 1000.0
    board.renew(at_s)
    board.pulse(at_s)
    for pause_s in pauses:
        at_s += pause_s
        assert not board.in_doubt(at_s)
        board.pulse(at_s)
    board.close()


def test_another_process_sees_it_and_cannot_change_it(board: LeaseBoard) -> None:
    descriptor = os.dup(board.descriptor)
    pid = os.fork()
    if pid == 0:
        seen = LeaseBoard(LEASE_S, descriptor)
        before = seen.in_doubt(1001.0)
        os.kill(os.getpid(), signal.SIGSTOP)
        try:
            seen.renew(5000.0)
        except TypeError:
            os._exit(10 * before + seen.in_doubt(1001.0))
        os._exit(99)
    os.close(descriptor)
    os.waitpid(pid, os.WUNTRACED)
    board.doubt(1001.0)
    os.kill(pid, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_without_memory_files_it_is_a_file_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    board = LeaseBoard(LEASE_S)
    board.renew(1000.0)
    seen = LeaseBoard(LEASE_S, os.dup(board.descriptor))
    assert seen.until_s == 1000 + TERM_S
    seen.close()
    board.close()
