"""What a check found: how it is, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from venom_core.commands.frame import FAILED, OK
from venom_core.commands.screen import Listing, word

State = Literal["ok", "warn", "pass", "fail", "cannot know"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check; `fix` is empty where nothing is to be done."""

    check: str
    state: State
    found: str
    fix: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def listing_of(findings: Iterable[Finding]) -> Listing:
    """A table with a line for each, and the fix below it where one is needed."""
    listed = list(findings)
    rows: list[tuple[object, ...]] = []
    for finding in listed:
        rows.append((word(finding.state), finding.check, finding.found))
        if finding.fix:
            rows.append(("", "", f"-> {finding.fix}"))
    return Listing([finding.as_dict() for finding in listed], ("", "check", "found"), rows)


def exit_code(findings: Iterable[Finding]) -> int:
    """1 if anything failed."""
    return FAILED if any(finding.state == "fail" for finding in findings) else OK
