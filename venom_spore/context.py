"""What a running task may know and say: its identity, its progress, partial results, whether to stop.

A skill asks for it by annotating its first argument `TaskContext`. The worker builds one only for such
skills, so it costs nothing to the others. What the task says goes to a sink that the worker supplies;
the sink must be safe to call from any thread.

    report("progress", (fraction, note))    fraction is a float from 0.0 to 1.0, note is a str
    report("emit", data)                    data is the msgpack bytes of the partial result
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, MutableMapping
from typing import Any

from venom_core.domain import payload
from venom_core.errors import InvalidTask, TaskCancelled

NOTE_CHARS_MAX = 200
PARTIAL_BYTES_MAX = 1_048_576
# A sum of many small fractions may end a hair above 1: that is rounding, not a mistake.
_ROUNDING = 1e-9

Report = Callable[[str, object], None]
# Comes back when it is certain whether the node still has the task, or when what it is given says yes.
Certain = Callable[[Callable[[], bool]], None]

_log = logging.getLogger("venom.skills")


class TaskLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds `task_id`, `task_type`, `attempt` and `node_id` to every record, beside what the call adds."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Merge the task's fields under the call's own `extra`."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


class TaskContext:
    """One attempt of one task, as its skill sees it.

    `attempt` is 1 on the first run; `crashes` counts the nodes that died under this task before.
    """

    __slots__ = (
        "_cancelled",
        "_certain",
        "_logger",
        "_report",
        "attempt",
        "crashes",
        "node_id",
        "task_id",
        "task_type",
    )

    def __init__(
        self,
        task_id: str,
        task_type: str,
        *,
        attempt: int,
        crashes: int,
        node_id: str,
        report: Report,
        certain: Certain | None = None,
    ) -> None:
        self.task_id = task_id
        self.task_type = task_type
        self.attempt = attempt
        self.crashes = crashes
        self.node_id = node_id
        self._report = report
        self._certain = certain
        self._cancelled = False
        self._logger: TaskLogger | None = None

    @property
    def logger(self) -> TaskLogger:
        """A logger (`venom.skills`) that stamps every record with task, attempt and node."""
        if self._logger is None:
            fields = {name: getattr(self, name) for name in ("task_id", "task_type", "attempt", "node_id")}
            self._logger = TaskLogger(_log, fields)
        return self._logger

    def progress(self, fraction: float, note: str = "") -> None:
        """Say how far the work is, from 0.0 to 1.0; shown by `explain` and `get_task_status`.

        Notes longer than 200 characters are cut. Raises `InvalidTask` for anything but a number in that range.
        """
        if not isinstance(fraction, int | float) or not math.isfinite(fraction):
            raise InvalidTask(f"progress takes a number from 0 to 1, not {fraction!r:.60}")
        if not -_ROUNDING <= fraction <= 1 + _ROUNDING:
            raise InvalidTask(f"progress takes a fraction from 0 to 1, not {fraction!r:.60}; divide by the total")
        readable = str(note)[:NOTE_CHARS_MAX].encode("utf-8", "replace").decode()
        self._report("progress", (min(max(float(fraction), 0.0), 1.0), readable))

    def emit(self, partial: Any) -> None:
        """Hand out a partial result (JSON data, at most 1 MiB as msgpack) before the task is finished.

        The value is encoded here and now, so changing it later changes nothing. Raises `InvalidTask`.
        """
        self._report("emit", payload.encode(partial, "partial result", PARTIAL_BYTES_MAX))

    def relay(self, data: bytes) -> None:
        """Hand out a partial result that a child process encoded already. For the sandbox."""
        self._report("emit", data)

    @property
    def cancelled(self) -> bool:
        """True once this attempt is to stop: its time ran out, somebody cancelled it, or its node lost it.

        On a node that stood still so long that others may have its tasks, a thread waits here until that is known.
        """
        if self._certain is not None:
            self._certain(self._is_cancelled)
        return self._cancelled

    def raise_if_cancelled(self) -> None:
        """Raise `TaskCancelled` once this attempt is to stop; for loops that can only stop between steps."""
        if self.cancelled:
            raise TaskCancelled(f"task {self.task_id} was told to stop")

    def cancel(self) -> None:
        """Tell the skill to stop. For the worker; it only raises the flag."""
        self._cancelled = True

    def _is_cancelled(self) -> bool:
        return self._cancelled
