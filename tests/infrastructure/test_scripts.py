from __future__ import annotations

import hashlib

import pytest

from venom_core.infrastructure import scripts
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.scripts import Script, ScriptRunner, load

ALL = [value for value in vars(scripts).values() if isinstance(value, Script)]


def test_every_lua_file_is_loaded_once() -> None:
    files = {path.name.removesuffix(".lua") for path in scripts._ROOT.iterdir() if path.name.endswith(".lua")}
    assert {script.name for script in ALL} == files
    assert len(ALL) == len(files)


@pytest.mark.parametrize("script", ALL, ids=lambda script: str(script.name))
def test_a_script_is_known_by_the_digest_of_what_is_sent(script: Script) -> None:
    assert script.sha == hashlib.sha1(script.source.encode(), usedforsecurity=False).hexdigest()
    for at, key in enumerate(script.keys, 1):
        assert f"local {key.upper()} = KEYS[{at}]\n" in script.source
    assert not script.keys or f"-- keys: {' '.join(script.keys)}\n" in script.source


@pytest.mark.parametrize("script", ALL, ids=lambda script: str(script.name))
async def test_a_server_can_compile_it(link: RedisLink, script: Script) -> None:
    assert await link.command("SCRIPT", "LOAD", script.source) == script.sha.encode()


def test_a_header_that_names_an_unknown_file_fails_when_it_is_read() -> None:
    with pytest.raises(FileNotFoundError):
        load("no-such-script")


async def test_keys_and_arguments_are_sent_in_the_order_of_the_header(link: RedisLink) -> None:
    space = Keyspace("hive", 1)
    runner = ScriptRunner(link, space)
    typed = Script("probe", "return {KEYS, ARGV}", "0" * 40, ("task", "run"), ("a", "b"), typed=True)
    answer = await runner.run(typed, 0, ["x", 7, "rest"], types=["t", "u"], extra=[b"more"])
    assert answer == [
        [b"{hive:0}:task", b"{hive:0}:run", *space.type_keys(0, "t"), *space.type_keys(0, "u"), b"more"],
        [b"2", b"t", b"u", b"x", b"7", b"rest"],
    ]
    plain = Script("probe", "return {KEYS, ARGV}", "1" * 40, (), ("a",), typed=False)
    assert await runner.run(plain, 0, ["x"]) == [[], [b"x"]]
