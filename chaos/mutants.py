"""Bugs put in on purpose, most of them into scripts: what the checker must find. `CHAOS_MUTANT` gives a process one."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace

from venom_core.infrastructure import scripts
from venom_core.infrastructure.scripts import Script
from venom_spore.lease_board import LeaseBoard

MUTANT = "CHAOS_MUTANT"
# The one that is in no script: a Spore that stood still goes on as if nothing had been. `zombie_ran_on` must name it.
NEVER_IN_DOUBT = "never_in_doubt"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: the text `right` of a script becomes `wrong`; the checker must name one of `rules`."""

    script: str
    right: str
    wrong: str
    rules: frozenset[str]


MUTANTS: dict[str, Mutant] = {
    "settle_without_fence": Mutant(
        "SETTLE",
        "if held[j] and string.sub(held[j], 1, size) == fence then",
        "if held[j] or true then",
        frozenset({"double_result", "stale_result"}),
    ),
    "settle_forgets_one": Mutant(
        "SETTLE",
        "if held[j] and string.sub(held[j], 1, size) == fence then",
        "if j > 1 and j == amount then elseif held[j] and string.sub(held[j], 1, size) == fence then",
        frozenset({"unended"}),
    ),
    "reaper_forgets_the_fence": Mutant(
        "TAKE_BACK",
        "if held and string.find(held, fence, 1, true) == 1 then",
        "if held then",
        frozenset({"two_holders"}),
    ),
    "reaper_forgets_the_lease": Mutant(
        "TAKE_BACK",
        "if tonumber(lease) >= now then return {'alive'} end",
        "",
        frozenset({"reaped_alive"}),
    ),
    "claim_without_lease": Mutant(
        "CLAIM",
        "if not asked_again and (not lease or tonumber(lease) < now) then",
        "if false then",
        frozenset({"claimed_dead"}),
    ),
    "claim_backwards": Mutant(
        "CLAIM",
        "local first = redis.call('ZRANGE', queue_of(i), 0, wanted - 1, 'WITHSCORES')",
        "local first = redis.call('ZRANGE', queue_of(i), 0, wanted - 1, 'REV', 'WITHSCORES')",
        frozenset({"order"}),
    ),
    "end_uncounted": Mutant(
        "SETTLE",
        "redis.call('HINCRBY', COUNT, 'ended_' .. mark, amount)",
        "redis.call('HINCRBY', COUNT, 'ended_' .. mark, 1)",
        frozenset({"counters"}),
    ),
    "crash_uncounted": Mutant(
        "TAKE_BACK",
        "crashes = crashes + 1",
        "",
        frozenset({"tries"}),
    ),
    "requeue_of_completed": Mutant(
        "REQUEUE",
        "if string.sub(record, 4, 4) == 'c' then return 'completed' end",
        "",
        frozenset({"double_result", "ran_after_end"}),
    ),
    "requeue_keeps_tries": Mutant(
        "REQUEUE",
        "redis.call('HDEL', TRIES, id)",
        "redis.call('HSET', TRIES, id, '1.1')",
        frozenset({"tries"}),
    ),
    "requeue_leaves_the_letter": Mutant(
        "REQUEUE",
        "redis.call('ZREM', DEAD, id)",
        "",
        frozenset({"residue"}),
    ),
    "wish_left_behind": Mutant(
        "SETTLE",
        "redis.call('HDEL', CANCEL, unpack(ids))",
        "",
        frozenset({"residue"}),
    ),
}


def mutated(mutant: Mutant) -> Script:
    """The script with its bug; raises `ValueError` if the script does not say any more what is to be changed."""
    right: Script = getattr(scripts, mutant.script)
    if right.source.count(mutant.right) != 1:
        raise ValueError(f"{right.name}.lua does not say once: {mutant.right}")
    source = right.source.replace(mutant.right, mutant.wrong)
    return replace(right, source=source, sha=hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def install() -> None:
    """From now on this process sends the script with the bug that its environment names, if it names one."""
    name = os.environ.get(MUTANT)
    if name == NEVER_IN_DOUBT:
        never_in_doubt()
    elif name:
        mutant = MUTANTS[name]
        setattr(scripts, mutant.script, mutated(mutant))


def never_in_doubt() -> None:
    """From now on the leases of this process seem to hold for ever, also to its children."""
    rightly = LeaseBoard.renew
    for attribute, wrong in (
        ("renew", lambda board, _sent_s: rightly(board, float("inf"))),
        ("doubt", lambda _board, _now_s: None),
    ):
        setattr(LeaseBoard, attribute, wrong)
