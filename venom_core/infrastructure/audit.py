"""Reading the security audit: refusals and rescues, the newest about 10,000 lines of them."""

from __future__ import annotations

from dataclasses import dataclass

from venom_core.infrastructure.hive import Hive

LINES_MAX = 20_000


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One line: when (ms of Redis' clock), what happened, to which task or node, why, and who says so."""

    at_ms: int
    what: str
    subject: str
    why: str
    node: str


def told_of(fields: list[bytes]) -> dict[str, str]:
    """The fields of one entry of the stream, by name."""
    texts = [item.decode(errors="replace") for item in fields]
    return dict(zip(texts[::2], texts[1::2], strict=True))


async def audit_lines(hive: Hive, subject: str | None = None) -> list[AuditLine]:
    """The audit, oldest first; of one task or node, or of all."""
    found: list[AuditLine] = []
    for partition in range(hive.tasks.keyspace.partitions):
        key = hive.tasks.keyspace.key(partition, "audit")
        for stamp, fields in await hive.link.command("XRANGE", key, "-", "+", "COUNT", LINES_MAX):
            told = told_of(fields)
            line = AuditLine(
                int(stamp.partition(b"-")[0]),
                told.get("what", ""),
                told.get("task", ""),
                told.get("why", ""),
                told.get("node", ""),
            )
            if subject in (None, line.subject):
                found.append(line)
    return sorted(found, key=lambda line: line.at_ms)
