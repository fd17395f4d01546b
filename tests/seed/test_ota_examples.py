"""The documents' examples of signed updates: real keys, a real server, a home that joined, and every word as it stands.

The examples on security are fragments of functions that the documents do not show. They run as they stand in one, and
beside them the same cases are put to what this project does instead.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import shutil
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from tests.hives import altered, until, until_so
from tests.ota.hand_wheels import make_wheel
from tests.seed.documents import LANGUAGES, example, run_example
from tests.tidy.source import ROOT
from tests.updater.releasing import PASSPHRASE, Home, Releaser, served
from venom_core.config import Settings
from venom_core.core.ota_hint import Hint, hosts
from venom_core.core.ota_manager import OTAManager
from venom_core.domain.order import Order, read_order, write_order
from venom_core.domain.seal import Seal
from venom_core.errors import SecurityError
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.requirements import read_requirements
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.releases import read_complete
from venom_spore.launcher.state import StateFile
from venom_spore.updater.facts import Node

TOKEN = "a token that every node of this hive knows"


@pytest.fixture
def releaser(tmp_path: Path) -> Releaser:
    return Releaser(tmp_path / "ota")


@pytest.fixture
def url(releaser: Releaser) -> Iterator[str]:
    with served(releaser.folder) as address:
        yield address


@pytest.fixture
async def message_broker(settings: Settings, releaser: Releaser, url: str) -> AsyncIterator[MessageBroker]:
    """A broker of whoever releases: with the keys, their passphrase and the address of the Nexus."""
    own = altered(
        settings, hive_ota_home=str(releaser.folder), hive_ota_passphrase=PASSPHRASE, hive_ota_url=url,
        hive_ota_interval=0.0, nexus_shared_token=TOKEN,
    )  # fmt: skip
    async with MessageBroker(own) as connected:
        yield connected


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the examples are run in: this project, and one dependency that is pinned."""
    folder = tmp_path / "project"
    for name in ("venom_core", "venom_spore"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    wheel = make_wheel(folder / "wheelhouse")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "requirements.txt").write_text(f"acme==1.0 --hash=sha256:{digest}\n")
    monkeypatch.chdir(folder)
    return folder


async def heard(broker: MessageBroker, into: list[dict[str, Any]]) -> None:
    pubsub = await broker.subscribe_broadcast()
    async for message in pubsub.listen():
        if message["type"] == "message":
            into.append(json.loads(message["data"]))
        elif message["type"] == "subscribe":
            into.append({})


@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_a_nexus_does(language: str, message_broker: MessageBroker, project: Path) -> None:
    orders: list[dict[str, Any]] = []
    listening = asyncio.create_task(heard(message_broker, orders))
    await until(lambda: orders == [{}])
    names = await run_example(example(language, 4), message_broker=message_broker, Path=Path)
    package, ota = names["package"], names["ota"]
    assert (package.version, package.size) == ("1.2.0", package.path.stat().st_size)
    assert package.checksum == hashlib.sha256(package.path.read_bytes()).hexdigest()
    await until(lambda: len(orders) == 2)
    assert orders[1]["command"] == "UPDATE_SYSTEM"
    assert orders[1]["data"] == {
        "package_url": package.package_url,
        "checksum": package.checksum,
        "target_nodes": ["spore-1", "spore-2"],
        "version": "1.2.0",
    }
    assert "signature" in orders[1]
    assert [each.version for each in await ota.list_packages()] == ["1.2.0"]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_what_a_spore_does(
    language: str, message_broker: MessageBroker, releaser: Releaser, url: str, tmp_path: Path
) -> None:
    """Whoever only copies the example gets the release that is signed, and nothing else that he is told of."""
    home = await asyncio.to_thread(Home, tmp_path / "spore", url, releaser.fingerprint)
    ota = OTAManager(message_broker, home=home.layout.home, node=Node("spore-1"))
    hearing = asyncio.create_task(run_example(example(language, 5), message_broker=message_broker, ota=ota, json=json))
    channel = message_broker.settings.hive_broadcast_channel

    async def listens() -> bool:
        _, number = await message_broker.hive.link.command("PUBSUB", "NUMSUB", channel)
        return bool(number)

    await until_so(listens)
    for forged in ("http://evil.example/x", f"{url}/ota/targets/packages/{'0' * 64}.tasks-9.zip"):
        await message_broker.broadcast_control("UPDATE_SYSTEM", {"package_url": forged, "checksum": "0" * 64})
    nexus = OTAManager(message_broker)
    source = tmp_path / "our_skills.py"
    source.write_text("VERSION = 5\n")
    package = await nexus.create_package("5.0", "A release", [source])
    await nexus.broadcast_update(package, target_nodes=["spore-1"])
    state = StateFile(home.layout)
    await until(lambda: state.load().phase is Phase.STAGED, 60)
    assert state.load().next == f"5.0-{package.checksum[:12]}"
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_updating_all_nodes(
    language: str, message_broker: MessageBroker, releaser: Releaser, url: str, project: Path, tmp_path: Path
) -> None:
    names = await run_example(example(language, 9), ota=OTAManager(message_broker), Path=Path)
    for node in ("any", "other"):
        home = await asyncio.to_thread(Home, tmp_path / node, url, releaser.fingerprint)
        outcome = await asyncio.to_thread(home.look, Node(node))
        assert outcome.release == f"1.3.0-{names['package'].checksum[:12]}"
        release = home.layout.release(outcome.release)
        assert (release / "app" / "venom_core" / "nexus.py").is_file()
        assert list(release.glob("venv/lib/*/site-packages/acme.py"))
        assert read_complete(release) is not None


# --------------------------------------------------------------------------------------- what they ask for besides


def fragment(text: str, *arguments: str) -> Callable[..., Any]:
    """The body of a function as the function that it belongs to."""
    names: dict[str, Any] = {
        "SETTINGS": Settings.load(nexus_shared_token=TOKEN), "SecurityError": SecurityError, "hashlib": hashlib,
        "logger": logging.getLogger("documents"), "urlparse": urlparse, "datetime": datetime, "timedelta": timedelta,
    }  # fmt: skip
    exec(f"def fragment({', '.join(arguments)}):\n{textwrap.indent(text, '    ')}\n    return True\n", names)
    found: Callable[..., Any] = names["fragment"]
    return found


def test_only_who_knows_the_token_is_heard() -> None:
    theirs = fragment(example("en", 20), "data")
    assert theirs({"nexus_token": TOKEN})
    assert not theirs({"nexus_token": "another"})
    ours, other = Seal("venom", TOKEN), Seal("venom", TOKEN[::-1])
    order = Order("UPDATE_SYSTEM", {"version": "1.2.0"}, "2026-11-21T18:00:00+00:00")
    assert read_order(ours, write_order(ours, order)) == order
    # The token itself is never sent.
    assert TOKEN.encode() not in write_order(ours, order)
    with pytest.raises(SecurityError):
        read_order(ours, write_order(other, order))


def test_a_package_that_was_altered_is_refused(tmp_path: Path, releaser: Releaser, url: str) -> None:
    theirs = fragment(example("en", 21), "secret_key", "package_data", "expected_signature")
    with pytest.raises(SecurityError, match="Invalid package signature"):
        theirs(b"key", b"package", "0" * 64)
    signed = releaser.release("1.0.0")
    (releaser.repository.targets_folder / signed.served_as).write_bytes(bytes(signed.length))
    assert Home(tmp_path / "spore", url, releaser.fingerprint).look().code is Code.WRONG_HASH


@pytest.mark.parametrize(
    ("base", "allowed"),
    [
        ("https://nexus.internal", True),
        ("http://localhost", True),
        ("https://evil.example", False),
        ("https://nexus.internal.evil.example", False),
        ("https://10.0.0.1", False),
    ],
)
def test_only_hosts_on_the_list_may_be_named(base: str, allowed: bool) -> None:
    theirs = fragment(example("en", 22), "package_url")
    package_url = f"{base}/ota/targets/packages/{'ab' * 32}.tasks-1.0.zip"

    def ours() -> Hint:
        return Hint.read(package_url, "ab" * 32, "https://nexus.internal", hosts("localhost, nexus.internal"))

    if allowed:
        assert theirs(package_url)
        assert ours().path == f"packages/{'ab' * 32}.tasks-1.0.zip"
    else:
        with pytest.raises(SecurityError, match="Package URL not whitelisted"):
            theirs(package_url)
        with pytest.raises(UpdateRefused, match="HOST_NOT_ALLOWED"):
            ours()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("https://evil.example/x.whl", Code.LOCK_URL),
        ("http://evil.example/x.whl", Code.LOCK_URL),
        ("git+https://evil.example/x", Code.LOCK_VCS),
    ],
)
def test_no_requirement_names_an_address(line: str, code: Code, tmp_path: Path) -> None:
    theirs = fragment(example("en", 23), "requirements_path")
    path = tmp_path / "requirements.txt"
    path.write_text(f"acme==1.0 --hash=sha256:{'ab' * 32}\n")
    assert theirs(path)
    assert read_requirements(path)
    path.write_text(f"{line}\n")
    assert theirs(path) is False
    with pytest.raises(UpdateRefused) as caught:
        read_requirements(path)
    assert caught.value.code is code


def test_one_update_an_hour(tmp_path: Path, releaser: Releaser, url: str) -> None:
    theirs = fragment(example("en", 24), "last_update_time")
    assert theirs(None)
    assert theirs(datetime.now() - timedelta(minutes=61))  # noqa: DTZ005 - the documents' clock is naive
    assert theirs(datetime.now() - timedelta(minutes=59)) is False  # noqa: DTZ005 - the documents' clock is naive
    home = Home(tmp_path / "spore", url, releaser.fingerprint)
    releaser.release("1.0.0")
    assert home.look(hive_ota_interval=3600.0)
    home.commit()
    releaser.release("2.0.0")
    assert home.look(hive_ota_interval=3600.0).code is Code.TOO_SOON
