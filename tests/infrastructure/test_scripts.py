from __future__ import annotations

import hashlib

import pytest

from venom_core.infrastructure import scripts
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.line import Argument
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.scripts import HEAD_BYTES_MAX, HEADS_MAX, Script, ScriptRunner, load

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


PROBE = Script("probe", "return {KEYS, ARGV}", "2" * 40, ("task",), (), typed=True)


async def test_what_is_packed_once_leaves_each_call_its_own_arguments(link: RedisLink) -> None:
    runner = ScriptRunner(link, Keyspace("hive", 2))
    calls: list[list[Argument]] = [["x", b"\r\n\x00", 7, 0.5], [], ["y"] * 600]
    for partition, types in ((0, ["t"]), (1, ["t"]), (0, ["u", "t"]), (0, []), (0, ["t"])):
        for args in calls:
            told = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
            assert await runner.run(PROBE, partition, args, types=types) == [
                runner.keys(PROBE, partition, types),
                [b"%d" % len(types), *(name.encode() for name in types), *told],
            ]


async def test_only_so_much_is_kept_packed(link: RedisLink) -> None:
    runner = ScriptRunner(link, Keyspace("hive", 1))
    many = [f"type{number}" for number in range(HEAD_BYTES_MAX // 50)]
    assert runner.command(PROBE, 0, [], types=many) == runner.command(PROBE, 0, [], types=many)
    assert not runner._heads
    first = runner.command(PROBE, 0, [1], types=["t0"])
    for number in range(HEADS_MAX):
        runner.command(PROBE, 0, [1], types=[f"t{number}"])
        assert len(runner._heads) <= HEADS_MAX
    runner.command(PROBE, 0, [1], types=["one more"])
    assert len(runner._heads) == 1
    assert runner.command(PROBE, 0, [1], types=["t0"]) == first


async def test_a_script_that_tells_others_answers_the_same(link: RedisLink) -> None:
    runner = ScriptRunner(link, Keyspace("hive", 1))
    source = "redis.call('PUBLISH', ARGV[1], 'news') return 'told'"
    teller = Script(
        "probe", source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), (), (), False, True
    )
    heard = link.listen("news-of-tests")
    assert await anext(heard) is None
    for _ in range(2):  # by its source, then by its digest
        assert await runner.run(teller, 0, ["news-of-tests"]) == b"told"
        assert await anext(heard) == b"news"
    await heard.aclose()  # type: ignore[attr-defined]  # it is a generator
