from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event

import psutil
import pytest

from venom_core.ota.children import SAID_BYTES_MAX, run

FOREVER_S = 3600.0
ROOT = Path(__file__).parents[2]


def test_a_program_sees_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEXUS_SHARED_TOKEN", "PYTHONPATH", "https_proxy", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "secret")
    code = "import os, sys; print(sorted(os.environ)); print(os.getcwd(), sys.stdin.read() == '')"
    ended = run([sys.executable, "-I", "-c", code], scratch=tmp_path, limit_s=FOREVER_S)
    assert ended.code == 0
    assert ended.said.splitlines() == ["['HOME', 'LANG', 'PATH', 'TMPDIR']", f"{tmp_path} True"]


def test_only_the_last_of_what_it_says_is_kept(tmp_path: Path) -> None:
    code = "import sys; print('x' * 1_000_000, flush=True); print('the end', file=sys.stderr); sys.exit(7)"
    ended = run([sys.executable, "-I", "-c", code], scratch=tmp_path, limit_s=FOREVER_S)
    assert ended.code == 7
    assert len(ended.said) <= SAID_BYTES_MAX
    assert ended.last_line == "the end"
    assert run(["true"], scratch=tmp_path, limit_s=FOREVER_S).last_line == "it said nothing"
    with pytest.raises(OSError, match="No such file"):
        run([tmp_path / "none"], scratch=tmp_path, limit_s=FOREVER_S)


def _wait_for_the_end_of(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(30)


STARTS_ANOTHER = """
import subprocess, sys, threading
print(subprocess.Popen([sys.executable, "-I", "-c", "import threading; threading.Event().wait()"]).pid, flush=True)
{then}
"""


@pytest.mark.parametrize("then", ["threading.Event().wait()", "sys.exit(0)"])
def test_it_and_what_it_has_started_are_killed_when_the_time_is_up(tmp_path: Path, then: str) -> None:
    """Also where the program itself has ended and one that it left behind still holds its mouth open."""
    command = [sys.executable, "-I", "-c", STARTS_ANOTHER.format(then=then)]
    # On a busy machine an interpreter may take seconds to start.
    ended = next(found for limit_s in (2, 10, 40) if (found := run(command, scratch=tmp_path, limit_s=limit_s)).said)
    assert ended.code is None
    _wait_for_the_end_of(int(ended.said))


def test_a_program_that_closes_its_mouth_and_stays_is_killed(tmp_path: Path) -> None:
    code = "import os, threading; os.close(1); os.close(2); threading.Event().wait()"
    assert run([sys.executable, "-I", "-c", code], scratch=tmp_path, limit_s=2).code is None


STARTS_ONE_AND_IS_KILLED = """
import sys
from pathlib import Path
from venom_core.ota.children import run
stays = "import os, pathlib, threading; pathlib.Path('pid').write_text(str(os.getpid())); threading.Event().wait()"
run([sys.executable, "-I", "-c", stays], scratch=Path(sys.argv[1]), limit_s=3600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_a_program_ends_with_who_has_started_it_even_by_sigkill(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", STARTS_ONE_AND_IS_KILLED, tmp_path], cwd=ROOT) as starter:
        for _ in range(6000):
            if note.exists() and note.read_text():
                break
            assert starter.poll() is None
            Event().wait(0.01)
        starter.kill()
    _wait_for_the_end_of(int(note.read_text()))
