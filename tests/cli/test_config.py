from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Venom, told

TOKEN = "a token of at least thirty-two characters"


def test_every_setting_says_where_it_comes_from_and_no_secret_is_shown(
    venom: Venom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"HIVE_TASK_TIMEOUT=7\nHIVE_MAX_RETRIES=9\nNEXUS_SHARED_TOKEN={TOKEN}\n")
    monkeypatch.setenv("HIVE_MAX_RETRIES", "1")
    monkeypatch.setenv("HIVE_PROFILE", "fast")
    monkeypatch.setenv("REDIS_URL", "redis://:p%40ss-word@10.0.0.5:6379/0")
    monkeypatch.setenv("REDIS_PASSWORD", "")
    found = {line["name"]: (line["value"], line["from"]) for line in told(venom("config", "--json"))}
    assert found["HIVE_MAX_RETRIES"] == (1, "environment")
    assert found["HIVE_TASK_TIMEOUT"] == (7.0, str(tmp_path / ".env"))
    assert found["HIVE_LEASE"] == (1.2, "HIVE_PROFILE=fast")
    assert found["HIVE_DRAIN_TIMEOUT"] == (30.0, "default")
    assert found["REDIS_PASSWORD"] == (None, "default")
    assert found["NEXUS_SHARED_TOKEN"] == ("********", str(tmp_path / ".env"))
    assert found["REDIS_URL"] == ("redis://:********@10.0.0.5:6379/0", "environment")
    table = venom("config").stdout
    assert "p%40ss" not in table
    assert "p@ss" not in table
    assert TOKEN not in table


def test_only_what_is_given_is_shown_if_asked(venom: Venom, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [line["name"] for line in told(venom("config", "--given", "--json"))]
    assert names == ["REDIS_URL", "HIVE_NAMESPACE"]
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.delenv("HIVE_NAMESPACE")
    assert venom("config", "--given").stderr == "Every setting has its default.\n"


def test_a_wrong_setting_is_one_sentence(venom: Venom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_TASK_TIMEUT", "7")
    result = venom("config")
    assert result.exit_code == 1
    assert "did you mean HIVE_TASK_TIMEOUT?" in result.stderr
