"""Being woken instead of polling: blocking on wake lists."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from venom_core.infrastructure.redis_link import RedisLink

BLOCK_S_MAX = 10.0
MARGIN_S = 5.0


class WakeLists:
    """Blocks on wake lists over a line of its own; several who block at once take turns."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._line = link.own_line()
        self._one_at_a_time = asyncio.Lock()

    async def pop(self, keys: Sequence[bytes], seconds: float) -> bytes | None:
        """The list a token was taken from, or None after `seconds` (at most 10, in steps of a millisecond)."""
        block_s = min(math.ceil(seconds * 1000) / 1000, BLOCK_S_MAX)
        async with self._one_at_a_time:
            reply: list[bytes] | None = await self._link.ask(self._line, block_s + MARGIN_S, "BLPOP", *keys, block_s)
        return None if reply is None else reply[0]
