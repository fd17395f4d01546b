"""A hive of its own for a while, on a server that others use: its namespace says so, and nothing of it stays."""

from __future__ import annotations

import secrets

from venom_core.errors import InvalidSetting
from venom_core.infrastructure.redis_link import RedisLink

PREFIX = "scratch-"
KEYS_A_STEP = 1_000


def scratch_namespace() -> str:
    """A new name for such a hive."""
    return f"{PREFIX}{secrets.token_hex(6)}"


async def forget_scratch(link: RedisLink, namespace: str) -> int:
    """Remove every key of such a hive, and of no other (`InvalidSetting`); the number removed."""
    if not namespace.startswith(PREFIX) or not namespace.removeprefix(PREFIX).isalnum():
        raise InvalidSetting(
            f"{namespace!r:.60} is no hive of its own; only those that begin with {PREFIX} are removed"
        )
    removed, cursor = 0, b"0"
    while True:
        cursor, keys = await link.command("SCAN", cursor, "MATCH", f"{{{namespace}:*", "COUNT", KEYS_A_STEP)
        if keys:
            removed += await link.command("UNLINK", *keys)
        if int(cursor) == 0:
            return removed
