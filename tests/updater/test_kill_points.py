"""Whatever the moment at which a look dies, the next one takes the release.

This is a sample; `python -m tests.updater.kill_points --long` is all of it.
"""

from __future__ import annotations

from tests.launcher.test_kill_points import run


def test_a_look_may_die_at_any_moment() -> None:
    ended = run("tests.updater.kill_points", "--sample", "61", "a release over another")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " 0 wrong" in ended.stdout
