"""A run: many tasks started by one call, which can be taken up again by its id.

Its tasks have the ids `<run_id>.<index>`, so whoever knows the record knows them all. The record is sealed,
because who takes a run up again starts the fold that it names.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from venom_core.domain.seal import Seal
from venom_core.errors import InvalidTask, SecurityError, TaskExists

RUN_ID_CHARS_MAX = 100
RUN_TTL_S = 7 * 86_400
_RUN_ID = re.compile(r"[A-Za-z0-9_.:-]{1,%d}" % RUN_ID_CHARS_MAX)

RunKind = Literal["map", "parallel"]


class RunRecord(msgspec.Struct, frozen=True, array_like=True):
    """What was asked for; `digest` stands for the payloads.

    `timeout` (seconds) and `max_retries` are those of the fold's tasks too, None = the hive's.
    """

    kind: RunKind
    total: int
    skill: str
    description: str
    priority: int
    reduce: str | None = None
    skip_failed: bool = False
    timeout: float | None = None
    max_retries: int | None = None
    digest: str = ""

    def refuse_other(self, run_id: str, other: RunRecord) -> None:
        """`TaskExists` naming the first thing in which the record found under this id differs."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                what = "its items are others" if name == "digest" else f"its {name} is {theirs!r:.60}, not {mine!r:.60}"
                raise TaskExists(f"run {run_id} exists with other content: {what}; choose another run_id")


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RunRecord)


def check_run_id(run_id: str) -> str:
    """The id itself if it is 1-100 letters, digits, `_ . : -`; `InvalidTask` otherwise."""
    if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
        return run_id
    raise InvalidTask(f"a run_id is 1 to {RUN_ID_CHARS_MAX} letters, digits, '_', '.', ':' or '-', not {run_id!r:.60}")


def seal_run(seal: Seal, run_id: str, record: RunRecord) -> bytes:
    """The record as it is stored."""
    return seal.close("run", run_id, 0, _encoder.encode(record))


def open_run(seal: Seal, run_id: str, data: bytes) -> RunRecord:
    """The record of stored bytes; `SecurityError` if it is not ours."""
    try:
        return _decoder.decode(seal.open("run", run_id, data))
    except msgspec.MsgspecError as fault:
        raise SecurityError(f"the record of run {run_id} cannot be read: {fault}") from None


def item_ids(run_id: str, start: int, stop: int) -> list[str]:
    """Ids of the tasks of items `start` to `stop` (not included)."""
    return [f"{run_id}.{index}" for index in range(start, stop)]


def index_of(task_id: str) -> int:
    """The index of the item that a task of a run stands for."""
    return int(task_id.rpartition(".")[2])
