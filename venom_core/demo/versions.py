"""The scanner of `quickstart --ota` in three versions.

The first is what was installed by hand, the second differs in its number alone, which stands in each result. The third
has a mistake that shows only where it runs: it reads a variable that no machine has, so its Spores die at their start.
"""

from __future__ import annotations

MODULE = "hive_scanner"
FIRST, SECOND, THIRD = "1.0", "2.0", "3.0"
MISTAKE = 'RULES = os.environ["RULES_OF_THE_ONE_WHO_WROTE_THIS"]\n'

_SKILL = '''"""The scanner of the quickstart, release {version}."""

import os

from venom_core.demo.path_text import from_wire
from venom_core.demo.scanner import scan
from venom_spore.skills import SkillSet

RELEASE = "{version}"
{mistake}
skills = SkillSet()


@skills.skill(process=True)
def scan_file(path: str) -> dict[str, object]:
    """Findings of the Python file at an absolute path, that path again, and the release that found them."""
    return {{"path": path, "release": RELEASE, **scan(from_wire(path))}}
'''


def source(version: str) -> str:
    """The module of one release."""
    return _SKILL.format(version=version, mistake=MISTAKE if version == THIRD else "")
