"""How log lines look: for people (console), or one JSON object a line, each with the task it belongs to.

The standard library does it: one formatter, and context variables that say whose work it is. structlog would add
loggers of its own beside those that every library uses, and would have to format those here all the same.

A line is made only when a handler writes it, so a level that is off costs one comparison. Passwords in addresses
and the secrets that are named to `install` are masked in every part of a line.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TextIO
from urllib.parse import quote

from venom_core.clock import to_utc

CONSOLE, JSON = "console", "json"
MESSAGE_CHARS_MAX = 32_768
FIELD_CHARS_MAX = 4_096
FIELDS_MAX = 64
# A shorter secret would be found inside ordinary words.
SECRET_CHARS_MIN = 4


class Work(Protocol):
    """What a line may belong to. It is asked only when a line is written."""

    def identity(self) -> tuple[str, int]:
        """Task id and number of the attempt, which is 1 on the first run."""
        ...


class NamedWork(NamedTuple):
    """Work by its name alone."""

    task_id: str
    attempt: int

    def identity(self) -> tuple[str, int]:
        """Task id and number of the attempt."""
        return self.task_id, self.attempt


# The attempt that the present piece of work belongs to; threads and tasks that it starts in asyncio's ways inherit it.
WORK: ContextVar[Work | None] = ContextVar("venom_work", default=None)
# The node that it runs on, and who finds the work where setting it for every task would cost too much.
NODE: ContextVar[str] = ContextVar("venom_node", default="")
FINDER: ContextVar[Callable[[], Work | None] | None] = ContextVar("venom_finder", default=None)

_KNOWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_RENAMED = {"node_id": "node"}
# Each part is bounded, or a hostile message would keep the search busy for hours.
_ADDRESS_CHARS_MAX = 1_400
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s:@/]{0,256}):\S{0,1024}@")
_OPTION = re.compile(r"\b((?:\w+_)?(?:password|token|secret))=[^\s&,;'\"]+", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Fields = dict[str, Any]


class LineFormatter(logging.Formatter):
    """Makes one line of a record in one of the two formats; never raises, whatever the record holds."""

    def __init__(self, kind: str = CONSOLE, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s")
        self.kind = kind
        self.node = ""
        self.conceal(secrets)

    def conceal(self, secrets: Iterable[str]) -> None:
        """Mask these from now on."""
        forms = {form for secret in secrets if len(secret) >= SECRET_CHARS_MIN for form in _forms(secret)}
        self._secret = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True)))) if forms else None
        self._torn_chars = max(_ADDRESS_CHARS_MAX, *map(len, forms)) if forms else _ADDRESS_CHARS_MAX

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        message = self._clean(_message(record), MESSAGE_CHARS_MAX)
        fields = self._fields(record)
        trace = self._trace(record)
        if self.kind == JSON:
            return self._as_json(record, message, fields, trace)
        about = ", ".join(f"{name} {fields[name]}" for name in ("task_id", "attempt", "node") if name in fields)
        whose = f" ({about})" if "task_id" in fields else ""
        text = f"{self.formatTime(record)} {record.levelname} {record.name}: {message}{whose}"
        return _CONTROL.sub(_visible, f"{text}\n{trace}" if trace else text)

    def _as_json(self, record: logging.LogRecord, message: str, fields: Fields, trace: str) -> str:
        line: Fields = {
            "timestamp": to_utc(round(record.created * 1000)).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": message,
            **{name: value for name, value in fields.items() if name not in _TAKEN},
            "process": record.process,
            "thread": record.threadName,
        }
        if trace:
            line["exception"] = trace
        return json.dumps(line)

    def _fields(self, record: logging.LogRecord) -> Fields:
        """The task of the present context, and what the call gave as `extra`, which wins."""
        fields: Fields = {}
        if node := NODE.get() or self.node:
            fields["node"] = node
        if work := _present_work():
            fields["task_id"], fields["attempt"] = work.identity()
        given = [name for name in record.__dict__ if name not in _KNOWN][:FIELDS_MAX]
        return fields | {
            self._clean(_RENAMED.get(name, name), 100): self._plain(record.__dict__[name]) for name in given
        }

    def _plain(self, value: Any) -> Any:
        if value is None or isinstance(value, bool) or type(value) is int:
            return value
        if type(value) is float and math.isfinite(value):
            return value
        return self._clean(value if type(value) is str else _shown(value), FIELD_CHARS_MAX)

    def _trace(self, record: logging.LogRecord) -> str:
        """The traceback; of a long one the end, which says most."""
        parts = []
        try:
            if record.exc_info and record.exc_info[0] is not None:
                parts.append(self.formatException(record.exc_info))
        except Exception as fault:  # noqa: BLE001 - an exception may fail even at being shown
            parts.append(f"(this exception cannot be shown: {type(fault).__name__})")
        if record.stack_info:
            parts.append(record.stack_info)
        return self._clean("\n".join(parts), MESSAGE_CHARS_MAX, end=True)

    def _clean(self, text: str, chars_max: int, *, end: bool = False) -> str:
        """Text with secrets masked, no half characters, and not too long: its beginning, or its `end`."""
        # Masked before it is cut, so that no half of a secret stays behind. What is far too long is cut before, too;
        # where it was, half a secret may stand, and what could belong to one is dropped.
        most = 4 * chars_max + self._torn_chars
        torn = len(text) > most
        text = self._masked(text[-most:] if end else text[:most])
        if torn:
            text = text[self._torn_chars :] if end else text[: -self._torn_chars]
        if torn or len(text) > chars_max:
            text = text[-chars_max:] if end else f"{text[:chars_max]}… (cut)"
        return text.encode("utf-8", "replace").decode()

    def _masked(self, text: str) -> str:
        if self._secret is not None:
            text = self._secret.sub("***", text)
        return _OPTION.sub(r"\1=***", _ADDRESS.sub(r"\1:***@", text))


_TAKEN = frozenset({"timestamp", "level", "logger", "message", "process", "thread", "exception"})
_formatter = LineFormatter()


def install(kind: str, level: str | int, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Log to standard error from `level` on, unless this process logs elsewhere already.

    With `json`, warnings and uncaught exceptions become lines of that kind too. `secrets` are masked.
    """
    global _formatter  # noqa: PLW0603 - a process has one way to log, as it has one root logger
    _formatter = LineFormatter(kind, secrets)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter)
    logging.basicConfig(level=level, handlers=[handler])
    if kind == JSON:
        logging.captureWarnings(capture=True)
        sys.excepthook = _log_uncaught
        threading.excepthook = _log_thread


def conceal(secrets: Iterable[str]) -> None:
    """From now on the lines of this process mask these, in place of those that it was installed with."""
    _formatter.conceal(secrets)


def name_node(name: str) -> None:
    """From now on every JSON line says which node wrote it."""
    _formatter.node = name


def installed() -> tuple[str, str]:
    """Format and level of this process, for a child that is to log alike."""
    return _formatter.kind, logging.getLevelName(logging.getLogger().getEffectiveLevel())


def last_words(program: str, fault: BaseException) -> None:
    """Why a program ends, in one sentence on standard error, in the format of its log."""
    if _formatter.kind == JSON:
        logging.getLogger("venom").critical("%s: %s", program, fault)
    else:
        sys.stderr.write(f"{program}: {fault}\n")


def _log_uncaught(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("venom").critical("uncaught %s", kind.__name__, exc_info=(kind, fault, trace))


def _log_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _present_work() -> Work | None:
    finder = FINDER.get()
    return WORK.get() or (finder() if finder else None)


def _message(record: logging.LogRecord) -> str:
    """The message; bytes as text, and one whose arguments do not fit as what was given."""
    try:
        if isinstance(record.msg, bytes) and not record.args:
            return record.msg.decode(errors="backslashreplace")
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a wrong format string or a failing __str__ is no reason to lose the line
        return f"{_shown(record.msg)} % {_shown(record.args)}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - whatever it is, a log line must not fail over it
        return f"({type(value).__name__} that cannot be shown)"


def _visible(found: re.Match[str]) -> str:
    """What a terminal would obey, as what it is called."""
    return f"\\x{ord(found[0]):02x}"


def _forms(secret: str) -> set[str]:
    """A secret as it is, as it stands in an address, and as it stands in JSON or a repr."""
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
