"""What the documents' tables must say, taken from the code. Write it there: python -m tests.docs.tables"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from tests.docs import api, env_file
from tests.tidy.source import ROOT
from venom_core.config import Settings
from venom_core.domain import node, order, payload, request, retry, run, task_id
from venom_core.domain.lifecycle import MEANING, diagram
from venom_core.execution import answer, items, plan, reduction
from venom_core.infrastructure import dead_letters, task_store, upkeep
from venom_core.infrastructure.keys import KEYS
from venom_spore import attempts, context, main, sandbox, skills, threads


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def docstrings() -> dict[str, str]:
    """What stands below each field of `Settings`, on one line."""
    tree = ast.parse((ROOT / "venom_core/config.py").read_text(encoding="utf-8"))
    body = next(item.body for item in tree.body if isinstance(item, ast.ClassDef) and item.name == "Settings")
    found = {}
    for field, text in pairwise(body):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found


def _shown(default: Any) -> str:
    if default in (None, "", PydanticUndefined) or isinstance(default, SecretStr):
        return "not set"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def setting_rows() -> list[str]:
    """Name, default, meaning with unit and limits."""
    words = docstrings()
    return [
        _row(f"`{name.upper()}`", _shown(field.default), words[name]) for name, field in Settings.model_fields.items()
    ]


def event_rows() -> list[str]:
    return [_row(f"`{event}`", meaning) for event, meaning in MEANING.items()]


def key_rows() -> list[str]:
    return [_row(f"`{spec.name}`", spec.kind, spec.holds, spec.leaves_by) for spec in KEYS]


def limit_rows() -> list[str]:
    """Limits that no setting moves."""
    limits: list[tuple[str, str]] = [
        ("Characters of a task id", f"{task_id.ID_CHARS_MAX}, printable ASCII without spaces"),
        ("Characters of a task type (name of a skill)", f"{task_id.TYPE_CHARS_MAX}, letters, digits, `_ . : -`"),
        ("Characters of a node name or tag", f"{node.NAME_CHARS_MAX}, letters, digits, `_ . : -`"),
        ("Levels of nesting in a payload or result", f"{payload.DEPTH_MAX}"),
        ("`timeout` of a task", f"{request.TIMEOUT_S_MAX:,} s (7 days)"),
        ("`delay` of a task", f"{request.DELAY_S_MAX:,} s (366 days)"),
        ("`max_retries` of a task", f"{retry.RETRIES_MAX}"),
        ("`metadata` of a task", f"{request.EXTRA_BYTES_MAX:,} bytes"),
        ("`key` of a task", f"{request.KEY_CHARS_MAX} characters"),
        ("Backoff after a failure", f"{retry.BACKOFF_FIRST_S:g} s × 2, at most {retry.BACKOFF_MAX_S:g} s, full jitter"),
        ("Crashes until quarantine", f"{retry.CRASHES_MAX}"),
        ("One partial result (`ctx.emit`)", f"{context.PARTIAL_BYTES_MAX:,} bytes"),
        ("Partial results kept of one task", f"{task_store.PARTIALS_MAX:,}, the oldest leaves first"),
        ("Note of `ctx.progress`", f"{context.NOTE_CHARS_MAX} characters, longer ones are cut"),
        ("Processes that wait for one task", f"{task_store.WAITERS_MAX}"),
        ("Items of one run", f"{items.ITEMS_MAX:,}"),
        ("Payloads of one run together", f"{plan.RUN_BYTES_MAX:,} bytes"),
        ("Results in one answer of a run", f"{answer.ANSWER_BYTES_MAX:,} bytes; `follow` reads any number"),
        ("Results that one task folds", f"{reduction.FAN_IN}"),
        ("Characters of a run id", f"{run.RUN_ID_CHARS_MAX}, letters, digits, `_ . : -`"),
        ("`wait_timeout` of a run", f"{items.WAIT_S_MAX:,} s (7 days)"),
        ("One page of dead letters", f"{dead_letters.PAGE_MAX:,}"),
        ("`data` of a broadcast", f"{order.ORDER_BYTES_MAX:,} bytes"),
        ("`--concurrency` of a Spore", f"{main.CONCURRENCY_MAX:,}"),
        ("`memory_mb` of a process skill", f"at least {skills.MEMORY_MB_MIN} MiB"),
        ("Grace of a thread that is told to stop", f"{threads.GRACE_S:g} s"),
        ("Grace between SIGTERM and SIGKILL for a process skill", f"{sandbox.GRACE_S:g} s"),
        ("Pause until an `async` skill that swallows a stop is told again", f"{attempts.STUBBORN_S:g} s"),
        ("Time until an offline node is struck off the list", f"{upkeep.NODE_FORGOTTEN_AFTER_MS // 1000:,} s"),
    ]  # fmt: skip
    return [_row(*limit) for limit in limits]


TABLES: dict[str, dict[str, Callable[[], list[str]]]] = {
    "docs/concepts.md": {"event | meaning": event_rows, "key | type | holds | leaves by": key_rows},
    "docs/configuration.md": {"what | limit": limit_rows},
}


def renewed(document: str, text: str) -> str:
    """The text of a document with everything in it that is taken from the code."""
    for heading, rows in TABLES.get(document, {}).items():
        table = re.compile(rf"(^\| {re.escape(heading)} \|\n\|[-|]+\|\n)(?:\|.*\n)+", re.MULTILINE)
        assert table.search(text), f"{document} has no table of {heading}"
        text = table.sub(lambda found, rows=rows: found[1] + "\n".join(rows()) + "\n", text)  # type: ignore[misc]  # a default binds it now
    if document == "docs/configuration.md":
        for row in setting_rows():
            name = row.split("`")[1]
            text = re.sub(rf"^\| `{name}` \|.*$", lambda _, row=row: row, text, flags=re.MULTILINE)  # type: ignore[misc]  # the same
    return re.sub(r"(?<=^```mermaid\n).*?(?=\n```$)", lambda _: diagram(), text, flags=re.MULTILINE | re.DOTALL)


if __name__ == "__main__":
    for name in TABLES:
        path = ROOT / name
        path.write_text(renewed(name, path.read_text(encoding="utf-8")), encoding="utf-8")
    env_file.FILE.write_text(env_file.rendered(docstrings()), encoding="utf-8")
    api.PAGE.write_text(api.rendered(), encoding="utf-8")
