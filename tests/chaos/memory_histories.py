"""Histories of what an idle hive held before and after: what may be, and what breaks the rule about memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chaos.hive_rules import KEY_BYTES_MORE, PROCESS_BYTES_MORE, SERVER_BYTES_MORE
from tests.chaos.writing import Script, ordinary


def weigh(
    script: Script,
    when: str,
    *,
    names: Sequence[str] = ("count", "meta"),
    keys: int = 100,
    server: int = 5_000,
    process: int = 9_000,
    who: str = "spore-1~7",
) -> None:
    script.say(
        "memory",
        "conductor",
        text=when,
        number=server,
        ids=names,
        sums=[keys] * len(names),
        fences=[who],
        tokens=[process],
    )


def judged(script: Script) -> None:
    ordinary(script)
    script.found("a")
    script.counts()


def as_before(script: Script) -> None:
    weigh(script, "before")
    judged(script)
    weigh(script, "after")


def a_little_more(script: Script) -> None:
    weigh(script, "before")
    judged(script)
    weigh(
        script,
        "after",
        keys=100 + KEY_BYTES_MORE,
        server=5_000 + SERVER_BYTES_MORE,
        process=9_000 + PROCESS_BYTES_MORE,
    )


def another_process_is_larger(script: Script) -> None:
    weigh(script, "before")
    judged(script)
    weigh(script, "after", process=9_000 + 2 * PROCESS_BYTES_MORE, who="spore-1~8")


def a_key_is_left(script: Script) -> None:
    weigh(script, "before")
    judged(script)
    weigh(script, "after", names=("count", "meta", "watch"))


def a_key_is_gone(script: Script) -> None:
    weigh(script, "before")
    judged(script)
    weigh(script, "after", names=("count",))


def a_key_has_grown(script: Script) -> None:
    weigh(script, "before")
    judged(script)
    weigh(script, "after", keys=101 + KEY_BYTES_MORE)


def the_server_has_grown(script: Script) -> None:
    weigh(script, "before")
    judged(script)
    weigh(script, "after", server=5_001 + SERVER_BYTES_MORE)


def a_process_has_grown(script: Script) -> None:
    weigh(script, "before")
    judged(script)
    weigh(script, "after", process=9_001 + PROCESS_BYTES_MORE)


def nobody_looked_after_the_storm(script: Script) -> None:
    weigh(script, "before")
    judged(script)


GOOD_MEMORY: tuple[Callable[[Script], None], ...] = (as_before, a_little_more, another_process_is_larger)
BAD_MEMORY: dict[str, tuple[Callable[[Script], None], ...]] = {
    "memory": (
        a_key_is_left,
        a_key_is_gone,
        a_key_has_grown,
        the_server_has_grown,
        a_process_has_grown,
        nobody_looked_after_the_storm,
    )
}
