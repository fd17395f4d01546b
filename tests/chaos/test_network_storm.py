"""Storms over a network of real machines, and what is said where there can be none."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import __main__ as command
from chaos import clocks, network
from chaos.events import read
from chaos.scenarios import SCENARIOS
from chaos.storm import Scale, storm
from tests.chaos.conftest import need

SMALL = Scale("test", tasks=300, seconds=2.5)


def test_a_storm_that_cuts_cables_is_clean(tmp_path: Path) -> None:
    need(network.missing())
    verdict = storm(SCENARIOS["partitioned"], SMALL, tmp_path / "storm")
    assert verdict.sentences == []
    assert verdict.figures["completed"] > 250
    blows = [event.text for event in read(tmp_path / "storm" / "conductor.jsonl") if event.what == "blow"]
    assert any(blow.startswith(("cut off ", "no power for ")) for blow in blows)
    (packets,) = (blow for blow in blows if blow.startswith("packets: "))
    assert " 0 cut" not in packets


@pytest.mark.parametrize(("in_ci", "user", "code"), [("", 0, 0), ("true", 1000, 0), ("true", 0, 1)])
@pytest.mark.parametrize(("name", "module"), [("partitioned", network), ("clocks_shifted", clocks)])
def test_a_storm_that_cannot_be_here_is_named_and_for_root_in_ci_that_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    module: object,
    in_ci: str,
    user: int,
    code: int,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(module, "missing", lambda: "there is no such thing here")
    monkeypatch.setenv("CI", in_ci)
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("sys.argv", ["chaos", "--short", "--only", name])
    assert command.main() == code
    assert f"NOT RUN {name}: there is no such thing here" in capsys.readouterr().out
