"""Ends of scan tasks as the broker reports them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from venom_core.clock import to_naive_local
from venom_core.demo.sources import SourceFile
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.task_message import TaskMessage

BEGUN_MS = 1_800_000_000_000
CLEAN: dict[str, Any] = {"lines": 3, "findings": [], "severities": {}, "rules": {}}


def file(name: str, size: int = 10) -> SourceFile:
    return SourceFile(Path("/src", name), size)


def ended(path: str, result: dict[str, Any] | None = None, **fields: Any) -> TaskMessage:
    """The end of the task of a file, three seconds after it began."""
    return TaskMessage(
        "t", "scan_file", assigned_node="spore-1", result={"path": path, **(result or CLEAN)},
        started_at=to_naive_local(BEGUN_MS), completed_at=to_naive_local(BEGUN_MS + 3_000),
        **{"status": TaskStatus.COMPLETED, **fields},
    )  # fmt: skip
