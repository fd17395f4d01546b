"""The screens of the documents, played on real terminals in a real hive: python -m tests.cli.screens

Each is a file in docs/screens: the command and what it showed. A test plays them again and compares, after what differs
from run to run is masked (`masked`).
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.cli.terminal import COLUMNS, Terminal
from tests.ota.hostile_server import serving
from tests.servers import SHORT_ROOT, free_port
from tests.tidy.source import ROOT
from venom_core.audit_chain import AuditChain
from venom_core.clock import ManualClock
from venom_core.infrastructure.embedded import find_server

# Wide enough for the log lines of `venom up`, and for the one line to paste.
WIDE = 300
FOLDER = ROOT / "docs/screens"
SKILLS = """
import time

from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def greet(name: str) -> str:
    return f"hello {name}"


@skills.skill
def count(ctx: TaskContext, to: int, pause: float = 0.05) -> int:
    for number in range(1, to + 1):
        time.sleep(pause)
        ctx.progress(number / to, f"{number} of {to}")
        ctx.emit(number)
    return to
"""
_MASKS = (
    (re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b|(?<=-)[0-9a-f]{8}(?=\.pem)"), "HASH"),
    (re.compile(r"\b[0-9a-f]{26}(-[0-9a-f]{12})?\b"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([.,]\d+)?"), "TIME"),
    (re.compile(r"\b\d\d?:\d\d:\d\d\b|-:--:--|(?<=until )\d{4}-\d\d-\d\d"), "TIME"),
    (re.compile(r"\bprocess \d+"), "process N"),
    (re.compile(r"\b\d+m \d+s\b|\b\d+\.\d+s\b"), "AGE"),
    (re.compile(r"\d+ % full|\d+ MiB used|[\d,]+(\.\d+)? GiB free|\bby \d+ ms"), "N"),
    (re.compile(r"Valkey [\d.]+|redis [\d.]+|cryptography [\d.]+|pydantic [\d.]+"), "RELEASE"),
    (re.compile(r"[\d,]*\d\.\d+(x|%| ms|/s)?"), "N"),
    (re.compile(r"\d+% \d+ of"), "N of"),
    (re.compile(r"(?<=on )spore-\d|(?<=assigned_node)\s+spore-\d"), "NODE"),
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(r"(?<=epoch )\d+"), "N"),
    (re.compile(r"\bnot met\b|\bmet\b|pass( |$)"), "VERDICT"),
    (re.compile(r"[━╸╺]+"), "BAR"),
    (re.compile(r"\b\d{3,7}\b"), "N"),
    (re.compile(r"\s+"), " "),
)


def masked(screen: str) -> list[str]:
    """The lines of a screen without what differs from run to run; what several processes say is put in order."""
    lines = []
    for line in screen.splitlines():
        text = line
        for pattern, name in _MASKS:
            text = pattern.sub(name, text)
        lines.append(text.strip())
    said = sorted(line for line in lines if " | " in line)
    return [line for line in lines if " | " not in line] + said


@dataclass
class Session:
    """A hive in a folder, and the screens that were taken."""

    folder: Path
    environment: dict[str, str]
    screens: dict[str, str] = field(default_factory=dict)
    colours: set[str] = field(default_factory=set)
    secrets: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def running(self, words: str, columns: int = COLUMNS) -> Iterator[Terminal]:
        """`venom words` on a terminal."""
        terminal = Terminal([*_VENOM, *shlex.split(words)], self.environment, self.folder, columns)
        try:
            yield terminal
        finally:
            terminal.close()
            self.colours |= terminal.screen.colours

    def take(
        self, name: str, words: str, *, code: int = 0, answer: str = "", add: bool = False, columns: int = COLUMNS
    ) -> str:
        """Run a command to its end, keep its screen under a name, and return it."""
        with self.running(words, columns) as terminal:
            if answer:
                terminal.until("[y/N]")
                terminal.type(answer)
            ended = terminal.end()
            assert ended == code, f"venom {words} ended with {ended}:\n{terminal.screen.text()}"
            self.keep(name, words, terminal.screen.text(), add=add)
            return terminal.screen.text()

    def keep(self, name: str, words: str, screen: str, *, add: bool = False) -> None:
        """Keep a screen, without what belongs to this machine alone."""
        text = f"$ venom {words}\n{screen}".replace(str(self.folder), "~")
        for secret, shown in self.secrets.items():
            text = text.replace(secret, shown)
        text = re.sub(r"its addresses \([^)]*\)", "its addresses (10.0.0.5)", text.replace(os.uname().nodename, "host"))
        self.screens[name] = f"{self.screens[name]}\n{text}" if add else text


_VENOM = (sys.executable, "-m", "venom_core.cli")


def play() -> Session:
    """The whole session, in a hive that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="vs", dir=SHORT_ROOT) as made:
        folder = Path(made)
        (folder / "tasks.py").write_text(SKILLS)
        (folder / "names.jsonl").write_text('{"name": "Ada"}\n{"name": "Grace"}\n{"nam": "Alan"}\n')
        session = Session(folder, _environment(folder))
        try:
            _whole_hive(session)
            _audit(session)
            _second_machine(session)
            _server_alone(session)
        finally:
            for data in (folder / ".local/share/venom-hive", folder / "open"):
                if data.exists() and (server := find_server(data)):
                    server.stop()
        return session


def _environment(folder: Path) -> dict[str, str]:
    ours = ("HIVE_", "REDIS_", "NEXUS_", "VENOM_", "ENABLE_HIVE", "COVERAGE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"HOME": str(folder), "HIVE_PROFILE": "fast", "PYTHONPATH": str(ROOT)}


def _whole_hive(session: Session) -> None:
    words = "up --spores 2 --skills tasks:skills"
    with session.running(words, WIDE) as hive:
        hive.until("Ctrl-C ends it all.")
        hive.until("venom.nexus: spore-nexus is up")  # nobody waits for it, and it may be the last
        data = session.folder / ".local/share/venom-hive"
        server = find_server(data)
        assert server is not None
        session.environment["REDIS_URL"] = server.url
        for part in (_tasks, _nodes, _many, _dead, _health, _updates):
            part(session)
        del session.screens[""]  # what was only done, not shown
        hive.interrupt()
        assert hive.end() == 0
        session.keep("up", words, "".join(f"{line}\n" for line in _own_lines(hive.screen.text())))


def _own_lines(text: str) -> list[str]:
    """What `venom up` says itself, and of its processes who joined."""
    return [line for line in text.splitlines() if " | " not in line or " is up" in line or "joined" in line]


def _tasks(session: Session) -> None:
    session.take("submit", "submit greet name=Ada")
    session.take("submit", "submit greet name=Ada --wait", add=True)
    session.take("submit", "submit greet nam=Ada --retries 0 --wait 20 --id wrong", code=1, add=True)
    session.take("submit", "submit nobody --wait 8 --id waits", code=3, add=True)
    session.take("task", "submit count to=3 --id three")
    for words in ("task watch three", "task show three", "task logs three"):
        session.take("task", words, add=True)
    session.take("task", "task cancel waits", add=True)
    session.take("task", "task retry waits", add=True)
    session.take("task", "task cancel three", code=1, add=True)
    session.take("explain", "explain waits")


def _nodes(session: Session) -> None:
    session.take("nodes", "nodes")
    session.take("node", "node cordon spore-1")
    session.take("node", "nodes", add=True)
    session.take("node", "node uncordon spore-1", add=True)
    session.take("node", "node drain nobody", code=1, add=True)
    with session.running("nodes --watch 0.2") as terminal:
        terminal.until("spore-2")
        terminal.interrupt()
        assert terminal.end() == 130


def _many(session: Session) -> None:
    session.take("queues", "queues")
    session.take("status", "status")
    session.take("broadcast", "broadcast REINDEX shard=3")
    session.take("map", "map greet names.jsonl --retries 0 --run-id names", code=1)
    session.take("", "submit count to=400 --id long --node spore-2")
    with session.running("top") as terminal:
        shown = terminal.until(lambda text: "long" in text and " of 400" in text)
        session.keep("top", "top", shown)
        terminal.interrupt()
        assert terminal.end() == 130
    session.take("", "task cancel long")


def _dead(session: Session) -> None:
    session.take("dlq", "dlq list")
    session.take("dlq", "dlq show wrong", add=True)
    session.take("dlq", "dlq requeue --type greet --since 1h", answer="n\n", code=1, add=True)
    session.take(
        "dlq", 'dlq edit wrong --json {"name":"Ada"}'.replace('{"name":"Ada"}', '\'{"name": "Ada"}\''), add=True
    )
    session.take("dlq", "dlq purge --all", answer="y\n", add=True)
    session.take("dlq", "dlq list", add=True)


def _health(session: Session) -> None:
    session.take("doctor", "doctor", code=1)
    session.take("doctor-security", "doctor --security", code=1)
    session.take("config", "config --given")
    with session.running("bench --quick") as terminal:
        assert terminal.end() in (0, 1)
        session.keep("bench", "bench --quick", terminal.screen.text())
    session.take("node", "node drain spore-2", add=True)


def _updates(session: Session) -> None:
    session.environment["HIVE_OTA_PASSPHRASE"] = "correct horse battery staple"
    fingerprint = session.take("ota", "ota init --root-keys 3 --threshold 2", columns=WIDE).split()[0]
    for words in ("ota key", "ota build 1.0.0 tasks.py", "ota sign 1.0.0", "ota publish", "ota verify"):
        session.take("ota", words, columns=WIDE, add=True)
    with serving(session.folder / ".venom/ota/repository") as served:
        session.take("ota", f"ota join {served.url} {fingerprint} --home spore", columns=WIDE, add=True)
    for words in ("ota status", "ota rotate timestamp", "ota rollback 1.0.0"):
        session.take("ota", words, columns=WIDE, add=True)
    del session.environment["HIVE_OTA_PASSPHRASE"]


def _audit(session: Session) -> None:
    chain = AuditChain(session.folder / "audit.jsonl", "spore-1", ManualClock())
    for task_id in ("t1", "t2"):
        chain.append("refused_envelope", task_id, "signed with another token")
    session.take("audit", "audit show audit.jsonl")
    session.take("audit", "audit verify audit.jsonl", add=True)
    kept = chain.path.read_bytes()
    chain.path.write_bytes(kept.replace(b"another", b"our own"))
    session.take("audit", "audit verify audit.jsonl", code=1, add=True, columns=WIDE)


def _second_machine(session: Session) -> None:
    session.environment.pop("REDIS_URL")
    session.take("up-bind", "up --bind 0.0.0.0", code=1, columns=WIDE)
    words = f"up --bind 127.0.0.1 --port {free_port()} --data open --skills tasks:skills"
    with session.running(words, WIDE) as hive:
        hive.until("Ctrl-C ends it all.")
        hive.until("venom.nexus: spore-nexus is up")  # nobody waits for it, and it may be the last
        for name in ("password", "token"):
            session.secrets[(session.folder / "open" / name).read_text()] = f"{name.upper()}-OF-43-LETTERS"
        hive.interrupt()
        assert hive.end() == 0
        session.keep("up-bind", words, "".join(f"{line}\n" for line in _own_lines(hive.screen.text())), add=True)


def _server_alone(session: Session) -> None:
    session.take("completion", "completion bash")
    session.take("server", "server start")
    session.take("server", "server stop", add=True)
    session.take("server", "nodes", code=1, add=True)


if __name__ == "__main__":
    for screen, text in play().screens.items():
        (FOLDER / f"{screen}.txt").write_text(text, encoding="utf-8")
