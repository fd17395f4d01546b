"""Log lines in both formats: valid whatever they are made of, without secrets, and each with its task."""

from __future__ import annotations

import io
import json
import logging
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.hives import ended
from tests.processes import ROOT, NodeProcess
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.log_format import CONSOLE, JSON, MESSAGE_CHARS_MAX, NODE, WORK, LineFormatter, NamedWork, installed

SECRETS = ("correct horse & battery", "abc")
# A logger of no tree: pytest's own handlers, which raise at a bad message, hear nothing of it.
log = logging.Logger("shop", logging.INFO)  # noqa: LOG001 - see above

Line = dict[str, Any]


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a logger `shop` writes in JSON."""
    yield from _captured(JSON)


@pytest.fixture
def console() -> Iterator[io.StringIO]:
    """What a logger `shop` writes for people."""
    yield from _captured(CONSOLE)


def _captured(kind: str) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(kind, SECRETS))
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


def only(stream: io.StringIO) -> Line:
    """The one line that was written, read by a strict reader."""
    text = stream.getvalue()
    assert text.count("\n") == 1
    line: Line = msgspec.json.decode(text)
    assert json.loads(text) == line
    return line


def test_a_line_says_when_who_and_what(lines: io.StringIO) -> None:
    log.warning("%d apples for %s", 3, "Ada")
    line = only(lines)
    assert line.pop("timestamp")[10:].endswith("+00:00")
    assert isinstance(line.pop("process"), int)
    assert line == {"level": "WARNING", "logger": "shop", "message": "3 apples for Ada", "thread": "MainThread"}


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        ("two\nlines\r\n\u2028", (), "two\nlines\r\n\u2028"),
        ("Zażółć 🦀", (), "Zażółć 🦀"),
        ("half \ud83e", (), "half ?"),
        (b"raw \xff", (), "raw \\xff"),
        ("\x1b[31mred\x00", (), "\x1b[31mred\x00"),
        ('"}{', (), '"}{'),
        ("%d apples", ("no",), "%d apples % ('no',)"),
        ("%s %s", ("one",), "%s %s % ('one',)"),
        ("100 %", (), "100 %"),
        ({"a": 1}, (), "{'a': 1}"),
        ("%s", (Broken(),), "%s % (tuple that cannot be shown)"),
        (Broken(), (), "(Broken that cannot be shown) % ()"),
        ("", (), ""),
    ],
)
def test_a_line_is_valid_whatever_the_message_holds(
    lines: io.StringIO, message: Any, args: tuple[Any, ...], expected: str
) -> None:
    log.info(message, *args)
    assert only(lines)["message"] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7),
        (1.5, 1.5),
        (True, True),
        (None, None),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (b"\xff", "b'\\xff'"),
        (["a", {"b"}], "['a', {'b'}]"),
        (Broken(), "(Broken that cannot be shown)"),
        ("x" * 5_000, "x" * 4_096 + "… (cut)"),
    ],
)
def test_what_a_call_adds_becomes_a_field(lines: io.StringIO, value: Any, expected: Any) -> None:
    log.info("hello", extra={"given": value})
    assert only(lines)["given"] == expected


def test_what_a_call_adds_cannot_replace_what_the_line_says(lines: io.StringIO) -> None:
    log.info("hello", extra={"level": "none", "timestamp": "never", "logger": "x"})
    line = only(lines)
    assert (line["level"], line["logger"]) == ("INFO", "shop")
    assert line["timestamp"] != "never"


def test_the_number_of_fields_and_the_length_of_a_message_are_bounded(lines: io.StringIO) -> None:
    log.info("y" * 1_000_000, extra={f"f{n}": n for n in range(500)})
    line = only(lines)
    assert line["message"] == "y" * MESSAGE_CHARS_MAX + "… (cut)"
    assert sum(name.startswith("f") for name in line) == 64


def test_an_exception_is_one_field(lines: io.StringIO) -> None:
    try:
        raise KeyError("shelf\n3")
    except KeyError:
        log.exception("lost", stack_info=True)
    line = only(lines)
    assert line["message"] == "lost"
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert "KeyError: 'shelf\\n3'" in line["exception"]
    assert "Stack (most recent call last)" in line["exception"]


def test_an_exception_that_cannot_be_shown_costs_only_itself(lines: io.StringIO) -> None:
    class Vain(Exception):
        @property
        def __cause__(self) -> BaseException:  # type: ignore[override]  # spoiled on purpose
            raise RuntimeError("no cause")

    log.info("lost", exc_info=Vain())
    assert "message" in only(lines)


def test_for_people_a_trace_follows_and_a_terminal_obeys_nothing(console: io.StringIO) -> None:
    try:
        raise ValueError("\x1b[2Jgone")
    except ValueError:
        log.exception("bad \x07 news")
    first, second, *_, last = console.getvalue().splitlines()
    assert first.endswith(" ERROR shop: bad \\x07 news")
    assert second == "Traceback (most recent call last):"
    assert last == "ValueError: \\x1b[2Jgone"


@pytest.mark.parametrize(
    "text",
    [
        "redis://:hunter2@store:6379/0",
        "cannot reach rediss://ada:hunter2@store, trying again",
        "redis://ada:hun@ter2/x@store",
        "redis+sentinel://ada:hunter2@one:26379,two/shop?sentinel_password=hunter2&db=3",
        "postgresql+psycopg://ada:hunter2@db/x",
        "NEXUS_SHARED_TOKEN=hunter2 REDIS_PASSWORD=hunter2",
    ],
)
@pytest.mark.parametrize("way", ["message", "argument", "extra", "exception"])
def test_a_password_in_an_address_is_masked(lines: io.StringIO, text: str, way: str) -> None:
    match way:
        case "message":
            log.info(text)
        case "argument":
            log.info("at %s", text)
        case "extra":
            log.info("at", extra={"place": text})
        case _:
            log.info("at", exc_info=ValueError(text))
    assert "***" in lines.getvalue()
    assert "hun" not in lines.getvalue()
    only(lines)


@pytest.mark.parametrize("form", ["{}", "x{}x", "correct%20horse%20%26%20battery"])
def test_the_hives_own_secrets_are_masked_in_any_form(lines: io.StringIO, console: io.StringIO, form: str) -> None:
    log.info("it is %s", form.format(SECRETS[0]), extra={"deep": [SECRETS[0]]})
    for stream in (lines, console):
        assert "***" in stream.getvalue()
        assert "battery" not in stream.getvalue()


@pytest.mark.parametrize("offset", range(0, 24, 3))
def test_a_long_trace_is_cut_after_it_was_masked(lines: io.StringIO, console: io.StringIO, offset: int) -> None:
    beginning = f"x{SECRETS[0]}y"
    log.info("lost", exc_info=ValueError(beginning + "z" * (MESSAGE_CHARS_MAX - offset)))
    for stream in (lines, console):
        assert "zzz" in stream.getvalue()
        assert "batt" not in stream.getvalue()
        assert "tery" not in stream.getvalue()
    assert len(only(lines)["exception"]) <= MESSAGE_CHARS_MAX


@pytest.mark.parametrize("way", ["message", "exception"])
@pytest.mark.parametrize("offset", range(0, 24, 5))
def test_a_text_full_of_secrets_keeps_no_torn_one(lines: io.StringIO, way: str, offset: int) -> None:
    text = "-" * offset + SECRETS[0] * 20_000
    log.info(text if way == "message" else "lost", exc_info=ValueError(text) if way == "exception" else None)
    kept = lines.getvalue()
    assert "***" in kept
    assert "correct" not in kept
    assert "battery" not in kept
    assert "ttery" not in kept


def test_a_very_short_secret_would_be_found_in_words_and_is_not_looked_for(lines: io.StringIO) -> None:
    log.info("the abc")
    assert only(lines)["message"] == "the abc"


@pytest.mark.parametrize("text", ["a" * 200_000, "a://:" * 40_000, "a_" * 100_000, "://" * 60_000, "x:" * 100_000])
def test_a_hostile_message_does_not_keep_the_masks_busy(lines: io.StringIO, text: str) -> None:
    log.info(text)
    assert only(lines)["message"].endswith("… (cut)")


# ------------------------------------------------------------------------------------------------ levels, tasks


def test_a_level_that_is_off_formats_nothing() -> None:
    asked: list[str] = []

    class Costly:
        def __str__(self) -> str:
            asked.append("text")
            return "costly"

        def identity(self) -> tuple[str, int]:
            asked.append("identity")
            return "t", 1

    class Counting(LineFormatter):
        def format(self, record: logging.LogRecord) -> str:
            asked.append("line")
            return super().format(record)

    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(Counting(JSON))
    log.addHandler(handler)
    token = WORK.set(Costly())
    try:
        log.debug("%s", Costly(), extra={"more": Costly()})
        assert asked == []
        log.info("%s", Costly())
        assert asked == ["line", "text", "identity"]
    finally:
        WORK.reset(token)
        log.removeHandler(handler)


def test_a_line_of_some_work_says_which(lines: io.StringIO, console: io.StringIO) -> None:
    node, work = NODE.set("spore-1"), WORK.set(NamedWork("t-1", 2))
    try:
        log.info("hello")
        log.info("about another", extra={"task_id": "t-9", "attempt": 7})
    finally:
        NODE.reset(node)
        WORK.reset(work)
    first, second = (json.loads(line) for line in lines.getvalue().splitlines())
    assert (first["task_id"], first["attempt"], first["node"]) == ("t-1", 2, "spore-1")
    assert (second["task_id"], second["attempt"], second["node"]) == ("t-9", 7, "spore-1")
    assert console.getvalue().splitlines()[0].endswith("shop: hello (task_id t-1, attempt 2, node spore-1)")


async def test_every_line_of_a_task_names_task_node_and_attempt(
    broker: MessageBroker, settings: Settings, tmp_path: Path
) -> None:
    options = ("--skills", "tests.spore.log_skills:skills", "--log-format", "json")
    with NodeProcess("venom_spore.main", "counter", settings, tmp_path, *options) as spore:
        ids = {}
        for kind in ("in_loop", "without_context", "in_thread", "in_process"):
            ids[kind] = await broker.enqueue_task(kind, {"word": f"hello\n{kind}"})
        lucky = await broker.enqueue_task("second_time_lucky")
        for task_id in (*ids.values(), lucky):
            assert (await ended(broker, task_id)).status == "completed", spore.text
        found: list[Line] = [msgspec.json.decode(line) for line in spore.text.splitlines()]

    for kind, task_id in ids.items():
        own = [line for line in found if line["logger"] in {"shop", "venom.skills"} and kind in line["message"]]
        ways = {line["message"].partition(" hello")[0] for line in own}
        assert ways == {
            "in_loop": {"context", "plain", "aside", "thread of the loop"}, "without_context": {"plain"},
        }.get(kind, {"context", "plain"})  # fmt: skip
        assert {(line["task_id"], line["attempt"], line["node"]) for line in own} == {(task_id, 1, "counter")}

    assert [line["attempt"] for line in found if line["message"] == "try" and line["task_id"] == lucky] == [1, 2]
    (failure,) = (line for line in found if line["message"].startswith("attempt failed"))
    assert (failure["task_id"], failure["attempt"]) == (lucky, 1)
    (joined,) = (line for line in found if "joined" in line["message"])
    assert "task_id" not in joined
    assert {line["node"] for line in found} == {"counter"}
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("module", ["venom_spore.main", "venom_core.nexus"])
async def test_a_daemon_logs_json_from_its_first_line_to_its_last_words(
    settings: Settings, tmp_path: Path, module: str
) -> None:
    taken = ("--log-format", "json", "--redis-url", "redis://:hunter2@127.0.0.1:1")
    with NodeProcess(module, "lonely", settings, tmp_path, *taken) as daemon:
        assert await daemon.ended() == 1
        *_, last = [msgspec.json.decode(line) for line in daemon.text.splitlines()]
    assert last["level"] == "CRITICAL"
    assert last["message"].startswith(f"venom-{module.partition('_')[2].partition('.')[0].replace('core', 'nexus')}: ")
    assert "hunter2" not in daemon.text


@pytest.mark.parametrize(("module", "code"), [("venom_spore.main", 2), ("venom_core.nexus", 1)])
def test_a_format_that_there_is_none_of_is_one_sentence(module: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--log-format", "xml"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert done.stderr.endswith(": HIVE_LOG_FORMAT is 'xml', but it must be console or json.\n")


def test_with_wrong_settings_json_was_wished_for_and_json_comes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "venom_spore.main", "--log-format", "json", "--log-level", "LOUD"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stderr)["message"].startswith("venom-spore: HIVE_LOG_LEVEL is 'LOUD'")


PREPARED = """
import logging
from venom_core.daemon import prepare
prepare(None, "INFO", "a test")
logging.getLogger("venom").info("key-hidden-1 token-hidden-2 pass-hidden-3 hidden-sentinel-4")
"""


def test_a_daemon_masks_every_secret_of_its_settings() -> None:
    secret = {
        "HIVE_LLM_API_KEY": "key-hidden-1",
        "NEXUS_SHARED_TOKEN_PREVIOUS": "token-hidden-2".ljust(32, "x"),
        "REDIS_URL": "redis+sentinel://:pass-hidden-3@h:1/name?sentinel_password=hidden-sentinel-4",
    }
    done = subprocess.run(
        [sys.executable, "-c", PREPARED.replace("token-hidden-2", secret["NEXUS_SHARED_TOKEN_PREVIOUS"])],
        cwd=ROOT, capture_output=True, text=True, check=True, env={"LC_ALL": "C", **secret},
    )  # fmt: skip
    assert "*** *** *** ***" in done.stderr


UNCAUGHT = """
import threading, warnings
from venom_core.log_format import install
install("json", "INFO")
warnings.warn("old ways", stacklevel=1)
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise KeyError("the end")
"""


def test_what_nobody_catches_is_a_line_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNCAUGHT], cwd=ROOT, capture_output=True, text=True, check=False, env={"LC_ALL": "C"}
    )
    warned, thread, end = (json.loads(line) for line in done.stderr.splitlines())
    assert done.returncode == 1
    assert "old ways" in warned["message"]
    assert (thread["message"], end["message"]) == ("uncaught ZeroDivisionError", "uncaught KeyError")
    assert end["exception"].endswith("KeyError: 'the end'")


def test_a_child_is_told_to_log_like_its_parent() -> None:
    kind, level = installed()
    assert kind in {CONSOLE, JSON}
    assert isinstance(logging.getLevelName(level), int)
