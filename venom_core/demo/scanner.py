"""Security findings of one Python file, by bandit: the one door to that package.

A file that cannot be scanned is a result with a reason, never an error: whoever points this at a large
folder wants to know about all of it.
"""

from __future__ import annotations

import ast
import logging
import os
import stat
import warnings
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from bandit.core.config import BanditConfig
from bandit.core.extension_loader import MANAGER
from bandit.core.issue import Issue
from bandit.core.manager import BanditManager

FILE_BYTES_MAX = 1_048_576
FINDINGS_MAX = 500
TEXT_CHARS_MAX = 200
REASON_CHARS_MAX = 120


def scan(path: Path) -> dict[str, Any]:
    """What bandit says of one file.

    `{"lines": of code, "findings": [{rule, severity, confidence, line, text}], "severities": {name: number},
    "rules": {name: number}}`; at most 500 findings are listed, all are counted. Or `{"skipped": reason}`.
    """
    if reason := _unreadable(path):
        return {"skipped": reason}
    manager = BanditManager(_config(), "file")
    manager.files_list = [str(path)]
    with warnings.catch_warnings():
        # The parser warns of what it finds odd in somebody else's file.
        warnings.simplefilter("ignore")
        manager.run_tests()
        if manager.skipped:
            return {"skipped": _why_skipped(path, str(manager.skipped[0][1]))}
    issues: list[Issue] = manager.get_issue_list()
    return {
        "lines": int(manager.metrics.data[str(path)]["loc"]),
        "findings": [_finding(issue) for issue in issues[:FINDINGS_MAX]],
        "severities": dict(Counter(str(issue.severity) for issue in issues)),
        "rules": dict(Counter(_rule(issue) for issue in issues)),
    }


@cache
def _config() -> BanditConfig:
    # It says of every file it cannot parse that it cannot; that is in our result already.
    logging.getLogger("bandit").setLevel(logging.CRITICAL)
    return BanditConfig()


def _unreadable(path: Path) -> str:
    """Why a file is not even opened; empty if it may be. A pipe, for example, would be read for ever."""
    try:
        found = path.stat()
    except OSError as fault:
        return fault.strerror or "it cannot be read"
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if found.st_size > FILE_BYTES_MAX:
        return f"larger than {FILE_BYTES_MAX:,} bytes"
    if not os.access(path, os.R_OK):
        return "no right to read it"
    return ""


def _why_skipped(path: Path, words: str) -> str:
    """Bandit says that it cannot parse a file; the parser itself says where and why."""
    try:
        ast.parse(path.read_bytes())
    except SyntaxError as fault:
        where = f"line {fault.lineno}: " if fault.lineno else ""
        words = f"{where}{fault.msg}"
    except (OSError, ValueError, RecursionError, MemoryError) as fault:
        words = str(fault) or type(fault).__name__
    return words.splitlines()[0][:REASON_CHARS_MAX] if words else "it cannot be parsed"


def _rule(issue: Issue) -> str:
    """A rule by number and name; what bandit calls "blacklist" is many rules, each with a name of its own."""
    listed = MANAGER.blacklist_by_id.get(issue.test_id)
    return f"{issue.test_id} {listed['name'] if listed else issue.test}"


def _finding(issue: Issue) -> dict[str, Any]:
    return {
        "rule": str(issue.test_id),
        "severity": str(issue.severity),
        "confidence": str(issue.confidence),
        "line": int(issue.lineno),
        "text": str(issue.text)[:TEXT_CHARS_MAX],
    }
