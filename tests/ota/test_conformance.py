"""The client command of the public TUF suite, and the attacks of the specification on a client, mounted by ourselves.

Attacks on versions, expiry, hashes and signatures of the four roles stand in test_trust.py; here is what our own
repository never makes: any thresholds, delegations, names and files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ota.hostile_server import HostileServer, serving
from tests.ota.small_world import Signers, SmallWorld
from venom_core.ota.conformance import main


@dataclass
class Client:
    """The command, with folders of its own."""

    world: SmallWorld
    server: HostileServer
    folder: Path

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata"

    @property
    def files(self) -> Path:
        return self.folder / "files"

    def init(self) -> int:
        return main(["--metadata-dir", str(self.metadata), "init", str(self.world.folder / "metadata/1.root.json")])

    def refresh(self) -> int:
        url = f"{self.server.url}/ota/metadata"
        return main(["--metadata-dir", str(self.metadata), "--metadata-url", url, "refresh"])

    def download(self, *names: str) -> int:
        urls = (
            "--metadata-url",
            f"{self.server.url}/ota/metadata/",
            "--target-base-url",
            f"{self.server.url}/ota/targets",
        )
        wanted = [word for name in names for word in ("--target-name", name)]
        folders = ("--metadata-dir", str(self.metadata), "--target-dir", str(self.files))
        return main([*folders, *urls, *wanted, "download"])

    def version(self, role: str) -> int | None:
        """What is believed of a role."""
        path = self.metadata / f"{role}.json"
        return int(json.loads(path.read_bytes())["signed"]["version"]) if path.exists() else None

    def got(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.files.iterdir())]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    world = SmallWorld(tmp_path / "served")
    for name in ("metadata", "files"):
        (tmp_path / "client" / name).mkdir(parents=True)
    with serving(world.folder) as running:
        made = Client(world, running, tmp_path / "client")
        assert made.init() == 0
        assert running.asked == [], "joining asks nobody"
        yield made


def test_what_is_believed_lies_under_plain_names_byte_for_byte(client: Client) -> None:
    assert client.version("root") == 1
    assert client.refresh() == 0
    assert client.server.names() == ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]
    for role in ("root", "snapshot", "targets"):
        served = client.world.folder / "metadata" / f"1.{role}.json"
        assert (client.metadata / f"{role}.json").read_bytes() == served.read_bytes()
    assert sorted(path.name for path in client.metadata.glob("*.json")) == [
        "root.json", "snapshot.json", "targets.json", "timestamp.json",
    ]  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"{}", b'{"signed": {"_type": "root"}, "signatures": []}'])
def test_a_first_root_that_is_none_is_refused_when_it_is_used(data: bytes, client: Client) -> None:
    (client.metadata / "own" / "first_root.json").write_bytes(data)
    assert client.refresh() == 1
    assert client.version("timestamp") is None


def test_a_first_root_that_nobody_signed_is_refused(client: Client) -> None:
    path = client.metadata / "own" / "first_root.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"signatures": []}))
    assert client.refresh() == 1


def test_the_command_is_one_that_a_suite_can_start(client: Client) -> None:
    words = [sys.executable, "-m", "venom_core.ota.conformance", "--metadata-dir", str(client.metadata)]
    url = f"{client.server.url}/ota/metadata"
    run = subprocess.run([*words, "--metadata-url", url, "refresh"], env=dict(os.environ), check=False, timeout=60)
    assert run.returncode == 0
    refused = subprocess.run(
        [*words, "--metadata-url", f"{url}/none", "refresh"], capture_output=True, text=True, check=False, timeout=60
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("BAD_ANSWER: ")
    assert refused.stderr.count("\n") == 1


R = Signers
ROOTS: dict[str, tuple[list[Signers], bool]] = {
    "one key, as before": ([R((1,)), R((1,))], True),
    "one key, replaced": ([R((1,)), R((2,), 1, (2, 1))], True),
    "one key, replaced, not signed by the old": ([R((1,)), R((2,), 1, (2, 3))], False),
    "one key, replaced, not signed by the new": ([R((1,)), R((2,), 1, (1, 3))], False),
    "one key, replaced twice": ([R((1,)), R((2,), 1, (2, 1)), R((3,), 1, (3, 2))], True),
    "one key, replaced twice, the second by the first": ([R((1,)), R((2,), 1, (2, 1)), R((3,), 1, (3, 1))], False),
    "three of five, two replaced": ([R((0, 1, 2, 3, 4), 3, (0, 2, 4)), R((0, 2, 4, 5, 6), 3, (0, 2, 4))], True),
    "three of five, one replaced, signed by all who count": (
        [R((0, 1, 2, 3, 4), 3, (0, 2, 4)), R((0, 1, 3, 4, 5), 3, (0, 2, 4, 1))], True,
    ),
    "three of five, too few of the new": (
        [R((0, 1, 2, 3, 4), 3, (0, 2, 4)), R((0, 1, 3, 4, 5), 3, (0, 2, 4))], False,
    ),
    "three of five, too few of the old": (
        [R((0, 1, 2, 3, 4), 3, (0, 2, 4)), R((0, 1, 3, 4, 5), 3, (0, 4, 5))], False,
    ),
    "more must sign from now on": ([R((1, 2, 3), 1, (1,)), R((1, 2, 3), 2, (1, 2))], True),
    "more must sign, and fewer do": ([R((1, 2, 3), 1, (1,)), R((1, 2, 3), 2, (2,))], False),
    "fewer must sign from now on": ([R((1, 2, 3), 2, (1, 2)), R((1, 2, 3), 1, (1, 3))], True),
    "fewer must sign, but the old root asked for more": ([R((1, 2, 3), 2, (1, 2)), R((1, 2, 3), 1, (1,))], False),
}  # fmt: skip


@pytest.mark.parametrize("name", ROOTS)
def test_roots_follow_each_other_by_the_keys_of_both(name: str, tmp_path: Path) -> None:
    rounds, believed = ROOTS[name]
    world = SmallWorld(tmp_path / "served")
    (tmp_path / "served/metadata/1.root.json").unlink()
    world.versions["root"] = 0
    for folder in ("metadata", "files"):
        (tmp_path / folder).mkdir()
    for signers in rounds:
        world.signers["root"] = signers
        world.root()
    with serving(world.folder) as running:
        made = Client(world, running, tmp_path)
        assert made.init() == 0
        assert made.refresh() == (0 if believed else 1)
        assert made.version("root") == (len(rounds) if believed else len(rounds) - 1)


OTHERS: dict[str, tuple[Signers, bool]] = {
    "replaced": (R((2,)), True),
    "replaced, signed by the old": (R((2,), 1, (0,)), False),
    "signed by strangers too": (R((0,), 1, (3, 0, 4)), True),
    "three of five": (R((0, 1, 2, 3, 4), 3, (0, 2, 4)), True),
    "three of five, others": (R((0, 1, 2, 3, 4), 3, (4, 1, 3)), True),
    "three of five, one a stranger": (R((0, 1, 3, 4, 5), 3, (0, 2, 4)), False),
    "three of five, one missing": (R((0, 1, 2, 3, 4), 3, (0, 4)), False),
    "more than there are": (R((0, 1), 3, (0, 1)), False),
}


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("name", OTHERS)
def test_enough_of_the_keys_of_a_role_must_sign_it(name: str, role: str, client: Client) -> None:
    assert client.refresh() == 0
    signers, believed = OTHERS[name]
    client.world.signers[role] = signers
    client.world.root()
    client.world.publish()
    assert client.refresh() == (0 if believed else 1)
    assert (client.version(role) == 2) is believed


def test_a_signature_that_does_not_fit_spoils_no_others(client: Client) -> None:
    """One of three is rubbish, and two are asked for."""
    client.world.signers["timestamp"] = R((0, 1, 2), 2)
    client.world.root()
    client.world.publish()
    path = client.world.folder / "metadata/timestamp.json"
    content = json.loads(path.read_bytes())
    content["signatures"][1]["sig"] = "00" * 64
    path.write_text(json.dumps(content))
    assert client.refresh() == 0
    content["signatures"][2]["sig"] = "no hexadecimal"
    path.write_text(json.dumps(content))
    (client.metadata / "timestamp.json").unlink()
    assert client.refresh() == 1


def test_files_are_downloaded_and_kept(client: Client) -> None:
    client.world.target("a.txt", b"one")
    client.world.target("folder/deep/b.txt", b"two")
    client.world.publish()
    assert client.download("a.txt", "folder/deep/b.txt") == 0
    assert client.got() == [b"one", b"two"]
    client.server.asked.clear()
    assert client.download("folder/deep/b.txt", "a.txt") == 0
    assert not [path for path, _ in client.server.asked if "/targets/" in path], "what is kept is not asked for again"
    client.world.target("a.txt", b"one, changed")
    client.world.publish()
    assert client.download("a.txt") == 0
    assert client.got() == [b"one, changed", b"two"]


def test_a_file_that_is_not_the_signed_one_is_not_kept(client: Client) -> None:
    path = client.world.target("a.txt", b"signed")
    client.world.target("b.txt", b"also signed")
    client.world.publish()
    for other in (b"forged", b"signe", b"signed and more", b""):
        path.write_bytes(other)
        assert client.download("a.txt", "b.txt") == 1
        assert client.got() == [], "it stops at the first that fails"
    path.unlink()
    assert client.download("a.txt") == 1
    assert client.download("nobody signed this") == 1
    assert client.got() == []


@pytest.mark.parametrize(
    ("hashes", "code"), [(("sha256",), 0), (("sha512",), 0), (("sha256", "sha512"), 0), (("sha1", "sha256"), 0)]
)
def test_a_file_is_known_by_any_hash(hashes: tuple[str, ...], code: int, client: Client) -> None:
    client.world.target("a.txt", b"one", hashes=hashes)
    client.world.publish()
    assert client.download("a.txt") == code


def test_a_hash_that_nobody_knows_is_no_proof(client: Client) -> None:
    client.world.target("a.txt", b"one")
    client.world.roles["targets"]["targets"]["a.txt"]["hashes"] = {"rot13": "bar"}
    (client.world.folder / "targets/bar.a.txt").write_bytes(b"one")
    client.world.publish()
    assert client.download("a.txt") == 1
    assert client.got() == []


def asked_roles(client: Client) -> list[str]:
    top = ("root", "timestamp", "snapshot", "targets")
    roles = [name.removesuffix(".json").split(".", 1)[-1] for name in client.server.names()]
    return [role for role in roles if role not in top and role.islower() and len(role) == 1]


def test_delegations_are_asked_in_their_order_and_only_where_they_answer(client: Client) -> None:
    world = client.world
    world.delegate("targets", "a", ["*.txt"])
    world.delegate("targets", "b", ["*"])
    world.delegate("targets", "c", ["*.bin"])
    world.delegate("a", "d", ["*"])
    world.target("one.txt", b"of b", "b")
    world.target("one.txt", b"of c", "c")
    world.publish()
    assert client.download("one.txt") == 0
    assert client.got() == [b"of b"]
    assert asked_roles(client) == ["a", "d", "b"]


def test_a_delegation_that_ends_the_search_ends_it(client: Client) -> None:
    world = client.world
    world.delegate("targets", "a", ["*"], terminating=True)
    world.delegate("a", "b", ["*"])
    world.delegate("targets", "c", ["*"])
    world.target("one.txt", b"of c", "c")
    world.publish()
    assert client.download("one.txt") == 1
    assert asked_roles(client) == ["a", "b"]


def test_delegations_in_a_circle_are_walked_once(client: Client) -> None:
    world = client.world
    world.delegate("targets", "a", ["*"])
    world.delegate("a", "b", ["*"])
    world.delegate("b", "a", ["*"])
    world.delegate("b", "c", ["*"])
    world.publish()
    assert client.download("nobody signed this") == 1
    assert asked_roles(client) == ["a", "b", "c"]


def test_a_chain_of_delegations_has_an_end(client: Client) -> None:
    names = [f"r{number}" for number in range(40)]
    for parent, child in zip(["targets", *names], names, strict=False):
        client.world.delegate(parent, child, ["*"])
    client.world.target("one.txt", b"far", names[-1])
    client.world.publish()
    assert client.download("one.txt") == 1
    assert "1.r20.json" in client.server.names()
    assert "1.r35.json" not in client.server.names()


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        ("*.txt", "a.txt", True), ("*.txt", "b/a.txt", False), ("*/a.txt", "b/a.txt", True), ("b/*", "b/a.txt", True),
        ("?.txt", "a.txt", True), ("?.txt", "ab.txt", False), ("a.txt", "a.txt", True), ("A.txt", "a.txt", False),
        ("*", "b/a.txt", False), ("**", "b/a.txt", False), ("*/*", "b/a.txt", True), ("[ab].txt", "a.txt", True),
    ],
)  # fmt: skip
def test_a_pattern_of_paths_does_not_reach_below_its_folder(
    pattern: str, name: str, found: bool, client: Client
) -> None:
    client.world.delegate("targets", "a", [pattern])
    client.world.target(name, b"one", "a")
    client.world.publish()
    assert client.download(name) == (0 if found else 1)


def test_a_role_by_two_ways_is_judged_on_each(client: Client) -> None:
    """What one delegator trusts is not trusted by another who asks for other keys (python-tuf issue 2977)."""
    world = client.world
    world.delegate("targets", "a", ["one.txt"])
    world.delegate("targets", "b", ["*"])
    world.delegate("a", "c", ["*"], signers=Signers((1,)))
    world.delegate("b", "c", ["*"], signers=Signers((2,)))
    world.target("one.txt", b"one", "c")
    world.target("two.txt", b"two", "c")
    world.publish()
    assert client.download("one.txt") == 0
    assert client.download("two.txt") == 1, "c is not signed by the key that b asks for"
    assert client.download("one.txt", "two.txt") == 1
    assert client.got() == [b"one"]


def test_a_role_that_the_snapshot_does_not_name_is_not_believed(client: Client) -> None:
    world = client.world
    world.delegate("targets", "a", ["*"])
    world.target("one.txt", b"one", "a")
    world.publish()
    del world.roles["a"]
    world.publish()
    assert (world.folder / "metadata/1.a.json").is_file()
    assert client.download("one.txt") == 1
    assert client.got() == []


@pytest.mark.parametrize("role", ["?", "#", "/role", "../role", "..", "a b", "%2e%2e", "ż", "x" * 100])
def test_an_unusual_name_of_a_role_leads_nowhere_else(role: str, client: Client) -> None:
    client.world.delegate("targets", role, ["*"])
    client.world.target("one.txt", b"one", role)
    client.world.publish()
    assert client.download("one.txt") == 0
    assert len(list(client.metadata.glob("*.json"))) == 5
    folders = {path.parent for path in client.folder.rglob("*") if path.is_file()}
    assert folders == {client.metadata, client.metadata / "root_history", client.metadata / "own", client.files}


def test_a_version_below_what_was_seen_is_refused_after_the_cache_is_gone(client: Client) -> None:
    client.world.publish()
    assert client.refresh() == 0
    for name in ("timestamp.json", "snapshot.json", "targets.json"):
        (client.metadata / name).unlink()
    client.world.versions = dict.fromkeys(client.world.versions, 0) | {"root": 1}
    client.world.publish()
    assert client.refresh() == 1
