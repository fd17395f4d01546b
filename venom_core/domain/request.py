"""What a caller may ask of a task, checked at the door: `TaskOptions` in, `Terms` out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from venom_core.clock import from_datetime
from venom_core.domain import payload
from venom_core.domain.placement import Requirements
from venom_core.domain.priority import DEFAULT_PRIORITY, Priority, parse_priority
from venom_core.domain.retry import RETRIES_MAX
from venom_core.domain.task import TaskBody
from venom_core.domain.task_id import check_id
from venom_core.errors import InvalidTask

TIMEOUT_S_MAX = 7 * 86_400
DELAY_S_MAX = 366 * 86_400
EXTRA_BYTES_MAX = 16_384
KEY_CHARS_MAX = 256


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """Options of an enqueue; times in seconds, `run_at` and `deadline` as datetimes (naive = local).

    `offered`: the skill gets those payload keys that it names, and the others are no mistake.
    """

    priority: Priority = DEFAULT_PRIORITY
    timeout: float | None = None
    max_retries: int | None = None
    delay: float | None = None
    run_at: datetime | None = None
    deadline: datetime | None = None
    offered: bool = False
    metadata: dict[str, Any] | None = None
    parent_id: str | None = None
    root_id: str | None = None
    correlation_id: str | None = None
    key: str | None = None
    requirements: dict[str, Any] | None = None

    @classmethod
    def parse(cls, options: dict[str, Any]) -> TaskOptions:
        """Options from keywords; `InvalidTask` names one that does not exist."""
        known = [spec.name for spec in fields(cls)]
        for name in options:
            if name not in known:
                raise InvalidTask(f"there is no task option {name!r:.60}; there are: {', '.join(known)}")
        return cls(**options)


@dataclass(frozen=True, slots=True)
class Terms:
    """Checked options with defaults filled in; `when` is "now", "+ms" or "@ms"."""

    priority: int
    timeout_ms: int
    max_retries: int
    when: str
    deadline_ms: int
    extra: dict[str, Any] | None
    requirements: dict[str, Any] | None = None

    def same_as(self, body: TaskBody, priority: int) -> bool:
        """Whether an existing task was asked for under these terms (moments aside, they differ on every call)."""
        mine = (self.priority, self.timeout_ms, self.max_retries, self.extra, self.requirements)
        return mine == (priority, body.timeout_ms, body.max_retries, body.extra, body.requirements)


def settle_terms(options: TaskOptions, default_timeout_s: float, default_retries: int) -> Terms:
    """Check options and fill defaults in; raises `InvalidTask` naming the option, its value and the limits."""
    timeout_s = default_timeout_s if options.timeout is None else options.timeout
    retries = default_retries if options.max_retries is None else options.max_retries
    if type(retries) is not int or not 0 <= retries <= RETRIES_MAX:
        raise InvalidTask(f"max_retries is a whole number from 0 to {RETRIES_MAX}, not {retries!r:.60}")
    if options.delay is not None and options.run_at is not None:
        raise InvalidTask("give either delay or run_at, not both")
    when = "now"
    if options.delay is not None:
        when = f"+{_milliseconds('delay', options.delay, 0, DELAY_S_MAX)}"
    elif options.run_at is not None:
        when = f"@{_moment('run_at', options.run_at)}"
    return Terms(
        priority=parse_priority(options.priority),
        timeout_ms=max(_milliseconds("timeout", timeout_s, 0.001, TIMEOUT_S_MAX), 1),
        max_retries=retries,
        when=when,
        deadline_ms=0 if options.deadline is None else _moment("deadline", options.deadline),
        extra=_extra(options),
        requirements=Requirements.parse(options.requirements).to_dict() or None,
    )


def _milliseconds(name: str, value: float, least_s: float, most_s: float) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTask(f"{name} is a number of seconds, not {value!r:.60}")
    if not least_s <= value <= most_s:
        raise InvalidTask(f"{name} is {least_s:g} to {most_s:,.0f} seconds, not {value!r:.60}")
    return round(value * 1000)


def _moment(name: str, value: datetime) -> int:
    if not isinstance(value, datetime):
        raise InvalidTask(f"{name} is a datetime, not {type(value).__name__}")
    try:
        moment_ms = from_datetime(value)
    except (OverflowError, OSError, ValueError):
        moment_ms = -1
    if moment_ms <= 0:
        raise InvalidTask(f"{name} {value!s:.60} is not a moment this machine can count to")
    return moment_ms


def _extra(options: TaskOptions) -> dict[str, Any] | None:
    extra: dict[str, Any] = {}
    for name in ("parent_id", "root_id", "correlation_id"):
        if (value := getattr(options, name)) is not None:
            extra[name] = check_id(value)
    if options.key is not None:
        if not isinstance(options.key, str) or not 1 <= len(options.key) <= KEY_CHARS_MAX:
            raise InvalidTask(f"key is a text of 1 to {KEY_CHARS_MAX} characters, not {options.key!r:.60}")
        extra["key"] = options.key
    if options.metadata is not None:
        payload.encode_payload(options.metadata, EXTRA_BYTES_MAX, "metadata")
        extra["metadata"] = options.metadata
    if options.offered:
        extra["offered"] = True
    return extra or None
