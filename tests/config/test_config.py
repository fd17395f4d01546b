from __future__ import annotations

import ast
import inspect
import logging
from pathlib import Path

import pytest
from pydantic import ValidationError

from venom_core import config, setting_names
from venom_core.config import Allowed, Settings
from venom_core.errors import InvalidSetting

TOKEN = "t" * 32

REFUSED = {
    "HIVE_MAX_RETRIES": ("-1", "101", "three", "1.5"),
    "HIVE_TASK_TIMEOUT": ("0", "-1", "nan", "inf", "1e12", "soon"),
    "HIVE_ZOMBIE_TASK_TIMEOUT": ("0", "-0.1"),
    "HIVE_RESULT_TTL": ("0", "-5", "1.5"),
    "HIVE_DEAD_LETTER_TTL": ("0",),
    "HIVE_DEAD_LETTERS_MAX": ("0",),
    "HIVE_QUEUED_MAX": ("0", "10000000000"),
    "HIVE_PAYLOAD_BYTES_MAX": ("0", "1MiB", str(2**31)),
    "HIVE_RESULT_BYTES_MAX": ("0",),
    "HIVE_PARTITIONS": ("0", "1025"),
    "HIVE_NAMESPACE": ("a b", "a:b", "{x}", "x" * 65, "ü"),
    "HIVE_HIGH_PRIORITY_QUEUE": ("two words", "x" * 201),
    "HIVE_BROADCAST_CHANNEL": ("{x}",),
    "HIVE_HEARTBEAT_INTERVAL": ("0", "0.01", "nan"),
    "HIVE_LEASE": ("0", "1000000"),
    "HIVE_DRAIN_TIMEOUT": ("-1", "nan"),
    "HIVE_PROFILE": ("slow",),
    "HIVE_LOG_LEVEL": ("LOUD",),
    "HIVE_FILE_BYTES_MAX": ("0",),
    "HIVE_FETCH_TIMEOUT": ("0", "inf"),
    "HIVE_SHELL_ENABLED": ("perhaps",),
    "HIVE_LLM_ANSWER_TOKENS_MAX": ("0",),
    "HIVE_AGENT_STEPS_MAX": ("0", "1001"),
    "ENABLE_HIVE": ("maybe",),
    "REDIS_PORT": ("0", "65536", "http", "tcp://10.0.0.1"),
    "REDIS_DB": ("-1", "x"),
    "REDIS_HOST": ("redis://somewhere", "a b", "user@host"),
}


def test_the_defaults_are_those_of_the_contract() -> None:
    made = Settings.load()
    assert (made.hive_task_timeout, made.hive_max_retries, made.hive_zombie_task_timeout) == (300, 3, 600)
    assert (made.hive_result_ttl, made.hive_namespace, made.hive_partitions) == (3600, "venom", 1)
    assert (made.hive_high_priority_queue, made.hive_background_queue) == ("venom:tasks:high", "venom:tasks:background")
    assert (made.hive_heartbeat_interval, made.hive_lease) == (1.0, 6.0)
    assert made.hive_payload_bytes_max == made.hive_result_bytes_max == 1024 * 1024
    assert made.nexus_shared_token is None
    assert made.enable_hive


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_a_wrong_value_is_one_sentence_with_name_value_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting) as caught:
        Settings.load()
    message = str(caught.value)
    field = Settings.model_fields[name.lower()]
    (allowed,) = [mark.words for mark in field.metadata if isinstance(mark, Allowed)]
    assert message.startswith(f"{name} is ")
    assert message.endswith(f"but it must be {allowed}.")
    assert value[:50].rpartition("//")[2] in message
    assert "pydantic" not in message
    assert "\n" not in message
    assert caught.value.__cause__ is None


def test_every_public_setting_says_what_it_is_and_what_it_may_be() -> None:
    free_text = {"redis_url", "redis_username", "redis_password", "venom_redis_server"}
    tokens = {"hive_llm_api_key", "hive_ota_passphrase", "nexus_shared_token", "nexus_shared_token_previous"}
    tree = ast.parse(inspect.getsource(Settings)).body[0]
    assert isinstance(tree, ast.ClassDef)
    documented = {
        node.target.id
        for node, text in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }
    judged = {
        name
        for name, field in Settings.model_fields.items()
        if any(isinstance(mark, Allowed) for mark in field.metadata)
    }
    assert documented == set(Settings.model_fields)
    assert judged == set(Settings.model_fields) - free_text - tokens


def test_arguments_win_over_the_environment_and_that_over_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("HIVE_MAX_RETRIES=1\nHIVE_RESULT_TTL=10\nHIVE_NAMESPACE=file\nUNRELATED=1\n")
    monkeypatch.setenv("HIVE_RESULT_TTL", "20")
    monkeypatch.setenv("HIVE_NAMESPACE", "environment")
    made = Settings.load(hive_namespace="argument")
    assert (made.hive_max_retries, made.hive_result_ttl, made.hive_namespace) == (1, 20, "argument")


def test_an_empty_value_counts_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_PASSWORD", "NEXUS_SHARED_TOKEN", "HIVE_LEASE", "REDIS_URL"):
        monkeypatch.setenv(name, "")
    made = Settings.load()
    assert (made.redis_password, made.nexus_shared_token, made.redis_url, made.hive_lease) == (None, None, None, 6.0)
    assert Settings.load(redis_password="", nexus_shared_token="").redis_password is None
    assert Settings.load(hive_lease=None).hive_lease == 6.0


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings.load().hive_lease = 9.0  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize("profile", ["default", "fast"])
def test_the_profile_sets_the_rhythm_where_it_is_not_given(monkeypatch: pytest.MonkeyPatch, profile: str) -> None:
    monkeypatch.setenv("HIVE_PROFILE", profile)
    made = Settings.load()
    assert (made.hive_heartbeat_interval, made.hive_lease) == ((0.3, 1.2) if profile == "fast" else (1.0, 6.0))
    monkeypatch.setenv("HIVE_LEASE", "5")
    assert Settings.load().hive_lease == 5.0


def test_a_lease_shorter_than_three_heartbeats_is_refused() -> None:
    assert Settings.load(hive_heartbeat_interval=0.1, hive_lease=0.3).hive_lease == 0.3
    with pytest.raises(
        InvalidSetting, match=r"HIVE_LEASE is 6 s, but .* HIVE_HEARTBEAT_INTERVAL \(5 s\), that is 15 s"
    ):
        Settings.load(hive_heartbeat_interval=5)


@pytest.mark.parametrize("name", ["NEXUS_SHARED_TOKEN", "NEXUS_SHARED_TOKEN_PREVIOUS"])
def test_a_short_token_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "hunter2-hunter2")
    with pytest.raises(
        InvalidSetting, match=rf"{name} has 15 characters, but a token must have at least 32\."
    ) as caught:
        Settings.load()
    assert "hunter" not in repr(caught.value)
    monkeypatch.setenv(name, TOKEN)
    assert Settings.load().model_dump()[name.lower()].get_secret_value() == TOKEN


def test_the_secrets_are_every_secret_value_that_is_set_and_what_is_secret_in_an_address() -> None:
    assert Settings.load().secrets() == ()
    names = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
    given = {name: f"{name}-{TOKEN}" for name in names if name != "redis_url"}
    assert set(Settings.load(**given).secrets()) == set(given.values())


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("redis://localhost:6379/0", set()),
        ("redis://user@localhost", set()),
        ("redis://:hunter2@localhost/1", {"hunter2"}),
        ("rediss://user:p%2fq@localhost", {"p%2fq", "p/q"}),
        ("redis://user:a@b:c@localhost", {"a@b:c"}),
        ("unix://:hunter2@/run/redis.sock", {"hunter2"}),
        (
            "redis+sentinel://u:hunter2@h1:1,h2:2/name/0?sentinel_password=se%20cret&x=1",
            {"hunter2", "se cret", "se%20cret"},
        ),
        ("redis://[::1", set()),
    ],
)
def test_the_passwords_in_an_address_are_secrets(url: str, secrets: set[str]) -> None:
    assert set(Settings.load(redis_url=url).secrets()) == secrets


def test_no_secret_shows_in_repr_or_in_an_error() -> None:
    made = Settings.load(redis_password="hunter2", nexus_shared_token=TOKEN, redis_url="redis://:hunter2@h")
    assert "hunter2" not in repr(made) + str(made)
    assert TOKEN not in repr(made) + str(made)
    with pytest.raises(InvalidSetting, match=r"^REDIS_URL is not acceptable, but it must be text\.$"):
        Settings.load(redis_url=["hunter2"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HIVE_LLM_API_KEY", "hidden-key\u0142"),
        ("HIVE_LLM_API_KEY", "hidden key"),
        ("HIVE_LLM_BASE_URL", "https://user:hidden@host/v1"),
        ("HIVE_LLM_BASE_URL", "host/hidden"),
        ("HIVE_LLM_BASE_URL", "https://host/v1?key=hidden"),
    ],
)
def test_a_key_or_address_that_cannot_be_sent_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSetting) as caught:
        Settings.load()
    assert str(caught.value).startswith(name)
    assert "hidden" not in str(caught.value)


def test_private_networks_are_checked_and_the_wrong_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_FETCH_PRIVATE", "10.0.0.0/8, ::1,127.0.0.1")
    assert Settings.load().hive_fetch_private == "10.0.0.0/8, ::1,127.0.0.1"
    monkeypatch.setenv("HIVE_FETCH_PRIVATE", "10.0.0.0/8,intranet")
    with pytest.raises(InvalidSetting, match="HIVE_FETCH_PRIVATE has 'intranet', but it takes networks such as"):
        Settings.load()


def test_the_documents_upper_case_names_work() -> None:
    made = Settings.load(nexus_shared_token=TOKEN)
    assert made.NEXUS_SHARED_TOKEN.get_secret_value() == TOKEN
    assert made.HIVE_MAX_RETRIES == 3
    with pytest.raises(AttributeError, match=r"'HIVE_MAX_RETRY' \(did you mean HIVE_MAX_RETRIES\?\)"):
        _ = made.HIVE_MAX_RETRY
    with pytest.raises(AttributeError):
        _ = made.nothing_like_it


def test_the_module_reads_its_settings_when_first_asked_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_MAX_RETRIES", "7")
    first = config.SETTINGS
    monkeypatch.setenv("HIVE_MAX_RETRIES", "8")
    assert first.hive_max_retries == config.SETTINGS.hive_max_retries == 7
    with pytest.raises(AttributeError, match="no attribute 'SETINGS'"):
        _ = config.SETINGS


def test_an_unknown_hive_name_is_refused_with_the_nearest_match(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_TASK_TIMOUT", "5")
    with pytest.raises(InvalidSetting, match=r"no setting HIVE_TASK_TIMOUT; did you mean HIVE_TASK_TIMEOUT\?"):
        Settings.load()


def test_an_unknown_hive_name_like_no_other_is_refused_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("HIVE_QQQ=5\n")
    with pytest.raises(InvalidSetting, match=r"no setting HIVE_QQQ; remove it or see docs/configuration.md"):
        Settings.load()


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"no setting 'hive_lees' \(did you mean hive_lease\?\)"):
        Settings.load(hive_lees=3)
    with pytest.raises(InvalidSetting, match=r"no setting 'zzzzzz'\."):
        Settings.load(zzzzzz=3)


def test_what_kubernetes_injects_for_a_service_called_hive_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HIVE_SERVICE_HOST": "10.0.0.7",
        "HIVE_SERVICE_PORT": "80",
        "HIVE_SERVICE_PORT_HTTP": "80",
        "HIVE_PORT": "tcp://10.0.0.7:80",
        "HIVE_PORT_80_TCP": "tcp://10.0.0.7:80",
        "HIVE_PORT_80_TCP_ADDR": "10.0.0.7",
        "REDIS_SERVICE_HOST": "10.0.0.8",
    }.items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == Settings()


def test_a_near_miss_of_a_redis_name_is_warned_about_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    setting_names._warn_of_near_miss.cache_clear()
    monkeypatch.setenv("REDIS_PASS", "hunter2")
    monkeypatch.setenv("REDIS_OM_THING", "not ours")
    with caplog.at_level(logging.WARNING, logger="venom.config"):
        Settings.load()
        Settings.load()
    (line,) = caplog.messages
    assert line == "REDIS_PASS is set but not a setting of this hive; if it is meant for it, call it REDIS_PASSWORD."


def test_an_env_file_that_is_no_text_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_bytes(b"HIVE_NAMESPACE=\xff\xfe\n")
    with pytest.raises(InvalidSetting, match=r"The file .env is not UTF-8 text"):
        Settings.load()


def test_a_log_level_may_be_written_small() -> None:
    assert Settings.load(hive_log_level="debug").hive_log_level == "DEBUG"
    with pytest.raises(InvalidSetting, match="HIVE_LOG_LEVEL is 10, but it must be DEBUG"):
        Settings.load(hive_log_level=10)


def test_a_long_wrong_value_is_shortened() -> None:
    with pytest.raises(InvalidSetting) as caught:
        Settings.load(hive_namespace="n" * 10_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "redis://localhost:6379/0"),
        ({"redis_host": "r", "redis_port": 1, "redis_db": 2}, "redis://r:1/2"),
        ({"redis_password": "a:b/c@d"}, "redis://:a%3Ab%2Fc%40d@localhost:6379/0"),
        ({"redis_username": "ü", "redis_password": "p"}, "redis://%C3%BC:p@localhost:6379/0"),
        ({"redis_username": "app"}, "redis://app@localhost:6379/0"),
        ({"redis_host": "::1"}, "redis://[::1]:6379/0"),
        ({"redis_url": "unix:///run/r.sock", "redis_host": "r"}, "unix:///run/r.sock"),
    ],
)
def test_the_address_is_redis_url_or_put_together_from_the_parts(given: dict[str, object], url: str) -> None:
    assert Settings.load(**given).store_url() == url


def test_the_port_that_kubernetes_injects_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "tcp://10.0.0.1:6390")
    assert Settings.load().store_url() == "redis://10.0.0.1:6390/0"
    monkeypatch.setenv("REDIS_HOST", "store")
    assert Settings.load().store_url() == "redis://store:6390/0"
