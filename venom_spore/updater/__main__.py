"""`python -m venom_spore.updater --home FOLDER [-- ARGUMENTS OF venom-spore]`: one look, told by its exit code.

0: nothing to do. 10: a release is staged, or the present one is to be left. 20: refused, in one sentence. 30: a fault.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from venom_core.config import Settings
from venom_core.errors import VenomError
from venom_core.log_format import install, last_words
from venom_core.ota.refusal import Code
from venom_spore.updater.auditing import audit_into
from venom_spore.updater.facts import Node
from venom_spore.updater.run import Exit, Look, Outcome
from venom_spore.updater.skills_import import WorkerSkills

log = logging.getLogger("venom.updater")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m venom_spore.updater", description="Look for a signed update once.")
    parser.add_argument("--home", required=True, metavar="FOLDER", help="home folder of the Spore's launcher")
    parser.add_argument(
        "--ready", type=float, default=0.0, metavar="SECONDS", help="its worker may take so long to start"
    )
    parser.add_argument("arguments", nargs="*", metavar="…", help="arguments of venom-spore, after --")
    return parser


def node_of(arguments: Sequence[str], ready_s: float = 0.0) -> Node:
    """Name, tags and skills in the arguments of a `venom-spore`; the others are its own."""
    worker = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    worker.add_argument("--name", default="")
    worker.add_argument("--tags", default="")
    worker.add_argument("--skills", default="")
    try:
        known, _ = worker.parse_known_args(arguments)
    except argparse.ArgumentError:
        return Node()  # its worker does not start with them either
    tags = tuple(tag.strip() for tag in known.tags.split(",") if tag.strip())
    return Node(known.name, tags, WorkerSkills.read(known.skills, ready_s))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; what happened is one line in the log, below INFO if that is nothing."""
    parsed = _parser().parse_args(arguments)
    home, node = Path(parsed.home), node_of(parsed.arguments, parsed.ready)
    try:
        settings = Settings.load()
        install(settings.hive_log_format, settings.hive_log_level, settings.secrets())
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request
        outcome = Look(home, node, settings, audit_into(settings.hive_audit_file, node.known_as)).run()
    except VenomError as fault:
        last_words("venom-updater", fault)
        return Exit.FAULT
    except Exception:
        log.exception("the updater failed; report what it shows")
        return Exit.FAULT
    log.log(_level(outcome), "%s", outcome.words)
    return outcome.exit


def _level(outcome: Outcome) -> int:
    """A refusal that passes by itself is no warning."""
    if outcome.exit is Exit.REFUSED:
        return logging.INFO if outcome.code is Code.TOO_SOON else logging.WARNING
    return logging.INFO if outcome.exit is Exit.STAGED else logging.DEBUG


if __name__ == "__main__":
    sys.exit(main())
