"""Each house rule is shown something bad, which it must catch, and something good, which it must not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.tidy import calls, floors, shape, store, words
from tests.tidy.source import Source

Check = Callable[[Source], list[str]]

DOMAIN = "venom_core/domain/task.py"
WORKER = "venom_spore/worker.py"
LAUNCHER = "venom_spore/launcher/supervisor.py"
TEST = "tests/domain/test_task.py"
BODY = "    x = 1\n"
FIVE_DEEP = "".join("    " * (level + 1) + "if x:\n" for level in range(5)) + "    " * 6 + "pass\n"
ELIFS = "    if x == 0:\n        pass\n" + "".join(f"    elif x == {n}:\n        pass\n" for n in range(1, 7))
# Put together here, so that this file does not break the rules about text itself.
REGISTRY = "see https://py" + "pi.org/simple"
OWN_INDEX = "pip install --index" + "-url x"
UNFINISHED = "# TO" + "DO later"


@pytest.mark.parametrize(
    ("check", "path", "text"),
    [
        (shape.long_files, DOMAIN, BODY * 401),
        (shape.long_functions, DOMAIN, "def f():\n" + BODY * 70),
        (shape.deep_functions, DOMAIN, "def f(x):\n" + FIVE_DEEP),
        (shape.wide_constructors, DOMAIN, "class A:\n    def __init__(self, a, b, c, d, e, f, g, *, h, i): ...\n"),
        (floors.climbing_imports, DOMAIN, "from venom_core.infrastructure import keys\n"),
        (floors.climbing_imports, DOMAIN, "from ..infrastructure import keys\n"),
        (floors.climbing_imports, WORKER, "import venom_core.agents.foreman\n"),
        (floors.climbing_imports, WORKER, "from venom_core import cli\n"),
        (floors.climbing_imports, "venom_core/attic/old.py", ""),
        (floors.foreign_imports, DOMAIN, "import asyncio\n"),
        (floors.company_of_the_alone, LAUNCHER, "import psutil\n"),
        (floors.company_of_the_alone, LAUNCHER, "from venom_core import clock\n"),
        (floors.company_of_the_alone, LAUNCHER, "from venom_spore import skills\n"),
        (floors.company_of_the_alone, LAUNCHER, "from .. import main\n"),
        (floors.foreign_imports, DOMAIN, "from time import monotonic\n"),
        (floors.foreign_imports, WORKER, "from redis.asyncio import Redis\n"),
        (floors.imports_in_functions, DOMAIN, "def f():\n    import json\n"),
        (calls.prints, DOMAIN, "print('here')\n"),
        (calls.pickles, "benchmarks/drain.py", "from pickle import loads\n"),
        (calls.clock_reads, WORKER, "started = datetime.now()\n"),
        (calls.clock_reads, WORKER, "started = time.monotonic()\n"),
        (calls.environment_reads, WORKER, "name = os.environ['HOST']\n"),
        (calls.environment_reads, WORKER, "name = os.getenv('HOST')\n"),
        (calls.raw_redis_commands, WORKER, "async def f(link):\n    await link.client.hset('k', 'f', 1)\n"),
        (calls.blocking_sleeps, WORKER, "async def f():\n    while True:\n        time.sleep(1)\n"),
        (calls.hopeful_sleeps, TEST, "async def test_it():\n    await asyncio.sleep(0.1)\n"),
        (words.registry_addresses, "README.md", REGISTRY),
        (words.registry_addresses, "README.md", OWN_INDEX),
        (words.machine_paths, "README.md", "cd " + "/" + "work/main"),
        (words.machine_paths, "README.md", "open('" + "/" + "tmp/x')"),
        (words.machine_paths, "README.md", "/" + "home/ada/src"),
        (words.leftovers, "docs/start.md", UNFINISHED),
        (words.vague_names, "venom_core/domain/task_utils.py", ""),
        (words.vague_names, "venom_core/core/manager.py", ""),
        (words.vague_names, DOMAIN, "class TaskManager: ...\n"),
        (words.bare_suppressions, DOMAIN, "x = f()  # type: ignore[arg-type]\n"),
        (words.bare_suppressions, DOMAIN, "x = f()  # noqa: BLE001\n"),
        (words.bare_suppressions, DOMAIN, "x = f()  # pragma: no cover\n"),
        (words.bare_suppressions, DOMAIN, "x = f()  # type: ignore[misc] # noqa: BLE001\n"),
        (words.bare_skips, TEST, "@pytest.mark.skip\ndef test_it(): ...\n"),
        (words.bare_skips, TEST, "@pytest.mark.skipif(True)\ndef test_it(): ...\n"),
    ],
)
def test_a_check_catches(check: Check, path: str, text: str) -> None:
    assert check(Source(path, text))


@pytest.mark.parametrize(
    ("check", "path", "text"),
    [
        (shape.long_functions, DOMAIN, "def f():\n" + BODY * 69),
        (shape.deep_functions, DOMAIN, "def f(x):\n" + ELIFS),
        (shape.long_files, "requirements/test.txt", BODY * 401),
        (floors.climbing_imports, WORKER, "from venom_core.infrastructure import keys\n"),
        (floors.climbing_imports, DOMAIN, "from venom_core.errors import InputError\nfrom . import task\n"),
        (floors.foreign_imports, "venom_core/infrastructure/redis_link.py", "import redis\n"),
        (floors.company_of_the_alone, LAUNCHER, "import ctypes\nfrom venom_spore.launcher.state import State\n"),
        (floors.company_of_the_alone, LAUNCHER, "from . import gate\n"),
        (floors.company_of_the_alone, WORKER, "import psutil\n"),
        (calls.prints, "venom_core/cli.py", "print('here')\n"),
        (calls.pickles, TEST, "import pickle\n"),
        (calls.clock_reads, "venom_core/clock.py", "started = time.monotonic()\n"),
        (calls.environment_reads, "venom_core/config.py", "name = os.environ['HOST']\n"),
        (calls.raw_redis_commands, "venom_core/infrastructure/task_store.py", "client.hset('k', 'f', 1)\n"),
        (calls.blocking_sleeps, WORKER, "async def f():\n    def g():\n        time.sleep(1)\n"),
        (
            calls.hopeful_sleeps,
            TEST,
            "async def test_it():\n    while not done():\n        await asyncio.sleep(0.01)\n",
        ),
        (calls.hopeful_sleeps, TEST, "async def test_it():\n    await asyncio.sleep(0)\n"),
        (words.machine_paths, "README.md", "https://example.org/root/x and ./work/x and ${HOME}/work"),
        (words.vague_names, DOMAIN, "class NodeManager: ...\n"),
        (words.bare_suppressions, DOMAIN, "x = f()  # noqa: BLE001 - the supervisor logs it and decides anew\n"),
        (words.bare_suppressions, DOMAIN, "x = '# noqa: BLE001'\n"),
        (words.bare_skips, TEST, "@pytest.mark.skipif(True, reason='no TLS in this server')\ndef test_it(): ...\n"),
    ],
)
def test_a_check_lets_pass(check: Check, path: str, text: str) -> None:
    assert check(Source(path, text)) == []


def test_a_circle_is_named() -> None:
    here = Source(DOMAIN, "from venom_core.domain import node\n")
    there = Source("venom_core/domain/node.py", "from venom_core.domain.task import Task\n")
    [fault] = floors.circles([here, there])
    assert "venom_core.domain.task" in fault
    assert "venom_core.domain.node" in fault
    assert floors.circles([here]) == []


def test_a_heavy_import_is_found_behind_others() -> None:
    worker = Source(WORKER, "from venom_core.infrastructure import link\n")
    behind = Source("venom_core/infrastructure/link.py", "import httpx\n")
    beside = Source("venom_core/cli.py", "import rich\n")
    [fault] = floors.heavy_worker_imports([worker, behind, beside])
    assert fault.startswith("venom_core/infrastructure/link.py:1:")


def test_medians_are_of_files_and_functions() -> None:
    short = Source(DOMAIN, "def f():\n    x = 1\n")
    long = Source(WORKER, "def f():\n" + BODY * 9)
    assert shape.medians([short, long, Source("venom_core/__init__.py", "")]) == (6, 6)


@dataclass
class Spec:
    """Stands in for a key that nobody deletes."""

    name: str
    kind: str = "hash"
    holds: str = "things"
    leaves_by: str = ""


def test_a_key_without_an_end_is_found() -> None:
    assert store.nameless_ends([Spec("task")])
    assert store.nameless_ends([Spec("task", leaves_by="TTL")]) == []


@pytest.mark.parametrize(
    ("script", "faults"),
    [
        ("-- keys: task\nreturn redis.call('GET', TASK)\n", 0),
        ("-- keys: task\nreturn redis.call('GET', RUN)\n", 1),
        ("-- keys: task\n-- uses: ending\nreturn 1\n", 1),
        ("-- keys: task run\n-- uses: ending\nreturn 1\n", 0),
        ("-- keys: task\n-- uses: nothing\nreturn 1\n", 1),
        ("-- keys: task attic\nreturn 1\n", 1),
        ("-- keys: task\nreturn 'RUN' -- RUN\n", 0),
    ],
)
def test_a_script_is_held_to_what_it_declares(script: str, faults: int) -> None:
    library = {"ending": "redis.call('DEL', RUN)\n"}
    source = Source("venom_core/infrastructure/lua/x.lua", script)
    assert len(store.undeclared_keys([source], library, frozenset({"task", "run"}))) == faults
