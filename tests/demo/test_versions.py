"""The third release of the demo is one that only its trial can find out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from venom_core.demo.versions import FIRST, MODULE, SECOND, THIRD, source
from venom_spore.updater.skills_import import WorkerSkills

ASKED = {
    "import": "import {0}; {0}.skills",
    "start": "from venom_spore.skills import load_skills; load_skills('{0}:skills')",
}


@pytest.mark.parametrize("version", [FIRST, SECOND, THIRD])
@pytest.mark.parametrize("what", ASKED)
def test_every_version_imports_and_the_third_dies_at_the_start_of_a_spore(
    version: str, what: str, tmp_path: Path
) -> None:
    (tmp_path / f"{MODULE}.py").write_text(source(version))
    done = subprocess.run(
        [sys.executable, "-c", ASKED[what].format(MODULE)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    dies = (version, what) == (THIRD, "start")
    assert ("RULES_OF_THE_ONE_WHO_WROTE_THIS" in done.stderr, done.returncode) == (dies, int(dies))


def test_the_skills_of_the_demo_are_imported_before_they_are_tried() -> None:
    assert WorkerSkills.read(f"{MODULE}:skills").origins
