"""The dependency audit tells clean, vulnerable and not looked at apart."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from scripts import audit

CLEAN = {"name": "redis", "version": "8.1.0", "vulns": []}
UNKNOWN = {"name": "redis", "skip_reason": "not found"}
VULNERABLE = {
    "name": "redis",
    "version": "1.0",
    "vulns": [{"id": "V-1", "fix_versions": ["2.0"], "aliases": ["CVE-1"]}],
}


def _answer(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def _service(folder: Path, answer: str) -> str:
    """A stand-in for the audit command that prints one answer."""
    command = folder / "audit-command"
    command.write_text(f"#!{sys.executable}\nprint({answer!r})\n", encoding="utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return str(command)


def test_a_vulnerability_is_named_with_its_fix() -> None:
    verdict = audit.judge(_answer(CLEAN, UNKNOWN, VULNERABLE))
    assert (verdict.audited, verdict.skipped) == (2, 1)
    assert verdict.found == ["redis 1.0: V-1, fixed in 2.0"]


def test_an_accepted_vulnerability_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(audit.ACCEPTED, "CVE-1", "we never call it")
    assert audit.judge(_answer(VULNERABLE)).found == []


@pytest.mark.parametrize("answer", ["", "Traceback", "[]", "{}", _answer(UNKNOWN)])
def test_no_answer_is_not_a_clean_bill(answer: str) -> None:
    assert audit.judge(answer).audited == 0


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([CLEAN], 0, "1 audited, 0 unknown, 0 vulnerable"),
        ([UNKNOWN], 0, "NOT AUDITED"),
        ([VULNERABLE], 1, "redis 1.0: V-1"),
    ],
)
def test_the_exit_code_fails_only_for_a_finding(
    packages: list[object], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main(_service(tmp_path, _answer(*packages))) == code
    assert said in capsys.readouterr().out
