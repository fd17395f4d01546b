"""Every key of a hive, in one place: what it holds and how it leaves.

All keys of a partition share one hash tag, `{namespace:k}`, so one script may touch them together on a
single server and on Redis Cluster alike. A task's partition follows from its id by a stable hash.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One key: its name, Redis type, content, and its time to live or the owner that deletes it."""

    name: str
    kind: str
    holds: str
    leaves_by: str


KEYS: tuple[KeySpec, ...] = (
    KeySpec("task", "hash", "id -> sealed envelope", "its task: forgotten with the outcome"),
    KeySpec("run", "hash", "id -> epoch.number|score|started ms|type of a leased task", "settle, take_back"),
    KeySpec("outcome", "hash", "id -> sealed outcome", "expiry, in steps inside settle and forget"),
    KeySpec("tries", "hash", "id -> failures.crashes of a task tried before", "its task: at the end or requeue"),
    KeySpec("progress", "hash", "id -> latest progress note", "its task: at the end"),
    KeySpec("assigned", "hash", "pending id -> node it was given to|what it needs", "its task: at the end"),
    KeySpec("expiry", "zset", "finished id, score = when to forget it, ms", "expiry itself"),
    KeySpec("dead", "zset", "dead letter id, score = when it died, ms", "expiry, purge, requeue; capped in number"),
    KeySpec("cancel", "hash", "running id -> fence it is to be cancelled under", "its task: at the end"),
    KeySpec("wait", "hash", "id -> channels of callers that wait for its end", "its task: at the end; the caller"),
    KeySpec("count", "hash", "exact counters and sequences", "the hive: a fixed set of fields"),
    KeySpec("last", "hash", "c/s + epoch -> last claim and settle numbers with their reply", "leave, bury"),
    KeySpec("ready", "zset", "type with a non-empty queue, score = its first", "claim, when the queue is empty"),
    KeySpec("placed", "zset", "non-empty lane of what waits for a node or was given to one", "claim, assign, cancel"),
    KeySpec("due", "zset", "type with delayed tasks, score = the earliest, ms", "claim, when none is delayed"),
    KeySpec("watch", "hash", "type -> epoch:ms of who wakes for its next delayed task", "claim, cancel"),
    KeySpec("lease", "zset", "node epoch, score = lease deadline ms", "leave, bury"),
    KeySpec("names", "hash", "node name -> epoch of its newest incarnation", "leave, forget_node"),
    KeySpec("profile", "hash", "node name -> what it is and can do", "leave, forget_node"),
    KeySpec("load", "hash", "node name -> heartbeat ms|load", "leave, forget_node"),
    KeySpec("budget", "hash", "node name -> tasks it should hold for now", "TTL"),
    KeySpec("dispatch", "list", "at most one token: a node can take more of what waits to be placed", "dispatcher"),
    KeySpec("duty", "string", "epoch of the node that reaps just now", "TTL"),
    KeySpec("leader", "string", "name~incarnation|epoch of the leading Nexus", "TTL"),
    KeySpec("audit", "stream", "refusals and rescues", "the hive: capped at about 10,000 lines"),
    KeySpec("wake", "list", "at most one token that wakes a consumer of any type", "claim"),
    KeySpec("queue:<type>", "zset", "ready id, score = level and arrival", "claim, cancel"),
    KeySpec("later:<type>", "zset", "delayed id, score = due ms", "claim, cancel"),
    KeySpec("wake:<type>", "list", "at most one token that wakes a consumer of the type", "claim"),
    KeySpec("partial:<id>", "list", "partial results of one task", "TTL"),
    KeySpec("join", "hash", "open run -> how many of its tasks have ended", "expiry, soon after the run's record"),
    KeySpec("gather:<run id>", "hash", "one run: its sealed record, how far it was enqueued, what folds it", "TTL"),
    KeySpec("meta", "hash", "number of partitions, fixed when the hive is created", "the hive: one field"),
)


TYPES_CACHED_MAX = 100_000


class Keyspace:
    """Names of keys and channels for one hive; answers are cached because they are asked for per call."""

    def __init__(self, namespace: str, partitions: int) -> None:
        self.namespace = namespace
        self.partitions = partitions
        self._tags = [f"{{{namespace}:{number}}}:".encode() for number in range(partitions)]
        self._names: dict[tuple[int, str], bytes] = {}
        self._types: dict[tuple[int, str], tuple[bytes, bytes, bytes]] = {}

    def partition_of(self, task_id: str) -> int:
        """The partition a task lives in: a stable hash of its id."""
        return zlib.crc32(task_id.encode()) % self.partitions if self.partitions > 1 else 0

    def key(self, partition: int, name: str) -> bytes:
        """A fixed key of a partition."""
        try:
            return self._names[partition, name]
        except KeyError:
            made = self._names[partition, name] = self._tags[partition] + name.encode()
            return made

    def type_keys(self, partition: int, task_type: str) -> tuple[bytes, bytes, bytes]:
        """Queue, delayed part and wake list of a task type."""
        try:
            return self._types[partition, task_type]
        except KeyError:
            if len(self._types) > TYPES_CACHED_MAX:
                self._types.clear()
            tag, name = self._tags[partition], task_type.encode()
            made = (tag + b"queue:" + name, tag + b"later:" + name, tag + b"wake:" + name)
            self._types[partition, task_type] = made
            return made

    def partial(self, partition: int, task_id: str) -> bytes:
        """The list of a task's partial results."""
        return self._tags[partition] + b"partial:" + task_id.encode()

    def gather(self, run_id: str) -> bytes:
        """The record of a run."""
        return self._tags[self.partition_of(run_id)] + b"gather:" + run_id.encode()

    def meta(self) -> bytes:
        """The record of what was fixed when the hive was created."""
        return self._tags[0] + b"meta"

    def reply_channel(self, caller: str) -> str:
        """Where one calling process hears of ended tasks."""
        return f"{self.namespace}:reply:{caller}"

    def node_channel(self, epoch: int | str = "") -> str:
        """Where one incarnation of a node hears of cancelled tasks; without an epoch, the prefix."""
        return f"{self.namespace}:node:{epoch}"
