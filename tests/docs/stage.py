"""A folder, an environment and real processes in which the blocks of one example are run, one after the other."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import io
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from typing import Any

from tests.docs.commands import Command, commands, exported
from tests.docs.markdown import Block
from tests.hives import until_so
from tests.servers import sync_client
from venom_core.infrastructure.message_broker import MessageBroker

PATIENCE_S = 60.0
TESTS_OWN = frozenset({"REDIS_URL", "HIVE_NAMESPACE"})
_FILE = re.compile(r"# ([\w/]+\.\w+)\n")
_ANYTHING = "…"
# The common test server keeps nothing on disk, and everybody who connects is warned of it.
_OF_THE_TEST_SERVER = re.compile(r".*set appendonly yes\.\n")


@dataclass
class Stage:
    """Runs blocks. `said` is what the last one printed, on both channels."""

    folder: Path
    environment: dict[str, str]
    broker: MessageBroker
    set_variable: Callable[[str, str], None]
    said: str = ""
    _names: dict[str, Any] = field(default_factory=dict)
    _daemons: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def play(self, block: Block) -> None:
        """Run a block, keep it as a file, or compare what the one before it printed."""
        if block.is_output:
            _compare(self.said, block)
        elif block.language == "bash":
            await self._run_commands(block)
        elif named := _FILE.match(block.text):
            path = self.folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            await self._run_snippet(block)

    async def close(self) -> None:
        """Stop what still runs as a person would; it must end well."""
        ends = []
        for daemon in reversed(self._daemons):
            if daemon.returncode is None:
                daemon.send_signal(signal.SIGTERM)
            said, _ = await asyncio.wait_for(daemon.communicate(), PATIENCE_S)
            ends.append((daemon.returncode, said.decode()))
        for code, words in ends:
            assert code == 0, words

    async def _run_snippet(self, block: Block) -> None:
        """Top-level `await` is allowed, as in `python -m asyncio`; `broker` is a connected one."""
        self._names.setdefault("broker", self.broker)
        place = compile(
            "\n" * block.line + block.text, block.document, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        heard = io.StringIO()
        with contextlib.redirect_stdout(heard):
            result = eval(place, self._names)
            if isawaitable(result):
                await asyncio.wait_for(result, PATIENCE_S)
        self.said = heard.getvalue()

    async def _run_commands(self, block: Block) -> None:
        listed = commands(block.text)
        for number, command in enumerate(listed):
            if command.elsewhere is not None:
                command.elsewhere.check(command.words)
            elif command.words[0] == "export":
                self._export(command)
            elif command.words[0] == "eval":
                await self._take_over(command, block.place)
            elif command.words[0] == "redis-cli":
                self.said = _ask(command, self.environment)
            elif command.is_daemon and not block.exits:
                await self._start(command)
            else:
                expected = block.exits if number == len(listed) - 1 else 0
                await self._finish(command, expected, block.place)

    def _export(self, command: Command) -> None:
        for name, value in exported(command).items():
            if name not in TESTS_OWN:
                self.environment[name] = value
                self.set_variable(name, value)

    async def _take_over(self, command: Command, place: str) -> None:
        """`eval "$(command)"` of a command that prints what to export: here it must name the server there is."""
        await self._finish(Command({}, shlex.split(command.words[1].removeprefix("$(").removesuffix(")"))), 0, place)
        lines = [line for line in self.said.splitlines() if not line.startswith("#")]
        assert [shlex.split(line) for line in lines] == [["export", f"REDIS_URL={self.environment['REDIS_URL']}"]]

    async def _spawn(self, command: Command) -> asyncio.subprocess.Process:
        changes = {name: value for name, value in command.environment.items() if name not in TESTS_OWN}
        return await asyncio.create_subprocess_exec(
            *_without_address(command.words),
            cwd=self.folder,
            env=self.environment | changes,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def _finish(self, command: Command, code: int, place: str) -> None:
        process = await self._spawn(command)
        try:
            said, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()
        self.said = _OF_THE_TEST_SERVER.sub("", said.decode())
        assert process.returncode == code, f"{place}: {command.words} ended with {process.returncode}\n{self.said}"

    async def _start(self, command: Command) -> None:
        daemon = await self._spawn(command)
        self._daemons.append(daemon)
        kind = command.words[0].removeprefix("venom-")
        wanted = _option(command, "--name") or (socket.gethostname() if kind == "spore" else "")

        async def online() -> bool:
            assert daemon.returncode is None, f"{command.words} ended with {daemon.returncode}"
            nodes = [node.profile for node in await self.broker.hive.nodes.all() if node.online]
            return any(node.kind == kind and wanted in {"", node.name} for node in nodes)

        await until_so(online)


def environment_of(url: str, namespace: str) -> dict[str, str]:
    """Variables of an example's processes: this environment's commands, this test's hive."""
    own = str(Path(sys.executable).parent)
    path = f"{own}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "REDIS_URL": url, "HIVE_NAMESPACE": namespace}


def _option(command: Command, name: str) -> str:
    words = command.words
    return words[words.index(name) + 1] if name in words else ""


def _without_address(words: list[str]) -> list[str]:
    """A documents' server is not the test's: its address is left out, the environment has the right one."""
    if "--redis-url" not in words:
        return words
    at = words.index("--redis-url")
    return words[:at] + words[at + 2 :]


def _ask(command: Command, environment: dict[str, str]) -> str:
    """The Redis command sent without redis-cli, on the hive that the documents call `venom`."""
    words = command.words[1:]
    if words[0] == "-u":
        words = words[2:]
    client = sync_client(environment["REDIS_URL"])
    try:
        namespace = environment["HIVE_NAMESPACE"]
        reply = client.execute_command(*(word.replace("{venom:", f"{{{namespace}:") for word in words))  # type: ignore[no-untyped-call]  # redis-py says no type
    finally:
        client.close()
    return _lines(reply).replace(namespace, "venom")


def _lines(reply: Any) -> str:
    """As redis-cli prints it when it is not on a terminal."""
    if isinstance(reply, dict):
        reply = [item for pair in reply.items() for item in pair]
    if isinstance(reply, list | tuple):
        return "".join(_lines(item) for item in reply)
    return f"{reply.decode() if isinstance(reply, bytes) else reply}\n"


def _compare(said: str, block: Block) -> None:
    pattern = ""
    for line in block.text.rstrip().splitlines():
        if line == _ANYTHING:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split(_ANYTHING)) + "\n"
    assert re.fullmatch(pattern, said.rstrip() + "\n"), f"{block.place} shows\n{block.text}\nbut it printed\n{said}"
