"""What the quickstart's Spores can do: `venom-spore --skills venom_core.demo.skills:skills`."""

from __future__ import annotations

from typing import Any

from venom_core.demo.path_text import from_wire
from venom_core.demo.scanner import scan
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill(process=True)
def scan_file(path: str) -> dict[str, Any]:
    """Findings of the Python file at an absolute path, and that path again, so that results can be counted."""
    return {"path": path, **scan(from_wire(path))}
