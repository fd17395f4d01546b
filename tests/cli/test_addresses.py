from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from venom_core.commands.addresses import Address, check_bind, own_addresses, shown_to_others
from venom_core.commands.kept_secrets import PASSWORD, find_secret, keep_secret
from venom_core.errors import InputError

OWN: list[Address] = [ip_address(text) for text in ("10.0.0.5", "8.8.8.8", "fd00::5", "fe80::1", "127.0.0.1", "::1")]


@pytest.mark.parametrize("text", ["10.0.0.5", "fd00::5", "127.0.0.1", "::1"])
def test_a_private_address_of_this_machine_may_be_bound(text: str) -> None:
    assert str(check_bind(text, OWN, all_networks=False)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.0.0.0", "every network this machine is in"),
        ("::", "every network this machine is in"),
        ("8.8.8.8", "is a public address"),
        ("10.0.0.6", "is no address of this machine; it has: 10.0.0.5"),
        ("localhost", "takes an address"),
        ("", "takes an address"),
    ],
)
def test_an_open_or_foreign_address_is_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_bind(text, OWN, all_networks=False)


def test_the_explicit_word_opens_it() -> None:
    for text in ("0.0.0.0", "8.8.8.8", "::"):
        assert str(check_bind(text, OWN, all_networks=True)) == text
    with pytest.raises(InputError, match="no address of this machine"):
        check_bind("10.0.0.6", OWN, all_networks=True)
    with pytest.raises(InputError, match="no other than the loopback"):
        check_bind("x", [ip_address("127.0.0.1")], all_networks=True)


def test_others_call_an_open_server_by_an_address_they_may_reach() -> None:
    assert shown_to_others(ip_address("10.0.0.5"), OWN) == "10.0.0.5"
    assert shown_to_others(ip_address("0.0.0.0"), OWN) == "10.0.0.5"
    assert shown_to_others(ip_address("::"), OWN) == "fd00::5"
    assert shown_to_others(ip_address("::"), [ip_address("127.0.0.1")]) == "::"


def test_this_machine_has_a_loopback_and_it_comes_last() -> None:
    own = own_addresses()
    assert ip_address("127.0.0.1") in own
    assert own[-1].is_loopback


def test_a_secret_is_made_once_and_kept_for_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert find_secret(folder, PASSWORD) is None
    made = keep_secret(folder, PASSWORD)
    assert keep_secret(folder, PASSWORD) == find_secret(folder, PASSWORD) == made
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / PASSWORD).chmod(0o640)
    with pytest.raises(InputError, match="can be read by others"):
        find_secret(folder, PASSWORD)
    (folder / PASSWORD).chmod(0o600)
    for wrong in ("short", "x" * 1_000):
        (folder / PASSWORD).write_text(wrong)
        with pytest.raises(InputError, match="holds no password of 32 characters"):
            keep_secret(folder, PASSWORD)
    (folder / PASSWORD).unlink()
    (folder / PASSWORD).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("y" * 40)
    with pytest.raises(InputError, match="can be read by others"):
        find_secret(folder, PASSWORD)
