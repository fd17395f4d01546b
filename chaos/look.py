"""The last look at Redis: every task with its end, runs, the counters, and what should not be there any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import redis

from chaos.events import Recorder, sum_of
from tests.servers import leaked_keys
from venom_core.domain.seal import Seal
from venom_core.domain.task import MARK_STATUSES, open_outcome
from venom_core.infrastructure.keys import Keyspace

PAGE = 500
# What belongs to tasks that have not ended, or to nodes that have not left.
EMPTY = ("run", "tries", "progress", "assigned", "cancel", "wait", "ready", "placed", "due", "watch", "lease", "last")
# An entry of `expiry` that names a run begins so.
RUN_ENTRY = b"\1"


def look(client: redis.Redis, space: Keyspace, recorder: Recorder) -> None:
    """Write down what a hive holds whose tasks have all ended and whose nodes have all left; then remove it."""
    look_at_ends(client, space, recorder)
    look_at_rest(client, space, recorder)


def look_at_ends(client: redis.Redis, space: Keyspace, recorder: Recorder) -> None:
    """Write down how all tasks have ended that the hive remembers, and the counters of its runs."""
    joined: Counter[str] = Counter()
    for partition in range(space.partitions):
        ended = dead = 0
        for ids in _pages(client, space.key(partition, "task")):
            records = hmget(client, space.key(partition, "outcome"), ids)
            ended += sum(record is not None for record in records)
            dead += _found(recorder, Seal(space.namespace), ids, records)
        counts: Any = client.hgetall(space.key(partition, "join"))
        joined.update({run.decode(): int(count) for run, count in counts.items()})
        letters: Any = client.zcard(space.key(partition, "dead"))
        if letters != dead:
            recorder.write("residue", text=f"{letters} dead letters, {dead} tasks failed or were quarantined")
        for fault in _forgettable(client, space, partition, ended, set(counts)):
            recorder.write("residue", text=fault)
    for run_id, count in joined.items():
        recorder.write("joined", text=run_id, count=count)


def look_at_rest(client: redis.Redis, space: Keyspace, recorder: Recorder) -> None:
    """Write down the counters, and what should not be there when nothing runs and nobody is left; then remove it."""
    for partition in range(space.partitions):
        for fault in _residue(client, space, partition):
            recorder.write("residue", text=fault)
    recorder.write("counts", sums=tuple(_counts(client, space)))
    for fault in leaked_keys(client, space.namespace):
        recorder.write("residue", text=fault)


def _found(recorder: Recorder, seal: Seal, ids: list[str], records: list[bytes | None]) -> int:
    """How some tasks have ended; the number of dead letters among them."""
    marks, sums, tokens, tries = "", [], [], []
    stamps: list[int] = []
    for task_id, record in zip(ids, records, strict=True):
        if record is None:
            mark, token, tried = "-", 0, ""
        else:
            status, outcome = open_outcome(seal, task_id, record)
            mark = next(chr(byte) for byte, known in MARK_STATUSES.items() if known is status)
            token = token_of(msgspec.msgpack.decode(outcome.result))
            tried = f"{outcome.attempt}.{outcome.crashes}"
            # What was cancelled before it ran has never begun.
            stamps += [outcome.completed_ms, outcome.started_ms or outcome.completed_ms]
        marks += mark
        sums.append(sum_of(record or b""))
        tokens.append(token)
        tries.append(tried)
    recorder.write(
        "found",
        ids=tuple(ids),
        marks=marks,
        sums=tuple(sums),
        tokens=tuple(tokens),
        tries=tuple(tries),
        stamps=(min(stamps), max(stamps)) if stamps else (),
    )
    return marks.count("f") + marks.count("q")


def token_of(result: Any) -> int:
    """The token of the body that made a result; that of a fold is a list that begins with it."""
    first = result[0] if isinstance(result, list) and result else result
    return first if isinstance(first, int) else 0


def _forgettable(client: redis.Redis, space: Keyspace, partition: int, ended: int, runs: set[bytes]) -> Iterator[str]:
    """What keeps an end for ever, or forgets what is not there."""
    outcomes = client.hlen(space.key(partition, "outcome"))
    if outcomes != ended:
        yield f"{outcomes} outcomes for {ended} tasks that have one in partition {partition}"
    entries = [member for member, _ in client.zscan_iter(space.key(partition, "expiry"), count=PAGE)]
    kept = sum(len(entry.split()) for entry in entries if not entry.startswith(RUN_ENTRY))
    if kept != ended:
        yield f"{kept} ends are to be forgotten some day, there are {ended} in partition {partition}"
    named = {entry.removeprefix(RUN_ENTRY) for entry in entries if entry.startswith(RUN_ENTRY)}
    if named != runs:
        yield f"counts of runs {sorted(runs ^ named)[:5]} are kept without a time, or timed without a count"


def _residue(client: redis.Redis, space: Keyspace, partition: int) -> Iterator[str]:
    for name in EMPTY:
        key = space.key(partition, name)
        if client.exists(key):
            yield f"{key.decode()} is not empty: {_content(client, key)}"
    for pattern in ("queue:", "later:"):
        for key in client.scan_iter(match=space.key(partition, pattern) + b"*", count=1000):
            yield f"{key.decode()} is not empty: {_content(client, key)}"


def _content(client: redis.Redis, key: bytes) -> str:
    kind = client.type(key)
    if kind == b"hash":
        found: Any = dict(_first(client.hscan_iter(key)))
    elif kind == b"zset":
        found = _first(client.zscan_iter(key))
    else:
        found = kind
    return repr(found)[:200]


def _first(items: Iterator[Any]) -> list[Any]:
    return [item for item, _ in zip(items, range(5), strict=False)]


def _counts(client: redis.Redis, space: Keyspace) -> list[int]:
    """High, background, running, dead letters, completed, failed, cancelled, quarantined, over all partitions."""
    rows = [counts_of(client, space, partition) for partition in range(space.partitions)]
    return [sum(column) for column in zip(*rows, strict=True)]


def counts_of(client: redis.Redis, space: Keyspace, partition: int) -> list[int]:
    """The same of one partition."""
    names = ["high", "background", "ended_c", "ended_f", "ended_x", "ended_q"]
    counts = [int(text or 0) for text in hmget(client, space.key(partition, "count"), names)]
    running: Any = client.hlen(space.key(partition, "run"))
    dead: Any = client.zcard(space.key(partition, "dead"))
    return [*counts[:2], running, dead, *counts[2:]]


def hmget(client: redis.Redis, key: bytes, fields: list[str]) -> list[bytes | None]:
    """Fields of a hash."""
    found: Any = client.hmget(key.decode(), fields)
    return list(found)


def _pages(client: redis.Redis, key: bytes) -> Iterator[list[str]]:
    """The fields of a hash, each once, though a scan may repeat some."""
    seen: set[str] = set()
    cursor = 0
    while True:
        answer: Any = client.hscan(key.decode(), cursor, count=PAGE)
        cursor, page = int(answer[0]), answer[1]
        assert isinstance(page, Mapping)
        fresh = [name for name in (field.decode() for field in page) if name not in seen]
        seen.update(fresh)
        for start in range(0, len(fresh), PAGE):
            yield fresh[start : start + PAGE]
        if cursor == 0:
            return
