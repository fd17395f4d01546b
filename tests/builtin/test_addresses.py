from __future__ import annotations

import pytest

from venom_core.errors import Forbidden
from venom_spore.builtin.addresses import AddressPolicy

REFUSED = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "nowhere": ["0.0.0.0", "::", "0.1.2.3"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"],
    "link": ["169.254.0.1", "fe80::1", "fe80::1%eth0"],
    "metadata": ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"],
    "shared": ["100.64.0.1", "100.127.255.255"],
    "multicast": ["224.0.0.1", "239.255.255.250", "224.0.1.1", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "203.0.113.7", "2001:db8::1", "fec0::1"],
    "carried": [
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
        "2001:0:7f00:1::1",
    ],
}


@pytest.mark.parametrize("address", [address for listed in REFUSED.values() for address in listed])
def test_an_address_that_is_not_public_is_refused_and_the_setting_named(address: str) -> None:
    with pytest.raises(Forbidden, match=r"'host' leads to .*; to allow its network, name it in HIVE_FETCH_PRIVATE"):
        AddressPolicy().check("host", address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808"]
)
def test_a_public_address_is_allowed(address: str) -> None:
    AddressPolicy().check("host", address)
    AddressPolicy("10.0.0.0/8").check("host", address)


def test_a_network_that_was_named_is_allowed_and_no_other() -> None:
    policy = AddressPolicy(" 10.0.0.0/8, 127.0.0.1 ,fd00::/8,")
    for address in ("10.1.2.3", "127.0.0.1", "::ffff:10.1.2.3", "fd00::1"):
        policy.check("host", address)
    for address in ("127.0.0.2", "172.16.0.1", "fc00::1", "::1", "169.254.169.254"):
        with pytest.raises(Forbidden):
            policy.check("host", address)
