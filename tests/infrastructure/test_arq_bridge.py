"""arq's jobs on the hive's store: the same settings in every form of address, msgpack, and real workers."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT
from tests.servers import SERVER_BINARY, bare_server, free_port
from venom_core.config import Settings
from venom_core.errors import InvalidSetting, InvalidTask, MissingExtra, StoreUnavailable, TaskFailure
from venom_core.infrastructure.arq_bridge import arq_settings, pack_job, unpack_job
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.server_binary import find_server_binary

with_arq = pytest.mark.skipif(
    importlib.util.find_spec("arq") is None, reason="arq is not installed here; .ci/run tests it in the extra `all`"
)
ADDRESS = "redis://ada:s%40cret@store.example:7000/3"


@pytest.fixture
async def queue(broker: MessageBroker, settings: Settings) -> AsyncIterator[str]:
    """The queue of this test's worker; afterwards nothing of arq is left that has no end of its own."""
    name = f"arq:{settings.hive_namespace}"
    yield name
    await broker.arq_pool.delete(name, f"{name}:health-check")


async def work_off(settings: Settings) -> str:
    """Let a real worker run what is queued; what it logged."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "arq", "tests.infrastructure.arq_functions.WorkerSettings", "--burst",
        cwd=ROOT,
        env=os.environ | {"REDIS_URL": settings.store_url(), "HIVE_NAMESPACE": settings.hive_namespace},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(worker.communicate(), 60)
    return said.decode()


@with_arq
async def test_a_real_worker_runs_jobs_from_the_pool(broker: MessageBroker, settings: Settings, queue: str) -> None:
    pool = broker.arq_pool
    assert pool is broker.arq_pool
    jobs = [await pool.enqueue_job("double", number, _queue_name=queue, _expires=60) for number in (1, 2, 21)]
    said = await work_off(settings)
    assert [await job.result(timeout=20) for job in jobs if job] == [2, 4, 42], said


@with_arq
async def test_what_fails_in_a_job_is_raised_by_its_kind_and_text(
    broker: MessageBroker, settings: Settings, queue: str
) -> None:
    job = await broker.arq_pool.enqueue_job("refuse", _queue_name=queue, _expires=60)
    assert job is not None
    assert "refuse failed" in await work_off(settings)
    with pytest.raises(TaskFailure, match="ValueError: not today"):
        await job.result(timeout=20)


@with_arq
async def test_the_pool_lives_as_long_as_the_connection(settings: Settings) -> None:
    broker = MessageBroker(settings)
    with pytest.raises(StoreUnavailable, match="the broker is not connected"):
        _ = broker.arq_pool
    assert broker.redis_settings.database == 0
    await broker.open()
    first = broker.arq_pool
    assert await first.ping()
    await broker.disconnect()
    with pytest.raises(StoreUnavailable, match="the broker is not connected"):
        _ = broker.arq_pool
    async with broker:
        assert broker.arq_pool is not first
        assert await broker.arq_pool.ping()


@with_arq
async def test_the_pool_uses_user_password_and_database(short_dir: Path) -> None:
    port = free_port()
    url = f"redis://:s%40cret@127.0.0.1:{port}/3"
    command = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(short_dir),
        "--save",
        "",
        "--requirepass",
        "s@cret",
    ]
    with bare_server(find_server_binary(SERVER_BINARY), url, *command):
        async with MessageBroker(Settings.load(redis_url=url)) as broker:
            assert broker.arq_pool.connection_pool.connection_kwargs["db"] == 3
            assert await broker.arq_pool.set("x", "y")
            assert await broker.hive.link.command("GET", "x") == b"y"


@with_arq
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (ADDRESS, {"host": "store.example", "port": 7000, "database": 3, "username": "ada", "password": "s@cret"}),
        ("unix:///run/redis.sock?db=2", {"unix_socket_path": "/run/redis.sock", "database": 2, "ssl": False}),
        (
            "rediss://store.example?ssl_ca_certs=ca.pem&ssl_certfile=c.pem&ssl_keyfile=k.pem",
            {
                "ssl": True, "ssl_ca_certs": "ca.pem", "ssl_certfile": "c.pem", "ssl_keyfile": "k.pem",
                "ssl_cert_reqs": "required", "ssl_check_hostname": True,
            },
        ),
        ("rediss://store.example?ssl_cert_reqs=none", {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
        (
            "redis+sentinel://:pw@one:26379,two/shop/1",
            {
                "sentinel": True, "host": [("one", 26379), ("two", 26379)], "sentinel_master": "shop", "database": 1,
                "password": "pw",
            },
        ),
    ],
    ids=["server", "socket", "tls", "tls unverified", "sentinel"],
)  # fmt: skip
def test_every_form_of_address_is_carried_over(url: str, expected: dict[str, Any]) -> None:
    found = vars(arq_settings(Settings.load(redis_url=url)))
    assert {name: found[name] for name in expected} == expected


@with_arq
@pytest.mark.parametrize(
    "url", ["rediss+sentinel://one/shop", "redis+sentinel://one/shop?sentinel_password=pw"], ids=["tls", "login"]
)
def test_what_arq_would_leave_out_is_refused(url: str) -> None:
    with pytest.raises(InvalidSetting, match="arq knows neither TLS nor a login at Sentinels"):
        arq_settings(Settings.load(redis_url=url))


async def test_without_the_extra_one_sentence_names_it(broker: MessageBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arq", None)
    monkeypatch.setitem(sys.modules, "arq.connections", None)
    sentence = r"^arq is not installed; in the clone, run: pip install '\.\[arq\]'$"
    with pytest.raises(MissingExtra, match=sentence):
        _ = broker.arq_pool
    with pytest.raises(MissingExtra, match=sentence):
        _ = broker.redis_settings


def test_a_job_survives_the_way_there_and_back() -> None:
    job = {"t": 1, "f": "double", "a": ("ä", 1.5, None), "k": {"deep": [{"x": True}]}, "et": 1_800_000_000_000}
    assert unpack_job(pack_job(job)) == job | {"a": ["ä", 1.5, None]}


@pytest.mark.parametrize("value", [b"raw", math.nan, {1: 2}, object(), 2**70])
def test_what_json_cannot_say_is_refused_by_its_place(value: Any) -> None:
    with pytest.raises(InvalidTask, match=r"^job\['a'\]\[0\] "):
        pack_job({"f": "double", "a": (value,)})


def test_a_job_that_is_too_big_is_refused() -> None:
    with pytest.raises(InvalidTask, match="the limit is 2,097,152"):
        pack_job({"a": ("x" * 2_097_152,)})


def test_an_exception_crosses_as_its_kind_and_text() -> None:
    found = unpack_job(pack_job({"f": "refuse", "r": KeyError("x"), "s": False}))
    assert isinstance(found["r"], TaskFailure)
    assert str(found["r"]) == "KeyError: 'x'"
    assert "error" not in found


def test_nothing_that_is_no_job_runs_code() -> None:
    with pytest.raises(Exception, match=r"MessagePack|truncated|invalid|trailing"):
        unpack_job(b"cos\nsystem\n(S'true'\ntR.")
