from __future__ import annotations

from pathlib import Path

from tests.servers import PrivateServer, bare_server, free_port, sync_client
from venom_core.config import Settings
from venom_core.infrastructure.redis_address import parse_address
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.server_health import lets_strangers_in, read_health


async def test_a_server_says_how_it_is(link: RedisLink) -> None:
    health = await read_health(link)
    assert int(health.info["used_memory"]) > 0
    assert health.config["port"] == "0"
    assert health.config["maxmemory-policy"] == "noeviction"
    assert health.clients


async def test_a_user_who_may_not_ask_learns_nothing(private_server: PrivateServer) -> None:
    client = private_server.client()
    client.execute_command("ACL", "SETUSER", "plain", "on", ">pw", "~*", "&*", "+@all", "-info", "-config", "-client")  # type: ignore[no-untyped-call]  # redis-py says no type
    client.execute_command("ACL", "SETUSER", "plain", "+client|setinfo", "+client|setname")  # type: ignore[no-untyped-call]  # redis-py says no type
    client.close()
    url = private_server.url.replace("unix://", "unix://plain:pw@")
    async with RedisLink(Settings.load(redis_url=url)) as plain:
        health = await read_health(plain)
    assert (health.info, health.config, health.clients) == ({}, {}, None)


def test_whether_strangers_get_in_is_tried(debian_redis: str, short_dir: Path) -> None:
    port = free_port()
    open_url, closed_url = f"redis://127.0.0.1:{port}", f"redis://:secret@127.0.0.1:{port}"
    with bare_server(debian_redis, open_url, "--port", str(port), "--save", "", "--dir", str(short_dir)):
        assert lets_strangers_in(parse_address(open_url)) is True
        client = sync_client(open_url)
        client.config_set("requirepass", "secret")
        client.close()
        assert lets_strangers_in(parse_address(closed_url)) is False
    assert lets_strangers_in(parse_address(closed_url)) is None
    assert lets_strangers_in(parse_address("redis+sentinel://127.0.0.1:1/mymaster")) is None
