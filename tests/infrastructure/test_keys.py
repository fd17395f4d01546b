from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_core.infrastructure import keys
from venom_core.infrastructure.keys import Keyspace


def test_all_keys_of_a_partition_share_one_hash_tag() -> None:
    space = Keyspace("hive", 4)
    names = [space.key(3, "task"), *space.type_keys(3, "scan"), space.partial(3, "id")]
    assert names == [
        b"{hive:3}:task", b"{hive:3}:queue:scan", b"{hive:3}:later:scan", b"{hive:3}:wake:scan", b"{hive:3}:partial:id",
    ]  # fmt: skip
    assert space.meta() == b"{hive:0}:meta"
    assert space.key(3, "task") is space.key(3, "task")


@given(st.from_regex(r"[!-~]{1,20}", fullmatch=True))
def test_a_task_always_lives_in_the_same_partition(task_id: str) -> None:
    first, second = Keyspace("hive", 7), Keyspace("other", 7)
    assert first.partition_of(task_id) == second.partition_of(task_id) in range(7)
    assert Keyspace("hive", 1).partition_of(task_id) == 0


def test_the_partition_of_an_id_is_the_same_in_every_release() -> None:
    assert [Keyspace("hive", 16).partition_of(task_id) for task_id in ("a", "b", "job-1")] == [3, 9, 15]


def test_ids_spread_over_the_partitions() -> None:
    space = Keyspace("hive", 4)
    counts = [0] * 4
    for at in range(4_000):
        counts[space.partition_of(f"task-{at}")] += 1
    assert min(counts) > 800


def test_the_names_of_countless_types_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "TYPES_CACHED_MAX", 10)
    space = Keyspace("hive", 1)
    for at in range(100):
        assert space.type_keys(0, f"type{at}")[0] == b"{hive:0}:queue:type%d" % at
    assert len(space._types) <= 12


def test_channels_are_named_after_the_hive() -> None:
    space = Keyspace("hive", 1)
    assert space.reply_channel("me") == "hive:reply:me"
    assert (space.node_channel(7), space.node_channel()) == ("hive:node:7", "hive:node:")
