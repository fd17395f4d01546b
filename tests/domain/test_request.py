from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from msgspec import Raw

from venom_core.domain.request import EXTRA_BYTES_MAX, KEY_CHARS_MAX, TaskOptions, Terms, settle_terms
from venom_core.domain.task import TaskBody
from venom_core.errors import InvalidTask

MOMENT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
MOMENT_MS = 1_893_553_445_000


def terms(**options: Any) -> Terms:
    return settle_terms(TaskOptions.parse(options), 300.0, 3)


def refusal(**options: Any) -> str:
    with pytest.raises(InvalidTask) as caught:
        terms(**options)
    said = str(caught.value)
    assert len(said) < 300
    return said


def test_nothing_asked_for_means_the_defaults() -> None:
    assert terms() == Terms(priority=2, timeout_ms=300_000, max_retries=3, when="now", deadline_ms=0, extra=None)


def test_an_unknown_option_is_named_and_so_are_the_known_ones() -> None:
    said = refusal(priorty=3)
    assert said.startswith("there is no task option 'priorty'; there are: priority, timeout, max_retries, delay")


@pytest.mark.parametrize(("timeout", "milliseconds"), [(0.001, 1), (1, 1_000), (2.5, 2_500), (604_800, 604_800_000)])
def test_a_timeout_is_seconds(timeout: float, milliseconds: int) -> None:
    assert terms(timeout=timeout).timeout_ms == milliseconds


@pytest.mark.parametrize("name", ["timeout", "delay"])
@pytest.mark.parametrize(
    "wrong", [-1, float("nan"), float("inf"), "5", True, 10**9, 10**400, [1], timedelta(seconds=1)]
)
def test_seconds_that_make_no_sense_are_refused_by_name(name: str, wrong: Any) -> None:
    assert refusal(**{name: wrong}).startswith(f"{name} is ")


def test_a_timeout_of_zero_is_refused_and_a_delay_of_zero_is_not() -> None:
    assert refusal(timeout=0) == "timeout is 0.001 to 604,800 seconds, not 0"
    assert terms(delay=0).when == "+0"


@pytest.mark.parametrize("retries", [0, 1, 100])
def test_retries_are_0_to_100(retries: int) -> None:
    assert terms(max_retries=retries).max_retries == retries


@pytest.mark.parametrize("wrong", [-1, 101, 1.0, "3", True, 10**400])
def test_other_retries_are_refused(wrong: Any) -> None:
    assert refusal(max_retries=wrong).startswith("max_retries is a whole number from 0 to 100, not ")


def test_a_delay_counts_from_when_redis_sees_it_and_a_moment_is_a_moment() -> None:
    assert terms(delay=1.5).when == "+1500"
    assert terms(delay=366 * 86_400).when == f"+{366 * 86_400_000}"
    assert terms(run_at=MOMENT).when == f"@{MOMENT_MS}"
    assert terms(run_at=MOMENT.astimezone(timezone(timedelta(hours=9)))).when == f"@{MOMENT_MS}"
    assert terms(run_at=MOMENT.astimezone().replace(tzinfo=None)).when == f"@{MOMENT_MS}"


def test_delay_and_moment_exclude_each_other() -> None:
    assert refusal(delay=1, run_at=MOMENT) == "give either delay or run_at, not both"


def test_a_deadline_is_a_moment() -> None:
    assert terms(deadline=MOMENT).deadline_ms == MOMENT_MS
    assert refusal(deadline=5) == "deadline is a datetime, not int"


@pytest.mark.parametrize("name", ["run_at", "deadline"])
@pytest.mark.parametrize(
    "wrong",
    [
        datetime.min,  # noqa: DTZ901 - a naive moment before the year 1 is what no machine counts to
        datetime(1960, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
    ],
)
def test_a_moment_before_the_epoch_is_refused(name: str, wrong: datetime) -> None:
    assert refusal(**{name: wrong}).endswith("is not a moment this machine can count to")


@pytest.mark.parametrize("wrong", ["tomorrow", 1.5, None])
def test_a_moment_is_a_datetime(wrong: Any) -> None:
    if wrong is None:
        assert terms(run_at=None).when == "now"
    else:
        assert refusal(run_at=wrong).startswith("run_at is a datetime, not ")


def test_what_is_not_executed_travels_as_extra() -> None:
    given = {"parent_id": "p", "root_id": "r", "correlation_id": "c", "key": "k", "metadata": {"a": [1]}}
    assert terms(**given).extra == given


@pytest.mark.parametrize("name", ["parent_id", "root_id", "correlation_id"])
def test_related_ids_are_ids(name: str) -> None:
    assert refusal(**{name: "a b"}).startswith("a task id is 1 to 128")


@pytest.mark.parametrize("wrong", ["", "k" * (KEY_CHARS_MAX + 1), 5, b"k"])
def test_a_key_is_a_short_text(wrong: Any) -> None:
    assert refusal(key=wrong).startswith("key is a text of 1 to 256 characters, not ")
    assert terms(key="ü" * KEY_CHARS_MAX).extra == {"key": "ü" * KEY_CHARS_MAX}


@pytest.mark.parametrize("wrong", [[1], {"a": b"x"}, {"a": "x" * EXTRA_BYTES_MAX}, {1: 2}])
def test_metadata_is_a_small_json_object_and_a_refusal_calls_it_by_its_name(wrong: Any) -> None:
    assert refusal(metadata=wrong).startswith("metadata")


def test_the_same_terms_are_known_again_whatever_the_moment() -> None:
    asked = terms(priority=7, timeout=5, max_retries=1, key="k", delay=3)
    body = TaskBody("t", Raw(b"\x80"), 5_000, 1, 123, 456, None, {"key": "k"})
    assert asked.same_as(body, 7)
    assert not asked.same_as(body, 6)
    assert not terms(priority=7, timeout=6, max_retries=1, key="k").same_as(body, 7)
    assert not terms(priority=7, timeout=5, max_retries=2, key="k").same_as(body, 7)
    assert not terms(priority=7, timeout=5, max_retries=1).same_as(body, 7)
