from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from venom_core.clock import Clock, ManualClock, from_datetime, to_naive_local, to_utc

STAMPS = st.integers(0, 4_000_000_000_000)


def test_the_machines_clock_gives_milliseconds_and_never_goes_back() -> None:
    clock = Clock()
    assert abs(clock.now_ms() - datetime.now(UTC).timestamp() * 1000) < 60_000
    assert clock.monotonic_s() <= clock.monotonic_s()
    assert clock.lasting_s() <= clock.lasting_reader()() <= clock.lasting_s()


def test_a_manual_clock_moves_only_when_it_is_moved() -> None:
    clock = ManualClock()
    before = clock.now_ms(), clock.monotonic_s(), clock.lasting_s()
    assert (clock.now_ms(), clock.monotonic_s(), clock.lasting_s()) == before
    clock.advance(1.5)
    after = clock.now_ms(), clock.monotonic_s(), clock.lasting_s()
    assert after == (before[0] + 1_500, before[1] + 1.5, before[2] + 1.5)
    assert clock.lasting_reader()() == clock.lasting_s()


@given(STAMPS)
def test_a_stamp_survives_every_way_it_is_shown(stamp: int) -> None:
    assert from_datetime(to_utc(stamp)) == stamp
    assert from_datetime(to_naive_local(stamp).astimezone()) == from_datetime(to_utc(stamp).astimezone())


def test_times_are_aware_inside_and_naive_local_at_the_door() -> None:
    assert to_utc(0) == datetime(1970, 1, 1, tzinfo=UTC)
    assert to_naive_local(0).tzinfo is None
    assert to_naive_local(0) == datetime(1970, 1, 1, tzinfo=UTC).astimezone().replace(tzinfo=None)


def test_a_time_of_any_zone_is_the_same_moment() -> None:
    assert from_datetime(datetime(1970, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))) == 0
