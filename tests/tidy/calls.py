"""Calls that stand in one place only, or nowhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.tidy.floors import imports
from tests.tidy.shape import functions
from tests.tidy.source import Source

PRINTS = ("venom_core/cli.py", "venom_core/demo/", "venom_core/nexus.py", "venom_spore/main.py")
READS_ENVIRONMENT = (
    "venom_core/config.py",
    "venom_core/cli.py",
    "venom_core/nexus.py",
    "venom_core/demo/",
    "venom_spore/main.py",
    "venom_spore/launcher/__main__.py",
)
READS_CLOCK = ("venom_core/clock.py",)
SPEAKS_REDIS = ("venom_core/infrastructure/",)

PICKLES = frozenset({"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve"})
CLOCKS = frozenset({
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today",
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns",
})  # fmt: skip
ENVIRONMENT = frozenset({"os.environ", "os.getenv", "os.environb", "os.putenv"})
REDIS_COMMANDS = frozenset({
    "execute_command", "eval", "evalsha", "fcall", "script_load", "register_script", "pipeline", "pubsub",
    "blpop", "brpop", "blmove", "bzpopmin", "bzpopmax", "bzmpop", "blmpop",
    "hget", "hset", "hsetnx", "hmget", "hgetall", "hdel", "hincrby", "hexists", "hlen", "hscan",
    "lpush", "rpush", "lpop", "rpop", "lrange", "ltrim", "llen", "lrem", "lmove", "lindex",
    "sadd", "srem", "smembers", "sismember", "scard",
    "zadd", "zrem", "zrange", "zrangebyscore", "zcard", "zscore", "zpopmin", "zincrby", "zrank", "zcount",
    "xadd", "xread", "xreadgroup", "xack", "xrange", "xlen", "xtrim", "xautoclaim", "xdel",
    "incrby", "decrby", "setex", "psetex", "setnx", "getdel", "mget", "mset", "pexpire", "expireat",
    "pttl", "scan_iter",
})  # fmt: skip


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a chain of names; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def _calls(source: Source, names: frozenset[str], fault: str) -> list[str]:
    return [
        source.at(node.lineno, f"{dotted(node.func)} {fault}")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and dotted(node.func) in names
    ]


def _outside(source: Source, places: tuple[str, ...]) -> bool:
    return source.is_product and not source.path.startswith(places)


def prints(source: Source) -> list[str]:
    if not _outside(source, PRINTS):
        return []
    return _calls(source, frozenset({"print", "pprint"}), "belongs to the command line; log instead")


def pickles(source: Source) -> list[str]:
    if source.path.startswith("tests/"):
        return []
    found = [(line, name.split(".")[0]) for line, name in imports(source)]
    return [source.at(line, f"{name} runs code from data") for line, name in found if name in PICKLES]


def clock_reads(source: Source) -> list[str]:
    return _calls(source, CLOCKS, "stands in venom_core.clock only") if _outside(source, READS_CLOCK) else []


def environment_reads(source: Source) -> list[str]:
    if not _outside(source, READS_ENVIRONMENT):
        return []
    return [
        source.at(node.lineno, f"{dotted(node)} is read at the edge only; take a setting instead")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and dotted(node) in ENVIRONMENT
    ]


def raw_redis_commands(source: Source) -> list[str]:
    if not _outside(source, SPEAKS_REDIS):
        return []
    return [
        source.at(node.lineno, f".{node.func.attr}() is a Redis command; only infrastructure sends one")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in REDIS_COMMANDS
    ]


def _own(node: ast.AST, *, skip_loops: bool) -> Iterator[ast.AST]:
    """What a function runs itself, without the functions defined in it, and if wished without its loops."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        if skip_loops and isinstance(child, (ast.For, ast.AsyncFor, ast.While)):
            continue
        yield child
        yield from _own(child, skip_loops=skip_loops)


def blocking_sleeps(source: Source) -> list[str]:
    return [
        source.at(node.lineno, f"time.sleep stops the event loop of {function.name}")
        for function in functions(source.tree)
        if isinstance(function, ast.AsyncFunctionDef)
        for node in _own(function, skip_loops=False)
        if isinstance(node, ast.Call) and dotted(node.func) == "time.sleep"
    ]


def hopeful_sleeps(source: Source) -> list[str]:
    """A test that sleeps a while and hopes; a loop that looks for a condition is something else."""
    return [
        source.at(node.lineno, f"{function.name} sleeps and hopes; wait for what it needs")
        for function in functions(source.tree)
        if function.name.startswith("test_")
        for node in _own(function, skip_loops=True)
        if isinstance(node, ast.Call)
        and dotted(node.func) in {"time.sleep", "asyncio.sleep"}
        and not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]
