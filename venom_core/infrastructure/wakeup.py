"""Being woken instead of polling: blocking on wake lists."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError

from venom_core.errors import StoreUnavailable
from venom_core.infrastructure.line import Command
from venom_core.infrastructure.redis_link import RedisLink

BLOCK_S_MAX = 10.0
MARGIN_S = 5.0


class WakeLists:
    """Blocks on wake lists over a line of its own; several who block at once take turns."""

    def __init__(self, link: RedisLink) -> None:
        self._line = link.own_line()
        self._one_at_a_time = asyncio.Lock()
        self._given_up = self._ended = False

    def end(self) -> None:
        """End the call that blocks now, and each that waits for its turn or comes later: they answer None."""
        self._ended = True
        self.give_up()

    def give_up(self) -> None:
        """End the call that blocks now, if one does: it answers None; a token that is on its way is lost."""
        self._given_up = True
        self._line.drop()

    async def pop(self, keys: Sequence[bytes], seconds: float) -> bytes | None:
        """The list a token was taken from, or None after `seconds` (at most 10, in steps of a millisecond)."""
        popped = await self.pop_and(keys, seconds)
        return popped[0] if popped else None

    async def pop_and(
        self, keys: Sequence[bytes], seconds: float, command: Command = ()
    ) -> tuple[bytes | None, Any] | None:
        """Like `pop`; the server runs a script the moment it wakes this one, or when the time is over: (list, reply).

        That saves the way there and back between being woken and asking. A server that does not know the script
        (any more) has taken the token all the same: (None, None). None if it was given up.
        """
        block_s = min(math.ceil(seconds * 1000) / 1000, BLOCK_S_MAX)
        commands: list[Command] = [("BLPOP", *keys, block_s)]
        if command:
            commands.append(command)
        async with self._one_at_a_time:
            if self._ended:
                return None
            self._given_up = False
            try:
                popped, *replies = await self._line.ask(block_s + MARGIN_S, *commands, exclusive=True)
            except NoScriptError:
                return None, None
            except StoreUnavailable:
                if not self._given_up:
                    raise
                return None
        return None if popped is None else popped[0], replies[0] if replies else None
