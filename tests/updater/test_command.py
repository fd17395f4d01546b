"""`python -m venom_spore.updater`: one line and an exit code for every way it can end."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tests.updater.releasing import Home, Releaser
from venom_core.audit_chain import AuditChain
from venom_spore.updater.__main__ import main, node_of
from venom_spore.updater.auditing import audit_into
from venom_spore.updater.facts import Node
from venom_spore.updater.run import Exit, Look
from venom_spore.updater.skills_import import WorkerSkills


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_OTA_INTERVAL", "0")


def said(caplog: pytest.LogCaptureFixture) -> tuple[str, str]:
    """Level and words of the one line since."""
    [line] = [each for each in caplog.records if each.name == "venom.updater" and each.levelno > logging.DEBUG]
    caplog.clear()
    return line.levelname, line.getMessage()


@pytest.mark.parametrize(
    ("arguments", "node"),
    [
        ([], Node()),
        (["--name", "n1", "--tags", "gpu, big,"], Node("n1", ("gpu", "big"))),
        (
            ["--skills", "a:b", "--name=n1", "--redis-url", "redis://x", "--concurrency", "4"],
            Node("n1", (), WorkerSkills(("a:b",))),
        ),
        (["--tags", "a", "--unknown", "x"], Node("", ("a",))),
        (["--name"], Node()),
    ],
)
def test_the_node_is_the_one_that_its_worker_is(arguments: list[str], node: Node) -> None:
    assert node_of(arguments) == node


def test_a_node_without_a_name_has_that_of_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "")
    assert (Node().known_as, Node("n1").known_as) == ("spore", "n1")


def test_each_end_has_its_exit_code_and_at_most_one_line(
    home: Home, releaser: Releaser, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = home.layout.audit
    monkeypatch.setenv("HIVE_AUDIT_FILE", str(audit))
    caplog.set_level(logging.DEBUG, "venom.updater")
    asked = ["--home", str(home.layout.home), "--", "--name", "n1"]
    assert main(asked) == int(Exit.NOTHING) == 0
    [line] = caplog.records
    assert (line.levelname, line.getMessage()) == ("DEBUG", "nothing newer than 0-base is for it")
    caplog.clear()
    releaser.release("1.0.0", nodes=["n1"])
    assert main(asked) == int(Exit.STAGED) == 10
    level, words = said(caplog)
    assert (level, words.startswith("1.0.0-")) == ("INFO", True)
    assert main(asked) == int(Exit.REFUSED) == 20
    level, words = said(caplog)
    assert (level, words.startswith("BUSY: ")) == ("WARNING", True)
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(line["event"], line["actor"], line["node"]) for line in lines] == [
        ("update_staged", "updater", "n1"),
        ("update_refused", "updater", "n1"),
    ]
    assert AuditChain(audit, "n1").head().seq == 2


def test_a_refusal_that_passes_by_itself_is_no_warning(
    home: Home, releaser: Releaser, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, "venom.updater")
    monkeypatch.setenv("HIVE_OTA_INTERVAL", "3600")
    releaser.release("1.0.0")
    asked = ["--home", str(home.layout.home), "--", "--name", "n1"]
    assert main(asked) == Exit.STAGED
    home.commit()
    releaser.release("2.0.0")
    caplog.clear()
    assert main(asked) == Exit.REFUSED
    level, words = said(caplog)
    assert (level, words.startswith("TOO_SOON: ")) == ("INFO", True)
    assert "HIVE_OTA_INTERVAL" in words


def test_a_setting_that_is_none_is_a_fault_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIVE_OTA_INTERVAL", "often")
    assert main(["--home", str(tmp_path)]) == int(Exit.FAULT) == 30
    assert "HIVE_OTA_INTERVAL is 'often'" in capsys.readouterr().err


def test_what_nobody_foresaw_is_a_fault_and_stands_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(self: Look) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Look, "run", broken)
    assert main(["--home", str(tmp_path)]) == Exit.FAULT
    assert "ZeroDivisionError" in caplog.text


def test_a_home_that_does_not_exist_is_not_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["--home", str(tmp_path / "none")]) == Exit.REFUSED
    assert "NOT_JOINED" in said(caplog)[1]
    assert not (tmp_path / "none").exists()


def test_an_audit_that_takes_nothing_holds_nothing_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "venom.updater")
    audit_into(str(tmp_path / "no folder" / "audit"), "n1")("update_refused", {"code": "X"})
    assert 'update_refused: {"code": "X"}' in caplog.text
    assert "the audit took nothing down" in caplog.text
    caplog.clear()
    audit_into("", "n1")("update_staged", {})
    assert "took nothing" not in caplog.text
