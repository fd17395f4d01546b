from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.api.test_serving import free_port
from tests.hives import until
from tests.updater.releasing import PASSPHRASE
from venom_core.api.renewal import Renewal
from venom_core.api.serving import nexus_http
from venom_core.clock import Clock, ManualClock
from venom_core.config import Settings
from venom_core.ota.repository import Repository
from venom_core.ota.whole_files import only_one

HOUR_S = timedelta(hours=1).total_seconds()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall_ms=Clock().now_ms())


@pytest.fixture
def folder(tmp_path: Path, clock: ManualClock) -> Path:
    """HIVE_OTA_HOME on a Nexus: the offline keys have been taken away."""
    Repository(tmp_path, PASSPHRASE, clock=clock).init()
    shutil.rmtree(tmp_path / "keys")
    return tmp_path


def test_the_timestamp_is_signed_before_half_its_life_is_over(folder: Path, clock: ManualClock) -> None:
    renewal = Renewal(folder, clock)
    assert renewal.renew() == ()
    clock.advance(11 * HOUR_S)
    assert renewal.renew() == ()
    clock.advance(1 * HOUR_S + 1)
    assert renewal.renew() == ("timestamp",)
    assert renewal.renew() == ()
    clock.advance(4 * 24 * HOUR_S)
    assert renewal.renew() == ("snapshot", "timestamp")


def test_what_needs_an_offline_key_is_said_once(
    folder: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    renewal = Renewal(folder, clock)
    clock.advance(60 * 24 * HOUR_S)
    renewal.renew()
    renewal.renew()
    assert caplog.text.count("renew it with: venom ota sign --renew release") == 1


def test_without_a_repository_or_without_keys_a_nexus_only_serves(
    folder: Path, clock: ManualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert Renewal(tmp_path / "nothing").renew() == ()
    shutil.rmtree(folder / "online")
    clock.advance(20 * HOUR_S)
    renewal = Renewal(folder, clock)
    assert renewal.renew() == renewal.renew() == ()
    assert caplog.text.count("are not kept fresh") == 1


def test_two_on_one_folder_keep_out_of_each_others_way(
    folder: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    renewal = Renewal(folder, clock)
    clock.advance(20 * HOUR_S)
    with only_one(folder) as alone:
        assert alone
        assert renewal.renew() == ()
    assert renewal.renew() == ("timestamp",)
    assert "another process is changing" in caplog.text


async def test_a_nexus_renews_as_soon_as_it_serves(folder: Path) -> None:
    timestamp = folder / "repository" / "metadata" / "timestamp.json"
    old = ManualClock(wall_ms=Clock().now_ms() - round(20 * HOUR_S * 1000))
    await asyncio.to_thread(Repository(folder, clock=old).publish)
    before = timestamp.read_bytes()
    async with nexus_http(Settings.load(hive_ota_home=str(folder), hive_api_port=free_port())):
        await until(lambda: timestamp.read_bytes() != before)
