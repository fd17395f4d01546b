"""What a launcher decides without doing anything: phases, health, when to look, how long to wait, what was said."""

from __future__ import annotations

import math
import os
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_spore.launcher.backoff import FORGIVEN_S, MOST_S, Backoff
from venom_spore.launcher.gate import Gate, Terms, Verdict
from venom_spore.launcher.life import how_it_ended
from venom_spore.launcher.link import LINE_BYTES_MAX, READ_BYTES_MAX, WORDS_CHARS_MAX, Link, Word, read_word
from venom_spore.launcher.looks import Looks
from venom_spore.launcher.phases import BOOTS_MAX, NEXT, Mode, Phase, after_boots, allowed, mode_of

TERMS = Terms(steady_s=10.0, ready_s=30.0, patience_s=60.0)


# ---------------------------------------------------------------------------------------------------------- phases


def test_every_phase_has_a_way_on_and_every_phase_but_the_first_a_way_in() -> None:
    assert set(NEXT) == set(Phase)
    assert all(NEXT.values())
    assert set().union(*NEXT.values()) == set(Phase)


def test_from_every_phase_there_is_a_way_back_to_rest() -> None:
    for start in Phase:
        seen, left = set(), [start]
        while left:
            phase = left.pop()
            if phase not in seen:
                seen.add(phase)
                left += NEXT[phase]
        assert Phase.IDLE in seen


@pytest.mark.parametrize(("old", "new"), [pair for pair in product(Phase, Phase) if pair[0] is pair[1]])
def test_staying_is_no_move(old: Phase, new: Phase) -> None:
    assert allowed(old, new)


def test_nothing_skips_the_trial() -> None:
    assert [old for old in Phase if allowed(old, Phase.COMMITTED)] == [Phase.PROBATION, Phase.COMMITTED]
    assert not allowed(Phase.SWITCHING, Phase.COMMITTED)
    assert not allowed(Phase.IDLE, Phase.SWITCHING)


def test_a_release_without_a_verdict_is_started_three_times() -> None:
    assert [after_boots(Phase.PROBATION, boots) for boots in range(1, 5)] == [Phase.PROBATION] * BOOTS_MAX + [
        Phase.ROLLING_BACK
    ]
    assert after_boots(Phase.ROLLING_BACK, BOOTS_MAX + 1) is Phase.FAILED
    assert after_boots(Phase.IDLE, 99) is Phase.IDLE


def test_only_a_trial_and_safe_mode_are_special() -> None:
    special = {phase: mode_of(phase) for phase in Phase if mode_of(phase) is not Mode.PLAIN}
    assert special == {Phase.PROBATION: Mode.ON_TRIAL, Phase.ROLLING_BACK: Mode.ON_TRIAL, Phase.FAILED: Mode.SAFE}


# ---------------------------------------------------------------------------------------------------------- health


def well(gate: Gate, until_s: float, every_s: float = 1.0, since_s: float = 2.0) -> None:
    """Ready, tested, and steady from `since_s` on."""
    gate.ready(since_s, gap_s=3.0)
    gate.tested("self-test", ok=True)
    gate.tested("check", ok=True)
    now_s = since_s
    while now_s <= until_s:
        gate.beat(now_s)
        now_s += every_s


def test_healthy_is_who_was_ready_tested_checked_and_steady() -> None:
    gate = Gate(TERMS, 0.0)
    well(gate, 11.0)
    assert gate.verdict(11.0) == (Verdict.OPEN, "")
    gate.beat(12.0)
    assert gate.verdict(12.0) == (Verdict.HEALTHY, "")


@pytest.mark.parametrize("missing", ["self-test", "check", "beats"])
def test_no_part_of_health_can_be_left_out(missing: str) -> None:
    gate = Gate(TERMS, 0.0)
    gate.ready(1.0, 3.0)
    for what in ("self-test", "check"):
        if what != missing:
            gate.tested(what, ok=True)
    if missing != "beats":
        for second in range(1, 200):
            gate.beat(float(second))
    assert gate.verdict(TERMS.deadline_s)[0] is Verdict.OPEN
    verdict, why = gate.verdict(TERMS.deadline_s + 1)
    assert verdict is Verdict.SICK
    assert missing in why


def test_a_gap_begins_the_count_anew() -> None:
    gate = Gate(TERMS, 0.0)
    well(gate, 9.0)
    well(gate, 19.0, since_s=15.0)
    assert gate.verdict(19.0)[0] is Verdict.OPEN
    well(gate, 25.0, since_s=20.0)
    assert gate.verdict(25.0)[0] is Verdict.HEALTHY


def test_who_was_steady_and_fell_silent_is_not_healthy() -> None:
    gate = Gate(TERMS, 0.0)
    gate.ready(0.0, 3.0)
    for second in range(12):
        gate.beat(float(second))
    gate.tested("self-test", ok=True)
    gate.tested("check", ok=True)
    assert gate.verdict(11.5)[0] is Verdict.HEALTHY
    assert gate.verdict(15.0)[0] is Verdict.OPEN


def test_late_is_sick_even_if_it_comes_in_the_end() -> None:
    gate = Gate(TERMS, 0.0)
    assert gate.verdict(30.0)[0] is Verdict.OPEN
    assert gate.verdict(30.1) == (Verdict.SICK, "not ready within 30 s")
    gate.ready(31.0)
    assert gate.verdict(31.0) == (Verdict.SICK, "not ready within 30 s")


@pytest.mark.parametrize(("why", "said"), [("it lied", "check failed: it lied"), ("", "check failed: no reason given")])
def test_one_failure_is_enough_and_the_first_is_told(why: str, said: str) -> None:
    gate = Gate(TERMS, 0.0)
    gate.tested("check", ok=False, why=why)
    gate.died("it died")
    well(gate, 20.0)
    assert gate.verdict(20.0) == (Verdict.SICK, said)


def test_death_is_a_failure() -> None:
    gate = Gate(TERMS, 0.0)
    gate.died("killed")
    assert gate.verdict(0.0) == (Verdict.SICK, "killed")


def test_a_trial_is_looked_at_when_its_patience_ends() -> None:
    gate = Gate(TERMS, 5.0)
    assert 35.0 < gate.next_s() < 36.0
    gate.ready(6.0)
    assert TERMS.deadline_s == 110.0
    assert 115.0 < gate.next_s() < 116.0


def test_patience_may_begin_anew_with_what_was_passed_but_not_after_a_failure() -> None:
    gate = Gate(TERMS, 0.0)
    well(gate, 5.0)
    late_s = TERMS.deadline_s + 1
    assert gate.verdict(late_s)[0] is Verdict.SICK
    assert gate.again(late_s)
    assert gate.verdict(late_s)[0] is Verdict.OPEN
    for second in range(12):
        gate.beat(late_s + second)
    assert gate.verdict(late_s + 11)[0] is Verdict.HEALTHY
    gate.tested("check", ok=False)
    assert not gate.again(late_s)


# ----------------------------------------------------------------------------------------------- looking and waiting


def test_hints_only_bring_a_look_forward_and_not_often() -> None:
    looks = Looks(3600.0, 30.0, lambda _low, _high: 1.0)
    assert looks.next_s == -math.inf  # at start
    looks.begun(0.0)
    assert looks.next_s == 3600.0
    looks.hint(100.0)
    looks.hint(100.1)
    assert looks.next_s == 100.0
    looks.begun(100.0)
    for moment in range(101, 130):
        looks.hint(float(moment))
    assert looks.next_s == 130.0
    looks.begun(130.0)
    looks.hint(3729.0)
    assert looks.next_s == 3729.0


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=200).map(sorted))
def test_however_many_hints_come_there_is_one_look_in_thirty_seconds(moments: list[float]) -> None:
    looks, begun = Looks(1e6, 30.0, lambda _low, _high: 1.0), []
    looks.begun(0.0)
    for moment in moments:
        looks.hint(moment)
        if moment >= looks.next_s:
            looks.begun(moment)
            begun.append(moment)
    assert len(begun) <= 100 / 30 + 2


def test_polls_are_spread() -> None:
    looks = Looks(100.0)
    found = set()
    for _ in range(50):
        looks.begun(0.0)
        assert 80.0 <= looks.next_s <= 120.0
        found.add(looks.next_s)
    assert len(found) > 10


def test_each_death_doubles_the_pause_and_a_long_life_forgives() -> None:
    backoff = Backoff()
    assert [backoff.after(1.0) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, MOST_S, MOST_S]
    assert backoff.after(FORGIVEN_S) == 0.5


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "ended with exit code 0"), (3, "ended with exit code 3"), (-9, "killed by SIGKILL"), (-250, "by signal 250")],
)
def test_an_end_is_told_in_words(code: int, words: str) -> None:
    assert words in how_it_ended(code)


# -------------------------------------------------------------------------------------------------- what was said


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b'{"say":"ready","gap_s":6,"drain_s":30.5}', Word("ready", gap_s=6.0, drain_s=30.5)),
        (b'{"say":"check","ok":true}', Word("check", ok=True)),
        (b'{"say":"check","ok":1,"why":"a\\nb\\u001b"}', Word("check", why="a?b?")),
        (b'{"say":"look","at_ms":1795286526000}', Word("look", at_ms=1_795_286_526_000)),
        (b'{"say":"ready","gap_s":-1,"drain_s":NaN}', Word("ready")),
        (b'{"say":"ready","gap_s":true,"drain_s":1e300}', Word("ready")),
        (b'{"say":"ready","gap_s":"6"}', Word("ready")),
    ],
)
def test_a_word_is_read_and_what_makes_no_sense_in_it_is_not_there(line: bytes, word: Word) -> None:
    assert read_word(line) == word


@pytest.mark.parametrize(
    "line", [b"", b"[]", b"1", b"nonsense", b'{"say":"run"}', b'{"say":["ready"]}', b"\xff", b"[" * 4000, b"1" * 4090]
)
def test_what_is_no_word_is_not_heard(line: bytes) -> None:
    assert read_word(line) is None


@given(st.binary(max_size=300))
def test_no_line_is_too_strange(line: bytes) -> None:
    word = read_word(line)
    assert word is None or len(word.why) <= WORDS_CHARS_MAX


def test_a_link_hears_lines_whole_and_however_they_come_in_pieces() -> None:
    ear, mouth = os.pipe()
    link = Link(ear)
    assert link.read() == []
    os.write(mouth, b'{"say":"beat"}\n{"say":"be')
    assert link.read() == [Word("beat")]
    os.write(mouth, b'at"}\n\n')
    assert link.read() == [Word("beat")]
    assert not link.ended()
    os.close(mouth)
    assert link.read() == []
    assert link.ended()
    assert link.read() == []
    link.close()
    link.close()


def test_a_line_without_end_is_skipped_and_the_next_one_heard() -> None:
    ear, mouth = os.pipe()
    link = Link(ear)
    for _ in range(3):
        os.write(mouth, b"x" * (LINE_BYTES_MAX + 1))
        assert link.read() == []
    os.write(mouth, b'\n{"say":"beat"}\n')
    assert link.read() == [Word("beat")]
    os.write(mouth, b'"' + b"y" * LINE_BYTES_MAX + b'"\n{"say":"beat"}\n')
    assert link.read() == [Word("beat")]
    assert READ_BYTES_MAX >= LINE_BYTES_MAX
    os.close(mouth)
    link.close()
