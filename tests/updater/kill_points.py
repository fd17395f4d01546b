"""Kill a look at every change of a file that it makes, and the next look too; let a full or read-only disk refuse each.

    python -m tests.updater.kill_points [--long [--again N]] [--sample N]

The rules are those of `tests.launcher.kill_points`: `current` always leads to a complete release, and after the next
look and the next start of a launcher the state is at rest and nothing half-made is left.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.launcher.kill_points import Scenario, is_in_order, launch, main
from tests.processes import ROOT
from tests.updater.releasing import NODE, QUICK, Home, Releaser, served
from venom_core.config import Settings
from venom_core.ota.refusal import Code
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.releases import BASE
from venom_spore.updater.run import Exit, Look, Outcome

DISK = frozenset({Code.NO_SPACE, Code.LOCAL_FAULT})
READY = "ready at "


def look(home: Path) -> Outcome:
    """One look, which may be refused by the disk and by nothing else."""
    outcome = Look(home, NODE, Settings.load(hive_ota_interval=0.0), lambda _event, _detail: None, pace=QUICK).run()
    if outcome.exit is Exit.REFUSED and outcome.code not in DISK:
        raise AssertionError(outcome.words)
    return outcome


def recover(home: Path) -> None:
    """The next look, and a launcher that takes what it finds to its end."""
    outcome = look(home)
    if outcome.exit is Exit.REFUSED:
        raise AssertionError(f"the disk is well, but {outcome.words}")
    launch(home, lambda _release: True)


def taking(name: str, releaser: Releaser, url: str, before: str, new: str) -> Scenario:
    """A look that finds a release, over the base or over one that runs."""

    def prepare(folder: Path) -> None:
        Home(folder, url, releaser.fingerprint)
        if before:
            releaser.release(before)
            assert look(folder)
            launch(folder, lambda _release: True)
        releaser.release(new)

    def ended(folder: Path) -> list[str]:
        # Killed at its very end the first look has staged it; the next one finds that, and the launcher takes it.
        [name] = [each.name for each in (folder / "releases").iterdir() if each.name.startswith(f"{new}-")] or [BASE]
        return is_in_order(folder, ends={name: Phase.IDLE})

    def act(folder: Path) -> None:
        look(folder)

    return Scenario(name, prepare, act, _recover_staged, ended)


def _recover_staged(home: Path) -> None:
    """What is staged already is BUSY to a look: then it is the launcher's turn first."""
    launch(home, lambda _release: True)
    recover(home)


@contextmanager
def elsewhere(folder: Path) -> Iterator[str]:
    """The server in a process of its own, because a process with threads may not fork."""
    command = [sys.executable, "-m", "tests.updater.kill_points", "--serve", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield server.stdout.readline().removeprefix(READY).strip()
        finally:
            server.stdin.close()


def serve(folder: Path) -> None:
    """Serve until standard input is closed."""
    with served(folder) as url:
        sys.stdout.write(f"{READY}{url}\n")
        sys.stdout.flush()
        sys.stdin.read()


def run() -> int:
    with tempfile.TemporaryDirectory() as place:
        first, second = Releaser(Path(place, "first")), Releaser(Path(place, "second"))
        with elsewhere(first.folder) as url, elsewhere(second.folder) as other:
            return main(
                (
                    taking("the first release", first, url, "", "1.0.0"),
                    taking("a release over another", second, other, "1.0.0", "2.0.0"),
                )
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(Path(sys.argv[2]))
    else:
        code = run()
        sys.stdout.flush()
        os._exit(code)
