"""From what a running task says (`ctx.progress`, `ctx.emit`) to the outbox, from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import msgspec

from venom_spore.context import Report
from venom_spore.execution import Attempt
from venom_spore.outbox import Outbox

_encode = msgspec.msgpack.Encoder().encode


def note_sink(outbox: Outbox, loop: asyncio.AbstractEventLoop) -> Callable[[Attempt], Report]:
    """A maker of report functions, one per attempt; what is said after the attempt was stopped is dropped."""
    home = threading.get_ident()

    def for_attempt(attempt: Attempt) -> Report:
        def report(kind: str, data: object) -> None:
            # In the loop's own thread at once: a last word must not arrive after the end of its task.
            if threading.get_ident() == home:
                deliver(kind, data)
            else:
                loop.call_soon_threadsafe(deliver, kind, data)

        def deliver(kind: str, data: object) -> None:
            if attempt.stop is not None or attempt.verdict is not None:
                return
            if kind == "progress":
                outbox.progress(attempt.lease, _encode(data))
            elif isinstance(data, bytes):
                outbox.emit(attempt.lease, data)

        return report

    return for_attempt
