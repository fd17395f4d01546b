"""`venom ota` on the command line: from keys to a Spore that follows, each error with its next step."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cli.households import VENOM
from tests.cli.terminal import Terminal
from tests.ota.certificates import make_authority
from tests.ota.folders import snapshot
from tests.ota.hostile_server import HostileServer, serving
from tests.ota.households import CHEAP, PASSPHRASE, package
from venom_core.cli import main
from venom_core.config import Settings
from venom_core.domain.order import read_order
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.ota.joining import read_joined
from venom_core.ota.repository import Repository
from venom_core.ota.trust import Trust


@pytest.fixture
def home(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """HIVE_OTA_HOME with a repository of today, and its passphrase in the environment."""
    monkeypatch.setenv("HIVE_OTA_HOME", str(made))
    monkeypatch.setenv("HIVE_OTA_PASSPHRASE", PASSPHRASE)
    return made


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "ota"
    Repository(folder, PASSPHRASE, cost=CHEAP).init(root_keys=3, threshold=2)
    return folder


@pytest.fixture
def served(home: Path) -> Iterator[HostileServer]:
    with serving(home / "repository") as running:
        yield running


def ota(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner(catch_exceptions=False).invoke(main, ["ota", *arguments], input=stdin)


def done(*arguments: str) -> str:
    result = ota(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def refused(*arguments: str, code: int = 1) -> str:
    result = ota(*arguments)
    assert result.exit_code == code, result.stdout
    assert result.stdout == ""
    if code == 1:
        assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_from_keys_to_a_spore_that_follows_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "ota"
    monkeypatch.setenv("HIVE_OTA_HOME", str(home))
    monkeypatch.setenv("HIVE_OTA_PASSPHRASE", PASSPHRASE)
    begun = ota("init", "--root-keys", "2")
    fingerprint = begun.stdout.strip()
    assert len(fingerprint) == 64
    assert f"venom ota join URL {fingerprint}" in begun.stderr
    assert done("verify") == ""
    package(home / "packages", "1.0.0")
    assert "packages/tasks-1.0.0.zip  sha256 " in done("sign", "1.0.0", "--node", "n7", "--tag", "gpu")
    assert done("publish") == "signed anew: snapshot, timestamp\n"
    listed = done("verify").splitlines()
    assert listed[0].startswith("root 1 until ")
    assert listed[-1].split() == ["tasks", "1.0.0", "n7,", "gpu", str(_size(home)), listed[-1].split()[-1]]
    with serving(home / "repository") as served:
        spore = tmp_path / "spore"
        assert (
            done("join", served.url, fingerprint, "--home", str(spore))
            == f"{spore}/trust follows tasks at {served.url}\n"
        )
        assert [each.name for each in Trust(spore / "trust").refresh()] == ["packages/tasks-1.0.0.zip"]
        assert "go back" in done("rollback", "1.0.0")
        [withdrawn] = Trust(spore / "trust").refresh()
    assert withdrawn.listing is not None
    assert withdrawn.listing.withdrawn
    assert done("verify").splitlines()[-1].split()[-1] == "withdrawn"


def _size(home: Path) -> int:
    return (home / "packages" / "tasks-1.0.0.zip").stat().st_size


def test_what_is_signed_and_by_whom_as_json(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a-1.0-py3-none-any.whl").write_bytes(b"wheel")
    done("sign", str(package(tmp_path)), str(tmp_path / "a-1.0-py3-none-any.whl"), "--downgrade-from", "2.0.0")
    done("publish")
    told = json.loads(done("verify", "--json"))
    assert told["fingerprint"] == Repository(home).fingerprint()
    assert list(told["roles"]) == ["root", "timestamp", "snapshot", "release"]
    assert (told["roles"]["root"]["threshold"], len(told["roles"]["root"]["keys"])) == (2, 3)
    first, wheel = told["signed"]
    assert first["listing"]["manifest"]["version"] == "1.0.0"
    assert first["listing"]["downgrade_from"] == ["2.0.0"]
    assert (wheel["name"], wheel["listing"]) == ("wheels/a-1.0-py3-none-any.whl", None)
    assert done("verify").splitlines()[-1].split()[-1] == "wheel"


def test_keys_are_listed_with_role_id_age_and_place(home: Path) -> None:
    done("rotate", "snapshot")
    lines = done("key").splitlines()
    assert lines[0] == f"fingerprint {Repository(home).fingerprint()}"
    assert [line.split()[0] for line in lines[2:]] == ["root"] * 3 + ["release", "snapshot", "timestamp"]
    assert "2 of 3" in lines[2]
    told = json.loads(done("key", "--json"))["keys"]
    assert len({key["keyid"] for key in told}) == 6
    assert all(Path(key["path"]).is_file() and key["age_s"] < 600 for key in told)
    for path in (home / "keys").iterdir():
        path.unlink()
    assert [line.split()[-2:] for line in done("key").splitlines()[2:6]] == [["not", "here"]] * 4
    assert {key["age_s"] for key in json.loads(done("key", "--json"))["keys"][:4]} == {None}


def test_every_role_rotates_and_gets_further_keys(home: Path) -> None:
    for role in ("root", "release", "snapshot", "timestamp"):
        made = done("rotate", role).strip()
        assert made in {key["keyid"] for key in json.loads(done("key", "--json"))["keys"]}
        added = done("key", "--new", role).strip()
        assert done("rotate", role, "--key", added[:8].upper()).strip() != added
    done("rotate", "root", "--threshold", "4")
    assert json.loads(done("verify", "--json"))["roles"]["root"]["threshold"] == 4


def test_a_rotation_says_what_is_wrong_with_it(home: Path) -> None:
    assert "0 keys" in refused("rotate", "root", "--key", "0" * 64)
    assert "venom ota key --json" in refused("rotate", "root", "--key", "ab")
    assert "has 3 keys" in refused("rotate", "root", "--threshold", "9")
    assert "not both" in refused("rotate", "root", "--threshold", "1", "--key", "abc", code=2)
    release = json.loads(done("key", "--json"))["keys"][3]["keyid"]
    assert "is no key of root" in refused("rotate", "root", "--key", release)


def test_a_step_says_what_is_missing(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "venom ota build" in refused("sign", "9.9")
    assert "--renew ROLE" in refused("sign", code=2)
    assert "venom ota verify" in refused("rollback", "9.9")
    assert "holds a repository already" in refused("init")
    monkeypatch.setenv("HIVE_OTA_PASSPHRASE", "wrong horse battery staple")
    assert "the passphrase does not fit" in refused("rotate", "root")
    monkeypatch.delenv("HIVE_OTA_PASSPHRASE")
    assert "give HIVE_OTA_PASSPHRASE" in refused("sign", "--renew", "root")
    assert done("publish", "--due") == "signed anew: nothing, as nothing was due\n"
    monkeypatch.setenv("HIVE_OTA_HOME", str(tmp_path / "nowhere"))
    for command in (("key",), ("verify",), ("publish",), ("rotate", "root"), ("rollback", "1.0")):
        assert "venom ota init" in refused(*command)


def test_roles_are_renewed_before_they_expire(home: Path) -> None:
    before = json.loads(done("verify", "--json"))["roles"]
    for role in ("root", "release"):
        done("sign", "--renew", role)
    done("publish")
    after = json.loads(done("verify", "--json"))["roles"]
    assert [after[role]["version"] - before[role]["version"] for role in ("root", "release")] == [1, 1]


def test_what_is_spoilt_is_found_by_verify(home: Path, tmp_path: Path) -> None:
    done("sign", str(package(tmp_path)))
    done("publish")
    [path] = (home / "repository/targets/packages").iterdir()
    path.write_bytes(path.read_bytes() + b"x")
    assert refused("verify").startswith("venom: WRONG_LENGTH: ")
    (home / "repository/metadata/timestamp.json").write_bytes(b"{}")
    assert refused("verify").startswith("venom: BAD_METADATA: ")


def test_a_damaged_file_is_not_published_and_the_words_mend_it(home: Path, tmp_path: Path) -> None:
    package(home / "packages", "1.0.0")
    done("sign", "1.0.0", "--node", "n 7", "--tag", "gpu", "--downgrade-from", "2.0.0")
    done("publish")
    [path] = (home / "repository/targets/packages").iterdir()
    whole = path.read_bytes()
    told = json.loads(done("verify", "--json"))["signed"]
    fix = "sign it again with: venom ota sign 1.0.0 --node 'n 7' --tag gpu --downgrade-from 2.0.0\n"
    for content, code in ((whole[:-1] + b"x", "WRONG_HASH"), (whole + b"x", "WRONG_LENGTH"), (None, "LOCAL_FAULT")):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        for command in ("publish", "verify"):
            said = refused(command)
            assert said.startswith(f"venom: {code}: {path} ")
            assert said.endswith(fix)
        # What a Nexus does every hour goes on, so that nothing expires by it.
        assert "signed anew: nothing" in done("publish", "--due")
        done(*shlex.split(fix.partition("venom ota ")[2]))
        done("publish")
        assert path.read_bytes() == whole
        assert json.loads(done("verify", "--json"))["signed"] == told


def test_a_damaged_wheel_and_what_was_withdrawn(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a-1.0-py3-none-any.whl").write_bytes(b"wheel")
    done("sign", str(package(tmp_path, app="scan")), str(tmp_path / "a-1.0-py3-none-any.whl"))
    for path in (home / "repository/targets").rglob("*.a-1.0*.whl"):
        path.unlink()
    assert refused("publish").endswith("venom ota sign a-1.0-py3-none-any.whl\n")
    done("sign", str(tmp_path / "a-1.0-py3-none-any.whl"))
    for path in (home / "repository/targets/packages").iterdir():
        path.unlink()
    assert refused("publish").endswith("venom ota sign 1.0.0 --app scan\n")
    # A withdrawal waits for no mending, and signing again would bring back what was withdrawn.
    assert "is withdrawn; Spores" in done("rollback", "1.0.0", "--app", "scan")
    done("publish")
    assert refused("verify").endswith("restore it from a copy\n")


def test_a_second_rollback_says_so_and_changes_nothing(home: Path) -> None:
    package(home / "packages", "1.0.0")
    done("sign", "1.0.0")
    done("rollback", "1.0.0")
    before = snapshot(home)
    assert done("rollback", "1.0.0") == "tasks 1.0.0 is withdrawn already; nothing changes\n"
    assert snapshot(home) == before


def test_a_rollback_that_was_cut_off_is_published_by_the_next(home: Path) -> None:
    package(home / "packages", "1.0.0")
    done("sign", "1.0.0")
    Repository(home, PASSPHRASE).withdraw("1.0.0")
    assert "is withdrawn already" in done("rollback", "1.0.0")
    [signed] = json.loads(done("verify", "--json"))["signed"]
    assert signed["listing"]["withdrawn"]


def test_keys_that_are_missing_are_counted_in_words(home: Path) -> None:
    (home / "keys").rename(home / "away")
    assert "2 keys of root must sign, and fewer are here; bring the others with" in refused("sign", "--renew", "root")
    assert "a key of release must sign, and none is here; bring it with" in refused("sign", "--renew", "release")


def test_keys_that_were_brought_along(home: Path, tmp_path: Path) -> None:
    (home / "keys").rename(tmp_path / "stick")
    assert "--keys FOLDER" in refused("sign", "--renew", "release")
    done("sign", "--renew", "release", "--keys", str(tmp_path / "stick"))


def test_a_spore_joins_over_tls_by_an_authority_of_its_own(home: Path, tmp_path: Path) -> None:
    authority = make_authority()
    (tmp_path / "ca.pem").write_text(authority.pem)
    fingerprint = Repository(home).fingerprint()
    with serving(home / "repository", authority.server_context(tmp_path)) as served:
        arguments = ("join", served.url, fingerprint, "--home", str(tmp_path / "spore"), "--app", "other")
        assert refused(*arguments).startswith("venom: TLS: ")
        done(*arguments, "--ca", str(tmp_path / "ca.pem"))
    joined = read_joined(tmp_path / "spore" / "trust")
    assert (joined.ca, joined.app) == (authority.pem, "other")


def test_a_join_says_what_is_wrong_with_it(served: HostileServer, tmp_path: Path) -> None:
    spore = ("--home", str(tmp_path / "spore"))
    assert "BAD_SIGNATURE" in refused("join", served.url, "0" * 64, *spore)
    assert "--insecure" in refused("join", "http://nexus.example", "0" * 64, *spore)
    assert "BAD_URL" in refused("join", "nexus.example", "0" * 64, *spore)
    assert "64 hex digits" in refused("join", served.url, "it", *spore)
    assert not (tmp_path / "spore").exists()


def test_a_passphrase_is_asked_for_on_a_terminal_twice_for_a_new_one(tmp_path: Path) -> None:
    environment = os.environ | {"HIVE_OTA_HOME": str(tmp_path / "ota")}
    environment.pop("HIVE_OTA_PASSPHRASE", None)
    terminal = Terminal([*VENOM, "ota", "init"], environment, tmp_path)
    try:
        terminal.until("Passphrase of the offline keys")
        terminal.type(f"{PASSPHRASE}\n")
        terminal.until("Repeat for confirmation")
        terminal.type(f"{PASSPHRASE}\n")
        assert terminal.end() == 0
        assert PASSPHRASE not in terminal.screen.text()
    finally:
        terminal.close()
    assert Repository(tmp_path / "ota", PASSPHRASE).exists


def test_without_the_extra_one_sentence_says_how_to_get_it(tmp_path: Path) -> None:
    """And everything else goes on without it."""
    blocked = "import sys; sys.modules['tuf'] = None; from venom_core.cli import main; main(sys.argv[1:])"
    for arguments, said, code in ((["ota", "key"], "pip install '.[ota]'", 1), (["--help"], "", 0)):
        run = subprocess.run(
            [sys.executable, "-c", blocked, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert (run.returncode, said in run.stderr) == (code, True), run.stderr
        assert run.stderr.count("\n") == code


async def test_spores_are_told_to_look_at_once(
    home: Path, broker: MessageBroker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", settings.store_url())
    monkeypatch.setenv("HIVE_NAMESPACE", settings.hive_namespace)
    channel = settings.hive_broadcast_channel
    package(home / "packages", "1.0.0")
    await asyncio.to_thread(done, "sign", "1.0.0")
    messages = broker.hive.link.listen(channel)
    assert await anext(messages) is None  # it listens
    for words in (("publish",), ("rollback", "1.0.0"), ("rollback", "1.0.0")):
        assert "1 listener heard it; only Spores whose venom-launcher has joined" in await asyncio.to_thread(
            done, *words, "--tell"
        )
        heard = await anext(messages)
        assert heard is not None
        assert read_order(broker.hive.seal, heard).command == "UPDATE_SYSTEM"
