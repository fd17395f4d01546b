"""Whatever the moment at which a look dies, the next one takes the release.

This is a sample; `python -m tests.updater.kill_points --long` is all of it.
"""

from __future__ import annotations

import pytest

from tests.launcher.test_kill_points import run


@pytest.mark.parametrize("name", ["the first release", "a release over another"])
def test_a_look_may_die_at_any_moment(name: str) -> None:
    ended = run("tests.updater.kill_points", "--sample", "61", name)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert " 0 wrong" in ended.stdout
