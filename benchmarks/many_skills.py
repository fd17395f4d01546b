"""A Spore with a thousand task types."""

from __future__ import annotations

from benchmarks.many_types import TYPES
from benchmarks.skills import noop
from venom_spore.skills import SkillSet

skills = SkillSet()
for name in TYPES:
    skills.skill(name)(noop)
