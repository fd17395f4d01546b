"""A ladder answers what sorting everything would answer, whatever was put, dropped and renewed before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from venom_core.domain.ladder import RUNG, Ladder, bits_of

SLOTS = st.integers(0, 40)
KEYS = st.integers(-3, 3)


@given(st.sets(st.integers(0, 300)))
def test_bits_are_of_the_slots(slots: set[int]) -> None:
    assert bits_of(slots) == sum(1 << slot for slot in slots)


def test_an_empty_ladder_has_nothing() -> None:
    ladder = Ladder[int]()
    assert len(ladder) == 0
    assert ladder.first(-1) is None
    assert ladder.at_least(0) == 0
    ladder.drop(3)
    ladder.put(3, 1)
    ladder.drop(3)
    assert ladder.at_least(0) == len(ladder) == 0


def test_rungs_split_when_they_grow_and_go_when_they_are_empty() -> None:
    ladder, many = Ladder[int](), 10 * RUNG
    for slot in range(many):
        ladder.put(slot, -slot)
    assert len(ladder._rungs) > 4
    assert max(map(len, ladder._rungs)) <= 2 * RUNG
    assert ladder.first(bits_of(range(many))) == many - 1
    assert ladder.at_least(-RUNG) == bits_of(range(RUNG + 1))
    for slot in range(many - 1, 0, -1):
        ladder.drop(slot)
        assert all(ladder._rungs)
    assert ladder.first(bits_of(range(many))) == 0


class LadderWalk(RuleBasedStateMachine):
    """The plain definition beside it is a dict."""

    @initialize(keys=st.dictionaries(st.integers(0, 400), KEYS, max_size=300))
    def begin(self, keys: dict[int, int]) -> None:
        self.ladder, self.plain = Ladder[int](), dict(keys)
        self.ladder.renew(keys)

    @rule(slot=SLOTS, key=KEYS)
    def put(self, slot: int, key: int) -> None:
        self.ladder.put(slot, key)
        self.plain[slot] = key

    @rule(slot=SLOTS)
    def drop(self, slot: int) -> None:
        self.ladder.drop(slot)
        self.plain.pop(slot, None)

    @rule(changes=st.dictionaries(SLOTS, KEYS, max_size=20), gone=st.sets(SLOTS, max_size=5))
    def renew(self, changes: dict[int, int], gone: set[int]) -> None:
        self.plain = {slot: key for slot, key in {**self.plain, **changes}.items() if slot not in gone}
        self.ladder.renew(self.plain)

    @rule(among=st.sets(SLOTS))
    def first(self, among: set[int]) -> None:
        able = [(self.plain[slot], slot) for slot in among if slot in self.plain]
        assert self.ladder.first(bits_of(among)) == min(able, default=(0, None))[1]

    @rule(key=KEYS)
    def at_least(self, key: int) -> None:
        assert self.ladder.at_least(key) == bits_of(slot for slot, has in self.plain.items() if has >= key)

    @invariant()
    def holds_all(self) -> None:
        assert len(self.ladder) == len(self.plain)
        assert [bits_of(slot for _, slot in rung) for rung in self.ladder._rungs] == self.ladder._bits
        assert [entry for rung in self.ladder._rungs for entry in rung] == sorted(
            (key, slot) for slot, key in self.plain.items()
        )


TestLadderWalk = LadderWalk.TestCase
