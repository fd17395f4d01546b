"""The last look at Redis: every task with its end, the counters, and what should not be there any more."""

from __future__ import annotations

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


def look(client: redis.Redis, namespace: str, recorder: Recorder) -> None:
    """Write down what a hive holds whose tasks have all ended and whose nodes have all left; then remove it."""
    space, seal = Keyspace(namespace, 1), Seal(namespace)
    ended = 0
    for ids in _pages(client, space.key(0, "task")):
        records = _hmget(client, space.key(0, "outcome"), ids)
        ended += sum(record is not None for record in records)
        _found(recorder, seal, ids, records)
    for fault in _residue(client, space, ended):
        recorder.write("residue", text=fault)
    recorder.write("counts", sums=tuple(_counts(client, space)))
    for fault in leaked_keys(client, namespace):
        recorder.write("residue", text=fault)


def _found(recorder: Recorder, seal: Seal, ids: list[str], records: list[bytes | None]) -> None:
    marks, sums, tokens, tries = "", [], [], []
    for task_id, record in zip(ids, records, strict=True):
        if record is None:
            mark, token, tried = "-", 0, ""
        else:
            status, outcome = open_outcome(seal, task_id, record)
            mark = next(chr(byte) for byte, known in MARK_STATUSES.items() if known is status)
            result = msgspec.msgpack.decode(outcome.result)
            token = result if isinstance(result, int) else 0
            tried = f"{outcome.attempt}.{outcome.crashes}"
        marks += mark
        sums.append(sum_of(record or b""))
        tokens.append(token)
        tries.append(tried)
    recorder.write("found", ids=tuple(ids), marks=marks, sums=tuple(sums), tokens=tuple(tokens), tries=tuple(tries))


def _residue(client: redis.Redis, space: Keyspace, ended: int) -> Iterator[str]:
    for name in EMPTY:
        key = space.key(0, name)
        if client.exists(key):
            yield f"{name} is not empty: {_content(client, key)}"
    for pattern in ("queue:", "later:"):
        for key in client.scan_iter(match=space.key(0, pattern) + b"*", count=1000):
            yield f"{key.decode()} is not empty: {_content(client, key)}"
    outcomes = client.hlen(space.key(0, "outcome"))
    if outcomes != ended:
        yield f"{outcomes} outcomes for {ended} tasks that have one"
    kept = sum(len(member.split()) for member, _ in client.zscan_iter(space.key(0, "expiry"), count=PAGE))
    if kept != ended:
        yield f"{kept} ends are to be forgotten some day, there are {ended}"


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
    """High, background, running, dead letters, completed, failed, cancelled, quarantined."""
    names = ("high", "background", "ended_c", "ended_f", "ended_x", "ended_q")
    counts = [int(text or 0) for text in _hmget(client, space.key(0, "count"), list(names))]
    running: Any = client.hlen(space.key(0, "run"))
    dead: Any = client.zcard(space.key(0, "dead"))
    return [*counts[:2], running, dead, *counts[2:]]


def _hmget(client: redis.Redis, key: bytes, fields: list[str]) -> list[bytes | None]:
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
