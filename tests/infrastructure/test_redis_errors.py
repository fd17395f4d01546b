from __future__ import annotations

import asyncio

import pytest
from redis import exceptions as foreign

from venom_core.errors import StoreError, StoreRefused, StoreUnavailable
from venom_core.infrastructure.redis_errors import foreign_errors, translate


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (foreign.ConnectionError("Error 111 connecting to h:1."), StoreUnavailable, "cannot be reached"),
        (foreign.MaxConnectionsError("Too many connections"), StoreUnavailable, "cannot be reached"),
        (foreign.TimeoutError("Timeout reading from h:1"), StoreUnavailable, "did not answer in time"),
        (foreign.BusyLoadingError("Redis is loading"), StoreUnavailable, "still loading"),
        (foreign.ResponseError("BUSY Redis is busy running a script"), StoreUnavailable, "a long script"),
        (foreign.ResponseError("NOREPLICAS Not enough good replicas to write."), StoreUnavailable, "replica"),
        (foreign.ResponseError("MASTERDOWN Link with MASTER is down"), StoreUnavailable, "lost its master"),
        (foreign.AuthenticationError("invalid username-password pair"), StoreRefused, "REDIS_PASSWORD"),
        (foreign.AuthenticationError("Authentication required."), StoreRefused, "wants a password"),
        (foreign.NoPermissionError("User x has no permissions"), StoreRefused, "ACL right (User x has no permissions)"),
        (foreign.AuthorizationError("no"), StoreRefused, "ACL right"),
        (foreign.ReadOnlyError("You can't write"), StoreRefused, "read-only replica"),
        (foreign.OutOfMemoryError("command not allowed"), StoreRefused, "maxmemory"),
        (foreign.ResponseError("MISCONF Redis is configured to save"), StoreRefused, "disk"),
        (foreign.ResponseError("DENIED Redis is running in protected mode"), StoreRefused, "protected mode"),
        (foreign.InvalidResponse("Protocol error"), StoreRefused, "does not speak the protocol of Redis"),
        (foreign.MovedError("1 h:2"), StoreRefused, "Redis Cluster"),
        (foreign.ResponseError("CROSSSLOT Keys in request don't hash"), StoreRefused, "Redis Cluster"),
        (foreign.ResponseError("ERR The user executing the script can't run this"), StoreRefused, "ACL right"),
        (foreign.ResponseError("ERR ACL failure in script: no"), StoreRefused, "ACL right"),
        (TimeoutError(), StoreUnavailable, "did not answer in time"),
        (ConnectionResetError(), StoreUnavailable, "cannot be reached"),
        (foreign.ConnectionError(), StoreUnavailable, "(ConnectionError)"),
    ],
)
def test_the_stores_faults_become_ours(error: Exception, kind: type[StoreError], said: str) -> None:
    ours = translate(error, "Redis at h:1")
    assert type(ours) is kind
    assert said in str(ours)
    assert str(ours).startswith("Redis at h:1 ")
    assert str(ours).endswith(".")
    assert "\n" not in str(ours)


@pytest.mark.parametrize(
    "error",
    [
        foreign.NoScriptError("No matching script."),
        foreign.ResponseError("WRONGTYPE Operation against a key"),
        foreign.DataError("Invalid input"),
        ValueError("ours"),
        asyncio.CancelledError(),
    ],
)
def test_what_is_no_fault_of_the_store_is_left_alone(error: BaseException) -> None:
    assert translate(error) is None
    with pytest.raises(type(error)) as caught, foreign_errors():
        raise error
    assert caught.value is error


def test_inside_the_block_redis_errors_leave_as_ours_with_their_cause() -> None:
    cause = foreign.ReadOnlyError("You can't write against a read only replica.")
    with (
        pytest.raises(StoreRefused, match=r"^Redis at h:1 is a read-only replica") as caught,
        foreign_errors("Redis at h:1"),
    ):
        raise cause
    assert caught.value.__cause__ is cause


def test_the_callers_own_timeout_passes_through_the_block() -> None:
    with pytest.raises(TimeoutError) as caught, foreign_errors():
        raise TimeoutError
    assert not isinstance(caught.value, StoreError)


def test_a_block_without_an_error_changes_nothing() -> None:
    with foreign_errors():
        answer = 42
    assert answer == 42
