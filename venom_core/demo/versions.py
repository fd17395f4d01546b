"""The scanner of `quickstart --ota` in three versions.

The first is what was installed by hand, the second differs in its number alone, which stands in each result. The third
has a mistake that no import shows: when a Spore starts with its skills, it reads a variable that no machine has. So
it is taken, its Spores die at their start, and they go back.
"""

from __future__ import annotations

MODULE = "hive_scanner"
FIRST, SECOND, THIRD = "1.0", "2.0", "3.0"
MISTAKE = '''

class RuledSkills(SkillSet):
    """Skills that ask for their rules when a Spore starts with them."""

    def located(self, origin: str = "") -> SkillSet:
        """As ever, by the rules."""
        os.environ["RULES_OF_THE_ONE_WHO_WROTE_THIS"]
        return super().located(origin)


skills = RuledSkills()
'''

_SKILL = '''"""The scanner of the quickstart, release {version}."""

import os

from venom_core.demo.path_text import from_wire
from venom_core.demo.scanner import scan
from venom_spore.skills import SkillSet

RELEASE = "{version}"
skills = SkillSet()
{mistake}

@skills.skill(process=True)
def scan_file(path: str) -> dict[str, object]:
    """Findings of the Python file at an absolute path, that path again, and the release that found them."""
    return {{"path": path, "release": RELEASE, **scan(from_wire(path))}}
'''


def source(version: str) -> str:
    """The module of one release."""
    return _SKILL.format(version=version, mistake=MISTAKE if version == THIRD else "")
