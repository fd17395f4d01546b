"""`venom-launcher`: keeps one Spore of this machine running and up to date."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from venom_spore.launcher.gate import PATIENCE_S, READY_S, Terms
from venom_spore.launcher.layout import LOCAL_FAULT, LauncherFault, Layout, held
from venom_spore.launcher.looks import HINT_EVERY_S, POLL_S
from venom_spore.launcher.state import StateFile
from venom_spore.launcher.supervisor import RETRY_S, Options, Supervisor

HOME = "./.venom/spore"
PROBATION_S = 30.0
SECONDS_MAX = 31_536_000.0
WORDS = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class _JsonLines(logging.Formatter):
    """One object a line, as Spores write them."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"timestamp": moment, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        return json.dumps({**line, "process": record.process})


def _log() -> None:
    handler = logging.StreamHandler()
    as_json = os.environ.get("HIVE_LOG_FORMAT", "").strip() == "json"
    handler.setFormatter(_JsonLines() if as_json else logging.Formatter(WORDS))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="venom-launcher",
        description="Keep one Spore running, take signed updates, and go back by itself when one fails.",
        epilog="SIGTERM drains and leaves, a second one hurries; SIGHUP looks for an update now.",
        usage="%(prog)s [--home FOLDER] [options] -- [arguments of venom-spore]",
    )
    parser.add_argument("--home", default=HOME, metavar="FOLDER", help=f"releases and state (default: {HOME})")
    parser.add_argument("--poll", metavar="SECONDS", help="look for updates so often (default: HIVE_OTA_POLL, or 3600)")
    parser.add_argument(
        "--probation", metavar="SECONDS", help="a release must be healthy so long (default: HIVE_OTA_PROBATION, or 30)"
    )
    parser.add_argument("--ready", metavar="SECONDS", help=f"and have joined the hive by then (default: {READY_S:g})")
    parser.add_argument(
        "--patience", metavar="SECONDS", help=f"and all of it may take so much longer (default: {PATIENCE_S:g})"
    )
    parser.add_argument(
        "--retry", metavar="SECONDS", help=f"what failed gets another chance after so long (default: {RETRY_S:g})"
    )
    parser.add_argument(
        "--hint-every", metavar="SECONDS", help=f"look after hints at most so often (default: {HINT_EVERY_S:g})"
    )
    parser.add_argument("--updater", metavar="PYTHON_MODULE", default="venom_spore.updater", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs="*", metavar="…", help="of venom-spore, after --")
    return parser


def _seconds(parsed: argparse.Namespace, option: str, default: float, setting: str = "") -> float:
    """An option, else a setting of the environment, else the default; `LauncherFault` for what is no number."""
    asked: str | None = getattr(parsed, option.removeprefix("--").replace("-", "_"))
    name, text = (option, asked) if asked is not None else (setting, os.environ.get(setting))
    if text is None or not text.strip():
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= SECONDS_MAX:
        raise LauncherFault(LOCAL_FAULT, f"{name} is seconds from 0 to a year, not {text!r:.40}")
    return value


def _options(parsed: argparse.Namespace) -> Options:
    return Options(
        arguments=tuple(parsed.arguments),
        environment=dict(os.environ),
        python=sys.executable,
        updater=(sys.executable, "-P", "-m", parsed.updater),
        terms=Terms(
            steady_s=_seconds(parsed, "--probation", PROBATION_S, "HIVE_OTA_PROBATION"),
            ready_s=_seconds(parsed, "--ready", READY_S),
            patience_s=_seconds(parsed, "--patience", PATIENCE_S),
        ),
        poll_s=max(_seconds(parsed, "--poll", POLL_S, "HIVE_OTA_POLL"), 1.0),
        hint_every_s=_seconds(parsed, "--hint-every", HINT_EVERY_S),
        retry_s=_seconds(parsed, "--retry", RETRY_S),
    )


def _doing(layout: Layout) -> str:
    """What the state of a home folder is, in brackets, if it can be read."""
    try:
        state = StateFile(layout).load()
    except LauncherFault:
        return ""
    return f" ({state.phase}, {state.current or 'nothing yet'})"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 after a clean stop, else one sentence: 2 for a worker that is used wrongly, 1 for the rest."""
    parsed = _parser().parse_args(arguments)
    _log()
    layout = Layout(Path(parsed.home).absolute())
    try:
        options = _options(parsed)
        layout.prepare()
        with held(
            layout.lock_file, f"another launcher keeps {layout.home}{_doing(layout)}; give this one another --home"
        ):
            return Supervisor(layout, options).run()
    except (LauncherFault, OSError) as fault:
        if os.environ.get("HIVE_LOG_FORMAT", "").strip() == "json":
            logging.getLogger("venom.launcher").error("%s", fault)
        else:
            sys.stderr.write(f"venom-launcher: {fault}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
