"""The queues that are measured beside the hive, and the hive: their settings, and how they find a dead worker's task.

Fast means: what a queue counts as a sign of life, or waits for, is set to one second, the unit of most of these
settings, and whatever looks for the dead looks as often. A second is also about what a healthy process may be late.
"""

from __future__ import annotations

from typing import Any

import redis

from benchmarks.peers.peer import NODE, OURS, Mode, Peer
from benchmarks.sides import unfinished_in_arq, unfinished_in_hive

CELERY_FASTEST = ["-P", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat"]


def _sum(*replies: Any) -> int:
    return sum(int(reply) for reply in replies)


def _stream_rest(client: redis.Redis) -> int:
    """What a group of a stream has not read, and what it has not acknowledged; taskiq deletes nothing."""
    groups: Any = client.xinfo_groups("taskiq")
    return sum(int(group["pending"]) + int(group["lag"] or 0) for group in groups)


HIVE = Peer(
    "hive",
    "hive",
    ("venom-hive",),
    "a lease a Spore, renewed by a process beside it; the next heartbeat of another Spore puts the tasks back in line",
    (Mode(soon=True), Mode(environment={"HIVE_PROFILE": "fast"}, soon=True)),
    Mode(),
    150_000,
    unfinished_in_hive,
    OURS,
)
PEERS = (
    Peer(
        "arq",
        "arq",
        ("arq", "redis"),
        "a key a running task that lives for `job_timeout` + 10 s and is not renewed; no task may last longer than "
        "`job_timeout`",
        (Mode(), Mode({"job_timeout": 1}, soon=True)),
        Mode({"max_jobs": 100, "poll_delay": 0.001, "log_results": False}),
        20_000,
        unfinished_in_arq,
    ),
    Peer(
        "saq",
        "SAQ",
        ("saq", "redis"),
        "a sweep for tasks past their `timeout` or `heartbeat`, which waits 5 s for each to answer; the crash counts "
        "as an attempt and there is one by default, so the task is given up; with `heartbeat` the task itself has "
        "to say that it lives, which the one measured here does",
        (
            Mode(),
            Mode(task={"retries": 3}),
            Mode({"timers": {"sweep": 1}}, {"retries": 3, "timeout": 0, "heartbeat": 1}, soon=True),
        ),
        Mode({"concurrency": 100, "queue": {"max_concurrent_ops": 100}}, {"retries": 3}),
        20_000,
        lambda client: _sum(client.zcard("saq:default:incomplete")),
    ),
    Peer(
        "streaq",
        "streaQ",
        ("streaq", "coredis"),
        "idle time in a stream, renewed by the worker",
        (Mode(), Mode({"idle_timeout": 1}, soon=True)),
        Mode({"concurrency": 100}),
        15_000,
        lambda client: _sum(client.xlen("streaq:default:queues:normal")),
    ),
    Peer(
        "taskiq",
        "taskiq streams",
        ("taskiq", "taskiq-redis", "redis"),
        "idle time in a stream, which nobody renews; looked at only after something new has been read, so never while "
        "the queue is quiet",
        (Mode(), Mode({"idle_timeout": 1000}), Mode({"idle_timeout": 1000}, busy=True, soon=True)),
        Mode(),
        15_000,
        _stream_rest,
    ),
    Peer(
        "dramatiq",
        "Dramatiq",
        ("dramatiq", "redis"),
        "a heartbeat with every command of a worker; one command in 1,000, drawn by lot, looks for the dead",
        (
            Mode(),
            Mode({"heartbeat_timeout": 1000, "maintenance_chance": 1_000_000, "worker_timeout": 250}, soon=True),
        ),
        Mode({"worker_threads": 8, "queue_prefetch": 200, "middleware": "Retries"}),
        20_000,
        lambda client: _sum(client.hlen("dramatiq:default.msgs")),
    ),
    Peer(
        "rq",
        "RQ",
        ("rq", "redis"),
        "a deadline a running task, renewed by its worker, 60 s longer than the pause between renewals; looked at "
        "every `maintenance_interval`; without `Retry` the task is given up",
        (
            Mode(),
            Mode(task={"retries": 3}),
            Mode(
                {"job_monitoring_interval": 1, "maintenance_interval": 1, "worker_ttl": 16},
                {"retries": 3},
            ),
        ),
        Mode({"worker": "SimpleWorker"}, {"retries": 3}),
        4_000,
        lambda client: _sum(client.llen("rq:queue:default"), client.zcard("rq:wip:default")),
    ),
    Peer(
        "celery",
        "Celery",
        ("celery", "kombu", "redis"),
        "acknowledged before it runs, so gone; with `task_acks_late` after `visibility_timeout`, one hour, which "
        "nobody renews",
        (
            Mode(),
            Mode({"task_acks_late": True, "task_reject_on_worker_lost": True}),
            Mode(
                {
                    "task_acks_late": True,
                    "broker_transport_options": {
                        "visibility_timeout": 1,
                        "unacked_restore_interval": 1,
                        "unacked_restore_throttle": 1,
                        "unacked_mutex_expire": 1,
                    },
                },
                soon=True,
            ),
        ),
        Mode(
            {
                "task_acks_late": True,
                "task_reject_on_worker_lost": True,
                "worker_prefetch_multiplier": 64,
                "worker_enable_remote_control": False,
                "arguments": CELERY_FASTEST,
            }
        ),
        5_000,
        lambda client: _sum(client.llen("celery"), client.hlen("unacked")),
    ),
    Peer(
        "docket",
        "Docket",
        ("pydocket", "redis"),
        "idle time in a stream, renewed by the worker",
        (Mode(), Mode({"redelivery_timeout": 1}, soon=True)),
        Mode({"concurrency": 100, "minimum_check_interval": 0.001}),
        15_000,
        lambda client: _sum(client.xlen("docket:stream")),
    ),
    Peer(
        "bullmq_python",
        "BullMQ, Python port",
        ("bullmq", "redis"),
        "a lock a running task, renewed by its worker; looked for twice before it counts as stalled, and once only",
        (Mode(), Mode({"lockDuration": 1000, "stalledInterval": 1000}, soon=True)),
        Mode({"concurrency": 100}),
        15_000,
        lambda client: _sum(client.llen("bull:bench:wait"), client.llen("bull:bench:active")),
    ),
    Peer(
        "bullmq",
        "BullMQ, Node",
        ("bullmq", "ioredis"),
        "the same as its port",
        (Mode(), Mode({"lockDuration": 1000, "stalledInterval": 1000}, soon=True)),
        Mode({"concurrency": 100}),
        30_000,
        lambda client: _sum(client.llen("bull:bench:wait"), client.llen("bull:bench:active")),
        NODE,
    ),
)
