from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from venom_core.demo import scanner
from venom_core.demo.scanner import scan
from venom_core.demo.skills import scan_file


def scanned(path: Path, content: bytes) -> dict[str, Any]:
    path.write_bytes(content)
    return scan(path)


def test_findings_have_rule_severity_confidence_line_and_text(tmp_path: Path) -> None:
    found = scanned(tmp_path / "a.py", b"import pickle\n\nassert pickle\n")
    assert found["lines"] == 2
    assert found["findings"][-1]["line"] == 3
    assert {finding["rule"] for finding in found["findings"]} == {"B101", "B403"}
    assert set(found["findings"][0]) == {"rule", "severity", "confidence", "line", "text"}
    assert found["severities"] == {"LOW": 2}
    assert found["rules"] == {"B101 assert_used": 1, "B403 import_pickle": 1}


def test_all_findings_are_counted_and_only_so_many_are_listed(tmp_path: Path) -> None:
    found = scanned(tmp_path / "a.py", b"assert 1\n" * (scanner.FINDINGS_MAX + 7))
    assert len(found["findings"]) == scanner.FINDINGS_MAX
    assert found["severities"] == {"LOW": scanner.FINDINGS_MAX + 7}


def test_a_clean_file_has_no_findings(tmp_path: Path) -> None:
    assert scanned(tmp_path / "a.py", b"x = 1\n") == {"lines": 1, "findings": [], "severities": {}, "rules": {}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"def (:\n", "line 1: invalid syntax"),
        (b"x = '\xe9'\n", "utf-8"),
        (b"x = 1\0\n", "null bytes"),
        (b"# -*- coding: klingon -*-\n", "klingon"),
        (b"(" * 5_000, ""),
        (b"\x7fELF" + bytes(range(256)) * 20, ""),
    ],
)
def test_what_cannot_be_parsed_is_a_result_with_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    found = scanned(tmp_path / "a.py", content)
    assert set(found) == {"skipped"}
    assert reason in found["skipped"]
    assert found["skipped"]
    assert "\n" not in found["skipped"]


def test_an_odd_escape_in_a_file_warns_nobody(tmp_path: Path) -> None:
    assert scanned(tmp_path / "a.py", b"x = '\\d'\n")["findings"] == []


def test_what_cannot_be_read_is_a_result_with_a_reason(tmp_path: Path) -> None:
    loop, pipe, huge = tmp_path / "loop.py", tmp_path / "pipe.py", tmp_path / "huge.py"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    huge.write_bytes(b"#" * (scanner.FILE_BYTES_MAX + 1))
    assert scan(tmp_path / "gone.py") == {"skipped": "No such file or directory"}
    assert scan(loop) == {"skipped": "Too many levels of symbolic links"}
    assert scan(pipe) == {"skipped": "it is not a regular file"}
    assert scan(huge) == {"skipped": "larger than 1,048,576 bytes"}


def test_a_file_that_goes_while_it_is_looked_at_is_a_result_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanner, "_unreadable", lambda path: "")
    assert scan(tmp_path / "gone.py")["skipped"].endswith(
        "No such file or directory: " + repr(str(tmp_path / "gone.py"))
    )


def test_the_skill_says_which_file_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    assert scan_file(str(tmp_path / "a.py"))["path"] == str(tmp_path / "a.py")
