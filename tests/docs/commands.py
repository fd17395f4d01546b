"""Commands in the documents: which are run, and which are not, why, and how they are checked instead."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from tests.tidy.source import ROOT
from venom_core.config import Settings

DAEMONS = frozenset({"venom-spore", "venom-nexus"})
RUN = frozenset({"python", "venom", "redis-cli", "export", "eval", *DAEMONS})
SAID_AND_DONE = frozenset({"-h", "--help", "--version"})


@dataclass(frozen=True)
class Elsewhere:
    """A kind of command that the examples do not run: why not, and what is looked at in its place."""

    reason: str
    check: Callable[[list[str]], None]


def _is_ours(words: list[str]) -> None:
    path = ROOT / words[0]
    assert path.is_file(), f"there is no {words[0]}"
    assert path.stat().st_mode & 0o100, f"{words[0]} cannot be executed"


COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES = frozenset(
    re.findall(r"^  ([a-z-]+):$", COMPOSE.partition("\nservices:")[2].partition("\nnetworks:")[0], re.MULTILINE)
)


def _fits_the_compose_file(words: list[str]) -> None:
    """Services and profiles that are named exist."""
    rest = words[2:]
    if rest[0] == "--profile":
        assert f"profiles: [{rest[1]}]" in COMPOSE, words
        rest = rest[2:]
    assert rest[0] in {"up", "ps", "down", "stop", "exec", "cp"}, words
    named = {word for word in rest[1:] if not word.startswith("-")}
    if rest[0] == "exec":
        named = {next(word for word in rest[1:] if not word.startswith("-"))}
    elif rest[0] == "cp":
        named = {word.partition(":")[0] for word in named if ":" in word}
    assert {name.partition("=")[0] for name in named} <= SERVICES, words
    assert "${REDIS_PASSWORD:?" in COMPOSE, "the documents say that it asks for REDIS_PASSWORD"
    assert "127.0.0.1:${REDIS_PORT:-6379}:6379" in COMPOSE, "the documents say that only this machine reaches redis-dev"


def _names_a_container(words: list[str]) -> None:
    project = re.search(r"^name: (\w+)$", COMPOSE, re.MULTILINE)
    assert project
    assert words[2] in {f"{project[1]}-{service}-1" for service in SERVICES}, words


def _copies_the_example(words: list[str]) -> None:
    assert words[1:] == [".env.example", ".env"], words
    assert (ROOT / words[1]).is_file()


def _installs_this_project(words: list[str]) -> None:
    assert words[1:] == ["install", "."], words
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.scripts]")[2]
    assert all(f"\n{name} = " in scripts for name in ("venom", *DAEMONS))


def _makes_the_usual_environment(words: list[str]) -> None:
    assert words[-1].startswith(".venv"), words
    assert "VENOM_VENV:-$root/.venv" in (ROOT / "scripts/bootstrap").read_text(encoding="utf-8")


def _nothing(_: list[str]) -> None:
    """There is nothing in this repository that could be wrong about it."""


ELSEWHERE: dict[str, Elsewhere] = {
    "git clone": Elsewhere("needs a network; the suite itself runs in a clone", _nothing),
    "cd": Elsewhere("an example has a folder of its own", _nothing),
    "./scripts/quickstart": Elsewhere("takes a minute; tests/demo runs it", _is_ours),
    "./scripts/test": Elsewhere("is what runs this test", _is_ours),
    "./scripts/check": Elsewhere(".ci/run runs it", _is_ours),
    "docker compose": Elsewhere("needs Docker; tests/stacks/test_hive_stack.py does the like", _fits_the_compose_file),
    "docker logs": Elsewhere("needs Docker; tests/stacks/test_hive_stack.py reads such logs", _names_a_container),
    "redis-cli -h": Elsewhere("another machine; tests/docs/test_backup.py runs it on one of its own", _nothing),
    "mkdir": Elsewhere("a step of a restore, which tests/docs/test_backup.py takes", _nothing),
    "mv": Elsewhere("a step of a restore, which tests/docs/test_backup.py takes", _nothing),
    "echo": Elsewhere("a step of a restore, which tests/docs/test_backup.py takes", _nothing),
    "cp": Elsewhere("tests/tidy/test_env_example.py reads the file as settings", _copies_the_example),
    ".": Elsewhere("concerns the shell only; examples run in this environment", _makes_the_usual_environment),
    "python3 -m venv": Elsewhere("scripts/bootstrap does it before any test", _makes_the_usual_environment),
    ".venv/bin/pip": Elsewhere("needs a network; scripts/bootstrap installs the project", _installs_this_project),
    "sudo apt-get install": Elsewhere("needs root and a network; .ci/run installs the same package", _nothing),
}


@dataclass(frozen=True)
class Command:
    """One command line: assignments in front of it, and its words."""

    environment: dict[str, str]
    words: list[str]

    @property
    def is_daemon(self) -> bool:
        return self.words[0] in DAEMONS and not SAID_AND_DONE & set(self.words)

    @property
    def elsewhere(self) -> Elsewhere | None:
        """The longest prefix of it that is listed as not run."""
        for count in range(len(self.words), 0, -1):
            if found := ELSEWHERE.get(" ".join(self.words[:count])):
                return found
        return None


def commands(text: str) -> list[Command]:
    """The command lines of a block; comments are dropped, a backslash joins two lines."""
    lines = (shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines())
    return [_command(words) for words in lines if words]


def _command(words: list[str]) -> Command:
    count = 0
    while count < len(words) - 1 and words[count].partition("=")[0].isidentifier() and "=" in words[count]:
        count += 1
    return Command(dict(_pair(word) for word in words[:count]), words[count:])


def _pair(assignment: str) -> tuple[str, str]:
    name, _, value = assignment.partition("=")
    return name, value


def exported(command: Command) -> dict[str, str]:
    """What `export NAME=value …` sets: settings only, with values that they accept."""
    found = dict(_pair(word) for word in command.words[1:])
    Settings.load(**{name.lower(): value for name, value in found.items()})
    return found
