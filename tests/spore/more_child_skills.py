"""A second SkillSet for test_sandbox, with a skill that writes to the sandbox's own socket."""

from __future__ import annotations

import os
import stat
import time

from tests.spore import child_skills
from venom_spore.skills import SkillSet

skills = SkillSet()
skills.include(child_skills.skills)


@skills.skill(process=True)
def speak_raw(frame: str) -> None:
    for descriptor in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, bytes.fromhex(frame))
        except OSError:
            continue
    time.sleep(child_skills.FOREVER_S)
