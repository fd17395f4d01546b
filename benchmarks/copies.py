"""Tables of the report that stand in another document too; the run writes them there, and a test compares them."""

from __future__ import annotations

import re

from benchmarks.report import table
from benchmarks.section import Section

COPIES = {
    "recovery": "docs/reliability.md",
    "anatomy": "docs/performance.md",
    "ablations": "docs/performance.md",
}


def copied(document: str, section: Section) -> str:
    """A document with the section's table in place of the one that has the same heads; raises if it has none."""
    head, rule, *rows = table(section.head, section.rows)
    place = re.compile(rf"^{re.escape(head)}\n\|[-:| ]+\|\n(?:\|.*\n)*", re.MULTILINE)
    if not place.search(document):
        raise ValueError(f"there is no table to write over; put these two lines where it belongs:\n{head}\n{rule}")
    return place.sub(lambda _: "\n".join([head, rule, *rows]) + "\n", document)
