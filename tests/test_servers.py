from __future__ import annotations

from tests.servers import leaked_keys, sync_client
from venom_core.infrastructure.embedded import EmbeddedServer


def test_a_key_without_ttl_or_owner_is_a_leak_and_no_key_is_left(server: EmbeddedServer) -> None:
    client = sync_client(server.url)
    client.set("{leaky:0}:nobody", "x")
    client.set("leaky:untagged", "x")
    client.set("{leaky:0}:leader", "x")
    client.set("{leaky:0}:task", "x")
    client.hset("{leaky:0}:run", "owned", "x")
    client.rpush("{leaky:3}:wake:a type\nwith a line", "owned")
    client.set("{leaky:0}:passing", "x", ex=60)
    faults = leaked_keys(client, "leaky")
    left = client.keys("*leaky*")
    client.close()
    assert sorted(faults) == [
        "leaky:untagged has no TTL and no line in KEYS",
        "{leaky:0}:leader has no TTL, though KEYS says that it leaves by one",
        "{leaky:0}:nobody has no TTL and no line in KEYS",
        "{leaky:0}:task is a string, but KEYS says hash",
    ]
    assert left == []
