"""Whom a Spore joins: one address in one form, one root by its fingerprint, and nothing of it changes by accident."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.ota.certificates import make_authority
from tests.ota.folders import snapshot
from tests.ota.hostile_server import HostileServer, serving
from tests.ota.households import PASSPHRASE, SHORT, Household
from tests.servers import free_port
from venom_core.errors import InputError
from venom_core.ota.addresses import parse_base
from venom_core.ota.joining import fingerprint_of, join, read_joined
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.repository import Repository

GOOD = [
    "https://nexus.example",
    "https://nexus.example:8443",
    "https://nexus",
    "https://n-1.xn--bcher-kva.example",
    "https://10.0.0.5:1",
    "https://[2001:db8::1]:65535",
    "http://127.0.0.1:8000",
    "http://127.9.9.9",
    "http://[::1]:8000",
    "http://localhost:8000",
]

ODD = [
    "", "nexus.example", "nexus.example:8443", "//nexus.example", "https:nexus.example", "https:/nexus.example",
    "https://", "https:///", "ftp://nexus.example", "file:///etc/passwd", "HTTPS://nexus.example", "data:,",
    # Whom it is sent to is not whom it seems.
    "https://user@nexus.example", "https://user:pass@nexus.example", "https://nexus.example@evil.example",
    "https://nexus.example\\@evil.example", "https://nexus.example#@evil.example", "https://nexus.example?@evil.example",
    # More than an address.
    "https://nexus.example/path", "https://nexus.example/?query", "https://nexus.example/#part", "https://nexus.example//",
    "https://nexus.example/../", " https://nexus.example", "https://nexus.example ", "https://nexus.example\n",
    "https://nexus.example\r\nX: y", "https://nexus.\texample", "https://nexus.example\x00",
    # Ports.
    "https://nexus.example:", "https://nexus.example:0", "https://nexus.example:080", "https://nexus.example:65536",
    "https://nexus.example:99999999999", "https://nexus.example:-1", "https://nexus.example:８443", "https://nexus.example:a",
    # Addresses that a resolver reads and a filter does not see.
    "https://2130706433", "https://0x7f000001", "https://0x7f.1", "https://017700000001", "https://127.1", "https://0",
    "https://127.0.0.01", "https://0127.0.0.1", "https://127.0.0.1.", "https://1.2.3", "https://1.2.3.4.5",
    "https://256.0.0.1", "https://0.0.0.0", "https://255.255.255.255", "https://224.0.0.1", "https://1e3", "https://a.0x1",
    "https://[::]", "https://[::ffff:127.0.0.1]", "https://[::ffff:7f00:1]", "https://[0:0:0:0:0:0:0:1]", "https://[::0001]",
    "https://[2001:DB8::1]", "https://[fe80::1%25eth0]", "https://[fe80::1%eth0]", "https://[::1", "https://::1", "https://[]",
    "https://[127.0.0.1]", "https://[ff02::1]", "https://[2002:7f00:1::]", "https://[v1.a]",
    # Names that are written in two ways, or in none.
    "https://nexus.example.", "https://.nexus.example", "https://nexus..example", "https://-nexus.example", "https://nexus-",
    "https://Nexus.example", "https://nexus_1.example", "https://nexus%2eexample", "https://nexus.exam%70le", "https://*",
    "https://bücher.example", "https://①②⑦.①", "https://１２７.0.0.1", "https://nexus。example", "https://ｎexus",
    "https://a b",
    "https://" + "a" * 64, "https://" + "a." * 150 + "b", "https://nexus.example:443:443", "https://nexus,example",
    "http://localhost.", "http://LOCALHOST", "http://loc\u200dalhost", "https://nexus.example;x", "https://<nexus>",
]  # fmt: skip

PLAIN = ["http://nexus.example", "http://10.0.0.5:8000", "http://192.168.1.1", "http://[fd00::1]", "http://128.0.0.1"]


@pytest.mark.parametrize("url", GOOD)
def test_an_address_has_one_form(url: str) -> None:
    assert str(parse_base(url)) == url
    assert str(parse_base(f"{url}/")) == url


@pytest.mark.parametrize("url", ODD)
def test_an_odd_address_is_none(url: str) -> None:
    with pytest.raises(UpdateRefused) as caught:
        parse_base(url, insecure=True)
    assert caught.value.code is Code.BAD_URL
    assert "\n" not in str(caught.value)
    assert "give https://" in str(caught.value)


@pytest.mark.parametrize("url", PLAIN)
def test_an_address_without_encryption_is_for_who_asks_for_it(url: str) -> None:
    with pytest.raises(UpdateRefused, match="https") as caught:
        parse_base(url)
    assert caught.value.code is Code.INSECURE_URL
    assert str(parse_base(url, insecure=True)) == url


def fails(code: Code, folder: Path, url: str, fingerprint: str, *, ca: str = "") -> str:
    """Join, be refused with a code, and find the folder as it was."""
    before = snapshot(folder)
    with pytest.raises(UpdateRefused) as caught:
        join(folder, url, fingerprint, ca=ca, patience=SHORT)
    assert caught.value.code is code, str(caught.value)
    assert snapshot(folder) == before
    return str(caught.value)


def test_a_spore_joins_by_the_fingerprint(repository: Repository, hostile: HostileServer, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "trust"
    join(folder, hostile.url + "/", f" SHA256:{repository.fingerprint().upper()} ", "tasks", patience=SHORT)
    assert hostile.names() == ["1.root.json"]
    joined = read_joined(folder)
    assert (joined.url, joined.app, joined.fingerprint) == (hostile.url, "tasks", repository.fingerprint())
    assert [stat.S_IMODE(each.stat().st_mode) for each in (folder, folder.parent)] == [0o700, 0o700]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.json")} == {0o600}
    assert PASSPHRASE not in json.dumps(snapshot(folder))


def test_another_fingerprint_is_another_repository(
    repository: Repository, hostile: HostileServer, tmp_path: Path
) -> None:
    said = fails(Code.BAD_SIGNATURE, tmp_path / "trust", hostile.url, "0" * 64)
    assert repository.fingerprint() in said
    assert not (tmp_path / "trust").exists()


@pytest.mark.parametrize(
    "fingerprint", ["", "abc", "0" * 63, "0" * 65, "g" * 64, "md5:" + "0" * 64, "０" * 64, "0" * 32 + " " + "0" * 32]
)
def test_a_fingerprint_that_is_none_asks_nobody(fingerprint: str, hostile: HostileServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="64 hex digits"):
        join(tmp_path / "trust", hostile.url, fingerprint)
    assert hostile.asked == []


@pytest.mark.parametrize("app", ["", "Tasks", "../x", "a b", "-a", "a" * 65, "zażółć"])
def test_a_name_of_an_app_that_is_none_asks_nobody(app: str, hostile: HostileServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="such as tasks"):
        join(tmp_path / "trust", hostile.url, "0" * 64, app)
    assert hostile.asked == []


def test_a_root_that_its_own_keys_did_not_sign_is_not_joined(household: Household, tmp_path: Path) -> None:
    """Also by who has its fingerprint: somebody may have been handed the wrong one."""
    forge = household.forge()
    path = forge.folder / "1.root.json"
    forge.write(path, forge.signed("root"), forge.keys_of("targets"))
    said = fails(Code.BAD_SIGNATURE, tmp_path / "other", household.server.url, fingerprint_of(path.read_bytes()))
    assert "root was signed by" in said
    signed = forge.signed("targets")
    forge.write(path, signed, forge.keys_of("root"))
    fails(Code.BAD_METADATA, tmp_path / "other", household.server.url, fingerprint_of(path.read_bytes()))
    path.write_bytes(b"{}")
    fails(Code.BAD_METADATA, tmp_path / "other", household.server.url, fingerprint_of(b"{}"))


def test_whatever_the_network_answers_nothing_is_joined(hostile: HostileServer, tmp_path: Path) -> None:
    folder = tmp_path / "trust"
    plans = {
        Code.REDIRECT: lambda answer: answer.say(302, Location="https://example.org/"),
        Code.BAD_ANSWER: lambda answer: answer.say(404),
        Code.TOO_BIG: lambda answer: answer.say(200, b"x" * 512_001),
    }
    for code, plan in plans.items():
        hostile.plan("1.root.json", plan)
        fails(code, folder, hostile.url, "0" * 64)
    said = fails(Code.UNREACHABLE, folder, f"http://127.0.0.1:{free_port()}", "0" * 64)
    assert said.endswith("; check the address, and that a Nexus serves there (HIVE_API_PORT)")
    fails(Code.BAD_URL, folder, "https://127.1", "0" * 64)
    fails(Code.INSECURE_URL, folder, "http://nexus.example", "0" * 64)
    assert not folder.exists()


def test_joining_again_changes_the_address_and_keeps_the_floor(household: Household) -> None:
    floor = (household.trust_folder / "floor.json").read_bytes()
    with serving(household.repository.home / "repository") as other:
        join(household.trust_folder, other.url, household.repository.fingerprint(), patience=SHORT)
        assert (household.trust_folder / "floor.json").read_bytes() == floor
        assert household.trust().base_url == other.url
        assert household.refresh()


def test_another_repository_is_not_joined_over_the_first(household: Household) -> None:
    before = snapshot(household.trust_folder)
    known = household.repository.fingerprint()
    for fingerprint, app, said in (
        ("0" * 64, "tasks", f"follows the fingerprint {known}, and {'0' * 64} was given; compare both"),
        (known, "other", "follows the app tasks, and other was given; check --app"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            join(household.trust_folder, household.server.url, fingerprint, app)
        assert "Only to leave the first for good, remove" in str(caught.value)
    assert snapshot(household.trust_folder) == before


def test_a_spore_that_joined_by_tls_does_not_go_back_to_plain_http(household: Household, tmp_path: Path) -> None:
    authority = make_authority()
    folder = tmp_path / "safe"
    fingerprint = household.repository.fingerprint()
    with serving(household.repository.home / "repository", authority.server_context(tmp_path)) as secure:
        join(folder, secure.url, fingerprint, ca=authority.pem, patience=SHORT)
        assert read_joined(folder).url == secure.url
        assert "not encrypted" in fails(Code.INSECURE_URL, folder, household.server.url, fingerprint)
        fails(Code.TLS, folder, secure.url, fingerprint, ca=make_authority("other").pem)
        fails(Code.TLS, folder, secure.url, fingerprint)


def test_an_authority_that_is_no_certificate_is_said(hostile: HostileServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.pem file"):
        join(tmp_path / "trust", "https://127.0.0.1:1", "0" * 64, ca="no certificate")
    assert not (tmp_path / "trust").exists()
