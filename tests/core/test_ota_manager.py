"""`OTAManager`: packages without a key, hints of four fields, and an `apply_update` that believes none of them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.hives import altered
from tests.ota.folders import snapshot
from tests.ota.hand_wheels import make_wheel
from tests.updater.releasing import PASSPHRASE, Home, Releaser, served
from tests.updater.test_wheels import write_pins
from venom_core.audit_chain import AuditChain
from venom_core.clock import ManualClock
from venom_core.config import Settings
from venom_core.core.allowance import Allowance
from venom_core.core.ota_hint import Hint, hosts
from venom_core.core.ota_manager import OTAManager
from venom_core.errors import InputError
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.ota.refusal import Code, UpdateRefused
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.state import StateFile
from venom_spore.updater.facts import Node
from venom_spore.updater.run import Exit


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "our_skills.py"
    path.write_text("VERSION = 1\n")
    return path


@pytest.fixture
async def broker(settings: Settings, tmp_path: Path) -> AsyncIterator[MessageBroker]:
    """A broker of whoever releases, without a repository yet."""
    own = altered(
        settings, hive_ota_home=str(tmp_path / "ota"), hive_ota_passphrase=PASSPHRASE,
        hive_ota_url="https://nexus.example", hive_ota_interval=0.0, hive_audit_file=str(tmp_path / "audit"),
    )  # fmt: skip
    async with MessageBroker(own) as connected:
        yield connected


@pytest.fixture
def ota(broker: MessageBroker) -> OTAManager:
    return OTAManager(broker)


# ------------------------------------------------------------------------------------------------------- packages


async def test_a_package_needs_no_key(ota: OTAManager, source: Path, tmp_path: Path) -> None:
    package = await ota.create_package("1.0.0", "First", [source])
    assert package.path == tmp_path / "ota" / "packages" / "tasks-1.0.0.zip"
    assert package.package_url == f"https://nexus.example/ota/targets/packages/{package.checksum}.tasks-1.0.0.zip"
    assert (package.version, package.description, package.size) == ("1.0.0", "First", package.path.stat().st_size)
    assert not (tmp_path / "ota" / "keys").exists()
    assert await ota.create_package("1.0.0", "First", [str(source)]) == package


async def test_packages_are_listed_and_the_oldest_cleared_away(ota: OTAManager, source: Path, tmp_path: Path) -> None:
    for version in ("1.0.0", "1.10.0", "1.9.0"):
        await ota.create_package(version, "", [source])
    await ota.create_package("0.1", "", [source], app="other")
    (tmp_path / "ota" / "packages" / "odd.zip").write_bytes(b"no package")
    listed = [(package.app, package.version) for package in await ota.list_packages()]
    assert listed == [("tasks", "1.10.0"), ("tasks", "1.9.0"), ("tasks", "1.0.0"), ("other", "0.1")]
    gone = await ota.cleanup_old_packages(keep=1)
    assert [package.version for package in gone] == ["1.9.0", "1.0.0"]
    assert [package.version for package in await ota.list_packages()] == ["1.10.0", "0.1"]
    assert await ota.cleanup_old_packages() == []
    with pytest.raises(InputError, match="keep is a number"):
        await ota.cleanup_old_packages(keep=-1)


async def test_before_the_first_package_there_is_none(ota: OTAManager) -> None:
    assert await ota.list_packages() == []
    assert await ota.cleanup_old_packages(keep=0) == []


async def test_dependencies_are_those_beside_the_source(ota: OTAManager, source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"requirements\.txt is not there; pin what the package needs"):
        await ota.create_package("1.0", "", [source], include_dependencies=True)
    write_pins(tmp_path / "requirements.txt", make_wheel(tmp_path / "wheelhouse"))
    package = await ota.create_package("1.0", "", [source], include_dependencies=True)
    assert [wheel.name for wheel in package.wheels] == ["acme-1.0-py3-none-any.whl"]
    assert await ota.list_packages() == [package]
    inside = await ota.create_package(
        "2.0", "", [source], requirements=tmp_path / "requirements.txt", wheelhouse=tmp_path / "wheelhouse",
        embed_wheels=True,
    )  # fmt: skip
    assert inside.wheels == ()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"version": "1.0", "source_paths": []}, "at least one file or folder"),
        ({"version": "one", "source_paths": ["our_skills.py"]}, "BAD_METADATA"),
        ({"version": "1.0", "source_paths": ["our_skills.py"], "colour": "red"}, "a package has no 'colour'"),
    ],
)
async def test_what_is_no_package_is_one_sentence(
    arguments: dict[str, object], fault: str, ota: OTAManager, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source.parent)
    with pytest.raises((InputError, UpdateRefused), match=fault):
        await ota.create_package(**arguments)  # type: ignore[arg-type]  # what callers hand in by mistake


@pytest.mark.parametrize(
    ("changed", "start"),
    [
        ({"hive_api_port": 8443}, "http://127.0.0.1:8443/ota/targets/"),
        ({"hive_api_port": 8443, "hive_api_host": "::1"}, "http://[::1]:8443/ota/targets/"),
        ({}, "/ota/targets/"),
    ],
)
async def test_the_address_of_a_package(
    changed: dict[str, object], start: str, broker: MessageBroker, source: Path
) -> None:
    ota = OTAManager(broker, settings=altered(broker.settings, hive_ota_url="", **changed))
    assert (await ota.create_package("1.0", "", [source])).package_url.startswith(start)


# ------------------------------------------------------------------------------------------------------ broadcasts


async def test_without_keys_it_says_how_to_make_them(ota: OTAManager, source: Path) -> None:
    package = await ota.create_package("1.0", "", [source])
    with pytest.raises(InputError, match="make them with: venom ota init"):
        await ota.broadcast_update(package)


async def test_a_broadcast_signs_publishes_and_says_four_things(
    ota: OTAManager, broker: MessageBroker, source: Path, tmp_path: Path
) -> None:
    releaser = Releaser(tmp_path / "ota")
    pubsub = await broker.subscribe_broadcast()
    package = await ota.create_package("1.0", "", [source])
    assert await ota.broadcast_update(package, ["spore-1"]) == 1
    listening = pubsub.listen()
    while (message := await anext(listening))["type"] != "message":
        pass
    order = json.loads(message["data"])
    assert (order["command"], order["data"]) == (
        "UPDATE_SYSTEM",
        {
            "package_url": package.package_url,
            "checksum": package.checksum,
            "target_nodes": ["spore-1"],
            "version": "1.0",
        },
    )
    [signed] = releaser.repository.signed()
    assert signed.sha256 == package.checksum
    assert signed.listing is not None
    assert signed.listing.nodes == ("spore-1",)


async def test_further_nodes_are_signed_too_and_those_there_stay(ota: OTAManager, source: Path, tmp_path: Path) -> None:
    releaser = Releaser(tmp_path / "ota")
    package = await ota.create_package("1.0", "", [source])

    async def nodes_after(target_nodes: list[str] | None) -> tuple[str, ...]:
        await ota.broadcast_update(package, target_nodes)
        [signed] = await asyncio.to_thread(releaser.repository.signed)
        assert signed.listing is not None
        return signed.listing.nodes

    assert await nodes_after(["b"]) == ("b",)
    assert await nodes_after(["a"]) == ("a", "b")
    assert await nodes_after(["b"]) == ("a", "b")
    assert await nodes_after(None) == ("*",)
    assert await nodes_after(["c"]) == ("*",)


async def test_what_is_published_needs_no_passphrase_to_be_told_again(
    ota: OTAManager, broker: MessageBroker, source: Path, tmp_path: Path
) -> None:
    Releaser(tmp_path / "ota")
    package = await ota.create_package("1.0", "", [source])
    without = altered(broker.settings, hive_ota_passphrase=None)
    with pytest.raises(InputError, match="HIVE_OTA_PASSPHRASE"):
        await OTAManager(broker, settings=without).broadcast_update(package)
    await ota.broadcast_update(package)
    assert await OTAManager(broker, settings=without).broadcast_update(package) == 0


# ------------------------------------------------------------------------------------------------------- on a node


@pytest.fixture
def releaser(tmp_path: Path) -> Releaser:
    return Releaser(tmp_path / "signer")


@pytest.fixture
def url(releaser: Releaser) -> Iterator[str]:
    with served(releaser.folder) as address:
        yield address


@pytest.fixture
async def spore(tmp_path: Path, url: str, releaser: Releaser, broker: MessageBroker) -> tuple[OTAManager, Home]:
    """The manager of a node that follows the signer, and its home."""
    home = await asyncio.to_thread(Home, tmp_path / "spore", url, releaser.fingerprint)
    return OTAManager(broker, home=home.layout.home, node=Node("spore-1")), home


def address(url: str, checksum: str, version: str = "1.0") -> str:
    return f"{url}/ota/targets/packages/{checksum}.tasks-{version}.zip"


async def test_what_is_signed_is_staged_and_the_launcher_is_told(
    spore: tuple[OTAManager, Home], releaser: Releaser, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ota, home = spore
    signed = await asyncio.to_thread(releaser.release, "1.0")
    ear, mouth = os.pipe()
    monkeypatch.setenv("VENOM_RELEASE_LINK", str(mouth))
    outcome = await ota.apply_update(address(url, signed.sha256), signed.sha256)
    assert (outcome.exit, outcome.release) == (Exit.STAGED, f"1.0-{signed.sha256[:12]}")
    assert json.loads(os.read(ear, 1000)) == {"say": "staged"}
    assert StateFile(home.layout).load().phase is Phase.STAGED
    os.close(ear)
    os.close(mouth)


@pytest.mark.parametrize("link", ["", "not a number"])
async def test_without_a_launcher_it_waits_for_the_next_start(
    link: str, spore: tuple[OTAManager, Home], releaser: Releaser, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = await asyncio.to_thread(releaser.release, "1.0")
    monkeypatch.setenv("VENOM_RELEASE_LINK", link)
    assert await spore[0].apply_update(address("", signed.sha256), signed.sha256, restart_after=True)


async def test_nobody_is_told_if_no_restart_is_wanted(
    spore: tuple[OTAManager, Home], releaser: Releaser, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = await asyncio.to_thread(releaser.release, "1.0")
    ear, mouth = os.pipe()
    monkeypatch.setenv("VENOM_RELEASE_LINK", str(mouth))
    assert await spore[0].apply_update(address(url, signed.sha256), signed.sha256, restart_after=False)
    os.set_blocking(ear, False)
    with pytest.raises(BlockingIOError):
        os.read(ear, 1)
    os.close(ear)
    os.close(mouth)


EVIL = "ab" * 32


@pytest.mark.parametrize(
    ("package_url", "checksum", "code"),
    [
        (address("http://evil.example", EVIL), EVIL, Code.HOST_NOT_ALLOWED),
        (address("https://{host}", EVIL), EVIL, Code.HOST_NOT_ALLOWED),
        (address("http://user@{host}", EVIL), EVIL, Code.BAD_URL),
        (address("http://0x7f.1", EVIL), EVIL, Code.BAD_URL),
        (address("file:///etc", EVIL), EVIL, Code.BAD_URL),
        (address("{url}", EVIL), EVIL, Code.NOT_SIGNED),
        ("{url}/evil.zip", EVIL, Code.BAD_URL),
        ("{url}/ota/targets/../../keys/x.pem", EVIL, Code.BAD_HINT),
        ("", EVIL, Code.BAD_HINT),
        ("x" * 2000, EVIL, Code.BAD_HINT),
        (5, EVIL, Code.BAD_HINT),
        (address("{url}", EVIL), "AB" * 32, Code.BAD_HINT),
        (address("{url}", EVIL), None, Code.BAD_HINT),
        (address("{url}", "{sha256}"), EVIL, Code.WRONG_HASH),
    ],
)
async def test_what_is_not_signed_is_refused_whatever_a_message_says(
    package_url: object,
    checksum: object,
    code: Code,
    spore: tuple[OTAManager, Home],
    releaser: Releaser,
    url: str,
    tmp_path: Path,
) -> None:
    ota, home = spore
    signed = await asyncio.to_thread(releaser.release, "1.0", nodes=["spore-1"])
    if isinstance(package_url, str):
        package_url = package_url.format(url=url, host=url.partition("//")[2], sha256=signed.sha256)
    before = snapshot(home.layout.releases), home.layout.state_file.read_bytes()
    outcome = await ota.apply_update(package_url, checksum)  # type: ignore[arg-type]  # whatever a message brings
    assert (bool(outcome), outcome.exit, outcome.code) == (False, Exit.REFUSED, code)
    assert (snapshot(home.layout.releases), home.layout.state_file.read_bytes()) == before
    assert list(home.layout.staging.iterdir()) == []
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [(line["event"], line["actor"]) for line in lines] == [("update_refused", "updater")]
    assert json.loads(lines[0]["detail"])["code"] == code
    assert AuditChain(tmp_path / "audit", "spore-1").head().seq == 1


async def test_a_home_that_joined_nothing_says_so(broker: MessageBroker, tmp_path: Path) -> None:
    outcome = await OTAManager(broker, home=tmp_path / "bare").apply_update(address("https://x", EVIL), EVIL)
    assert outcome.code is Code.NOT_JOINED
    assert not (tmp_path / "bare").exists()


async def test_inside_a_spore_the_home_is_that_of_its_launcher(
    broker: MessageBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VENOM_RELEASE_FOLDER", str(tmp_path / "home/releases/1.0-abc"))
    outcome = await OTAManager(broker).apply_update(address("https://x", EVIL), EVIL)
    assert outcome.code is Code.NOT_JOINED
    assert str(tmp_path / "home/trust") in outcome.words


def test_a_host_on_the_list_may_be_named_and_is_never_asked() -> None:
    given = address("https://mirror.example:8443", EVIL)
    assert Hint.read(given, EVIL, "https://nexus.example", hosts(" Mirror.example ,other")).checksum == EVIL
    with pytest.raises(UpdateRefused, match="HIVE_OTA_ALLOWED_HOSTS"):
        Hint.read(given, EVIL, "https://nexus.example", hosts(""))


async def test_metadata_that_is_none_is_one_refusal(spore: tuple[OTAManager, Home], releaser: Releaser) -> None:
    ota, home = spore
    metadata = releaser.repository.files.folder / "timestamp.json"
    metadata.write_text("[" * 10_000)
    outcome = await ota.apply_update(address("", EVIL), EVIL)
    assert outcome.code is Code.BAD_METADATA
    assert StateFile(home.layout).load().phase is Phase.IDLE


async def test_a_flood_of_hints_is_one_line_and_no_looks(
    spore: tuple[OTAManager, Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(spore[0], "_asked", Allowance(2, 60.0, clock))
    codes = [(await spore[0].apply_update("no address", EVIL)).code for _ in range(20)]
    assert codes == [Code.BAD_URL] * 2 + [Code.TOO_SOON] * 18
    assert len((tmp_path / "audit").read_text().splitlines()) == 3
    clock.advance(60)
    assert (await spore[0].apply_update("no address", EVIL)).code is Code.BAD_URL
    assert (await spore[0].apply_update("no address", EVIL)).code is Code.BAD_URL
    assert (await spore[0].apply_update("no address", EVIL)).code is Code.TOO_SOON
    assert len((tmp_path / "audit").read_text().splitlines()) == 6
