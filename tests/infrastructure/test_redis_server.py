from __future__ import annotations

import logging

import pytest

from venom_core.errors import StoreError, StoreRefused, StoreTooOld
from venom_core.infrastructure.redis_server import ServerFacts, judge_server, read_hello, read_info

VALKEY = b"# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\nserver_mode:standalone\r\n"
REDIS = b"# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrole:slave\r\nslave_read_only:1\r\n"


def test_valkey_is_known_by_its_own_version_field() -> None:
    assert read_info(VALKEY) == ServerFacts("Valkey", "8.1.0", "standalone")


def test_redis_is_known_with_role_and_settings() -> None:
    told = read_info(REDIS + b"maxmemory_policy:allkeys-lru\r\naof_enabled:1\r\n")
    assert told == ServerFacts("Redis", "7.0.15", "standalone", True, "allkeys-lru", "1")
    assert read_info(REDIS + b"cluster_enabled:1\r\n").mode == "cluster"
    assert not read_info(b"role:slave\r\nslave_read_only:0\r\n").replica


def test_hello_tells_the_same_to_a_user_without_info() -> None:
    reply = [b"server", b"valkey", b"version", b"9.1.2", b"proto", 2, b"mode", b"standalone", b"role", b"replica"]
    assert read_hello(reply) == ServerFacts("Valkey", "9.1.2", "standalone", replica=True)
    assert read_hello([b"server", b"redis", b"version", b"7.0.15", b"role", b"master"]) == ServerFacts(
        "Redis", "7.0.15"
    )


@pytest.mark.parametrize(
    ("facts", "kind", "said"),
    [
        (ServerFacts("Redis", "6.2.14"), StoreTooOld, "is Redis 6.2.14, but a hive needs Redis 7.0"),
        (ServerFacts("Valkey", "7.1"), StoreTooOld, "is Valkey 7.1, but"),
        (ServerFacts("Redis", "unheard-of"), StoreTooOld, "is Redis unheard-of, but"),
        (ServerFacts("Redis", "7.0.0", "sentinel"), StoreRefused, "write the address as redis+sentinel://"),
        (ServerFacts("Redis", "7.0.0", "cluster"), StoreRefused, "Redis Cluster"),
        (ServerFacts("Redis", "7.0.0", "standalone", replica=True), StoreRefused, "read-only replica"),
    ],
)
def test_an_unfit_server_is_refused_in_one_sentence(facts: ServerFacts, kind: type[StoreError], said: str) -> None:
    with pytest.raises(kind) as caught:
        judge_server(facts, "Redis at h:1")
    assert str(caught.value).startswith("Redis at h:1 is ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "facts",
    [ServerFacts(), ServerFacts("Redis", "7.0.0"), ServerFacts("Valkey", "7.2.4", "", False, "noeviction", "1")],
)
def test_a_fit_server_passes_in_silence(facts: ServerFacts, caplog: pytest.LogCaptureFixture) -> None:
    judge_server(facts, "Redis at h:1")
    assert caplog.messages == []


def test_a_server_that_may_lose_tasks_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="venom.store"):
        judge_server(ServerFacts("Redis", "7.0.0", "", False, "allkeys-lru", "0"), "Redis at h:1")
    evicts, forgets = caplog.messages
    assert "maxmemory-policy allkeys-lru" in evicts
    assert "appendonly yes" in forgets
