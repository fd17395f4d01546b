"""`venom ota status`: what nodes say that they run, whatever they say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.cli.conftest import Venom, told
from venom_core.domain.node import NodeProfile
from venom_core.infrastructure.message_broker import MessageBroker

LEASE_MS = 60_000


async def join(broker: MessageBroker, name: str, release: Any = None, **more: Any) -> None:
    hardware = {} if release is None else {"app_release": release}
    profile = NodeProfile(name=name, release="0.3.0", host="here", hardware=hardware, **more)
    await broker.hive.nodes.join(profile, LEASE_MS)


async def test_an_empty_hive_says_how_to_begin(venom: Venom, broker: MessageBroker) -> None:
    done = await asyncio.to_thread(venom, "ota", "status")
    assert "No Spore is known; start one with: venom-launcher" in done.stdout + done.stderr


async def test_every_spore_and_what_it_runs(venom: Venom, broker: MessageBroker) -> None:
    await join(broker, "bare")
    await join(broker, "base", "0-base")
    await join(broker, "new", "1.2.0-0123456789ab")
    await join(broker, "safe", "0-base", tags=("safe-mode",))
    await join(broker, "nexus", kind="nexus")
    found = told(await asyncio.to_thread(venom, "ota", "status", "--json"))
    assert [(each["name"], each["version"], each["phase"]) for each in found] == [
        ("bare", "", "no launcher"),
        ("base", "", "as installed by hand"),
        ("new", "1.2.0", "released"),
        ("safe", "", "safe mode"),
    ]
    assert found[2] == {
        "name": "new", "state": "online", "release": "1.2.0-0123456789ab", "version": "1.2.0", "sha256": "0123456789ab",
        "phase": "released", "venom_hive": "0.3.0", "host": "here",
    }  # fmt: skip
    table = (await asyncio.to_thread(venom, "ota", "status")).stdout
    assert "1.2.0-0123456789ab" in table
    assert "safe mode" in table


@pytest.mark.parametrize("lie", [5, ["x"], "\x1b[2J" + "x" * 500, ""])
async def test_what_a_node_makes_up_is_shown_as_text_or_not_at_all(
    lie: object, venom: Venom, broker: MessageBroker
) -> None:
    await join(broker, "liar", lie)
    [found] = told(await asyncio.to_thread(venom, "ota", "status", "--json"))
    assert len(found["release"]) <= 100
    assert "\x1b" not in found["release"]
