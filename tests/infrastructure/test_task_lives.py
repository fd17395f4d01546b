"""Any sequence of transitions leaves the store as the lifecycle table says: the real scripts against a model."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace as refenced

from tests.lane_lives import LANES, OWN, PICKS, TYPES, LaneLives
from tests.servers import leaked_keys, sync_client
from tests.stores import HOUR_MS, KEEP, PLENTY, Stores, end, ends_of, envelope, other, record, status_of
from tests.task_model import Model, ModelTask, disagreements, names
from venom_core.config import Settings
from venom_core.domain.lane import WAITING, home_lane
from venom_core.domain.lifecycle import TERMINAL, TaskEvent, TaskStatus
from venom_core.infrastructure.embedded import EmbeddedServer
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.placement_store import PlacementStore
from venom_core.infrastructure.redis_link import RedisLink
from venom_core.infrastructure.task_records import Lease, Settlement, TaskGroup, Verb

LIMITS = replace(KEEP, crashes_max=2)
ENDS = {
    TaskStatus.COMPLETED: TaskEvent.COMPLETE,
    TaskStatus.FAILED: TaskEvent.FAIL,
    TaskStatus.CANCELLED: TaskEvent.CANCEL,
}
SHARE = 32
RUNS = ["run-a", "run.b"]
HOWS = ["completed", "failed", "cancelled", "retry", "later", "back", "crash"]
LEVELS = st.sampled_from([0, 2, 5, 6, 10])


class Lives(LaneLives):
    """Random lives of tasks on one server; each example has a hive of its own."""

    def __init__(self, url: str, partitions: int) -> None:
        super().__init__()
        self.url, self.namespace = url, f"m{uuid.uuid4().hex[:12]}"
        self.runner = asyncio.Runner()
        self.link = RedisLink(Settings.load(redis_url=url, hive_namespace=self.namespace))
        self.do(self.link.connect())
        self.stores = Stores(self.link, Keyspace(self.namespace, partitions))
        self.lanes = PlacementStore(self.link, self.stores.space)
        self.model = Model()
        self.epochs = [self.do(self.stores.join(name)) for name in ("a", "b")]
        self.made = 0
        self.served = dict.fromkeys(range(partitions), 0)

    @initialize(counts=st.lists(st.integers(1, 4), min_size=3, max_size=3), level=LEVELS)
    def begin_with_work(self, counts: list[int], level: int) -> None:
        for task_type, count in zip(TYPES, counts, strict=True):
            self.enqueue(task_type, level, count, delayed=False, again=False)
        for partition in range(self.stores.space.partitions):
            self.claim(0, 2, set(TYPES), "", own=False, again=False, pick=partition)
        self.enqueue(WAITING, level, 6, delayed=False, again=False)
        self.assign(WAITING, OWN, list(range(self.made)), again=False)
        for partition in range(self.stores.space.partitions):
            self.claim(0, 2, set(), "", own=True, again=False, pick=partition)

    def teardown(self) -> None:
        self.do(self.link.close())
        self.runner.close()
        client = sync_client(self.url)
        assert leaked_keys(client, self.namespace) == []
        client.close()

    def number(self) -> int:
        self.stores.numbers += 1
        return self.stores.numbers

    def pick(self, pick: int, *statuses: TaskStatus) -> ModelTask | None:
        found = [task for task in self.model.tasks.values() if task.status in statuses]
        return found[pick % len(found)] if found else None

    @rule(
        lane=st.sampled_from([*TYPES, WAITING, WAITING]), level=LEVELS, count=st.integers(1, 6),
        delayed=st.booleans(), again=st.booleans(),
    )  # fmt: skip
    def enqueue(self, lane: str, level: int, count: int, delayed: bool, again: bool) -> None:
        # Of three tasks one is of no run, and the two runs may be open or not.
        ids = [f"{('t', 'run-a.', 'run.b.')[(self.made + at) % 3]}{self.made + at}" for at in range(count)]
        self.made += count
        # Redis orders what is due in the same millisecond by id; the model wants moments that differ.
        groups = []
        for task_id in ids:
            task = ModelTask(task_id, lane, level, self.stores.space.partition_of(task_id), entered=lane)
            self.model.tasks[task_id] = task
            (self.model.delay if delayed else self.model.line_up)(task)
            when = f"@{4 * 10**12 + task.due}" if delayed else "now"
            groups.append(TaskGroup(lane, level, when, [task_id], [envelope(task_id, level)]))
        for _ in range(1 + again):
            assert self.do(self.stores.tasks.enqueue(groups, PLENTY)) == {}

    @rule(run_id=st.sampled_from(RUNS), again=st.booleans())
    def open_a_run(self, run_id: str, again: bool) -> None:
        ends = self.model.runs.setdefault(run_id, dict.fromkeys(range(self.stores.space.partitions), 0))
        for _ in range(1 + again):
            assert self.do(self.stores.joins.keep(run_id, HOUR_MS, opening=True)) == sum(ends.values())

    @rule(run_id=st.sampled_from(RUNS))
    def read_a_run(self, run_id: str) -> None:
        ends = self.model.runs.get(run_id, {})
        assert self.do(self.stores.joins.keep(run_id, HOUR_MS)) == sum(ends.values())

    @rule(run_id=st.sampled_from(RUNS))
    def forget_a_run(self, run_id: str) -> None:
        if self.model.runs.pop(run_id, None) is not None:
            for partition in range(self.stores.space.partitions):
                self.do(self.link.command("ZADD", self.stores.key("expiry", partition), "XX", 1, f"\x01{run_id}"))
            while self.do(self.stores.tasks.forget_expired(2)):
                pass

    @rule(pick=PICKS)
    def enqueue_an_id_that_is_taken(self, pick: int) -> None:
        task = self.pick(pick, *TaskStatus)
        if task is not None:
            mine, foreign = envelope(task.task_id, task.level), envelope(task.task_id, 9, "else")
            group = TaskGroup("zip", 9, "now", [task.task_id], [foreign])
            assert self.do(self.stores.tasks.enqueue([group], PLENTY)) == {task.task_id: mine}

    @rule(
        node=st.integers(0, 1), count=st.integers(1, 8), types=st.sets(st.sampled_from(TYPES)),
        woken=st.sampled_from(["", "*", *TYPES, OWN]), own=st.booleans(), again=st.booleans(), pick=PICKS,
    )  # fmt: skip
    def claim(self, node: int, count: int, types: set[str], woken: str, own: bool, again: bool, pick: int) -> None:
        partition, epoch = pick % self.stores.space.partitions, self.epochs[node]
        wanted = TYPES if woken == "*" else sorted(types | {woken} - {"", OWN})
        if woken != "*" and (own or woken == OWN or not wanted):
            wanted = [*wanted, OWN]
        if woken and not self.do(self.stores.take_token(woken, partition)):
            woken = ""
        for task_type in wanted:
            self.promote(partition, task_type)
        shared = self.served[partition] % SHARE + count >= SHARE
        line = names(self.model.line(partition, wanted))
        number = self.number()
        batch = self.do(self.stores.tasks.claim(partition, epoch, number, wanted, count, (woken, "")))
        leases = {lease.task_id: lease for lease in batch.leases}
        got = list(leases)
        assert len(got) == min(count, len(line))
        assert set(got) <= set(line)
        assert shared or got == line[: len(got)]
        self.served[partition] += len(got)
        for task_id, lease in leases.items():
            task = self.model.tasks[task_id]
            assert (lease.failures, lease.crashes, lease.given) == (task.failures, task.crashes, task.lane == OWN)
            assert lease.envelope == envelope(task_id, task.level)
            self.model.step(task, TaskEvent.CLAIM)
            task.lease, task.epoch = lease, epoch
        if again and got:
            repeated = self.do(self.stores.tasks.claim(partition, epoch, number, wanted, count, (woken, "")))
            assert {lease.task_id: lease.given for lease in repeated.leases} == {it: leases[it].given for it in got}

    @rule(lane=st.sampled_from(LANES))
    def time_passes(self, lane: str) -> None:
        for partition in range(self.stores.space.partitions):
            self.do(self.stores.make_due(lane, partition))
            delayed = self.model.delayed(partition, lane)
            for place, task in enumerate(delayed):
                task.due = place - len(delayed)

    @rule(node=st.integers(0, 1), hows=st.lists(st.sampled_from(HOWS), min_size=1, max_size=6), again=st.booleans())
    def settle(self, node: int, hows: list[str], again: bool) -> None:
        epoch = self.epochs[node]
        running = [task for task in self.model.among(TaskStatus.RUNNING) if task.epoch == epoch]
        for partition in range(self.stores.space.partitions):
            held = [task for task in running if task.partition == partition]
            chosen = list(zip(held, hows, strict=False))
            if not chosen:
                continue
            items = [self.settlement(task, how) for task, how in chosen]
            number = self.number()
            first = self.do(self.stores.tasks.settle(partition, epoch, number, items, LIMITS))
            asked = [item for (task, how), item in zip(chosen, items, strict=True) if task.wish and item.verb != "end"]
            assert first == ([], asked)
            if again:
                assert self.do(self.stores.tasks.settle(partition, epoch, number, items, LIMITS)) == first
            # The script takes the ends first, then the others in their order.
            for task, how in sorted(chosen, key=lambda pair: pair[1] not in set(ENDS)):
                self.follow(task, how)

    def settlement(self, task: ModelTask, how: str) -> Settlement:
        assert task.lease is not None
        lane = home_lane(task.lane)
        if how in set(ENDS):
            return end(task.lease, lane, TaskStatus(how))
        if how == "later":
            return other(task.lease, "retry", HOUR_MS, lane)
        verb: Verb = "retry" if how == "retry" else "back" if how == "back" else "crash"
        return other(task.lease, verb, 0, lane)

    def follow(self, task: ModelTask, how: str) -> None:
        if how in set(ENDS):
            self.model.step(task, ENDS[TaskStatus(how)])
        elif task.wish:
            return
        elif how == "back":
            self.model.step(task, TaskEvent.RELEASE)
        elif how == "crash":
            self.model.crash(task, LIMITS.crashes_max)
        else:
            self.model.step(task, TaskEvent.RETRY)
            task.failures += 1
            if how == "retry":
                self.model.line_up(task)
            else:
                self.delay_in_store_order(task)

    def delay_in_store_order(self, task: ModelTask) -> None:
        """A delay counts from Redis' clock, so two of one millisecond are ordered by id: ask for the moments."""
        task.due = 1
        key = self.stores.space.type_keys(task.partition, task.lane)[1]
        order = [task_id.decode() for task_id in self.do(self.link.command("ZRANGE", key, 0, -1))]
        overdue = sum(self.model.tasks[task_id].due < 0 for task_id in order)
        for place, task_id in enumerate(order):
            if place >= overdue and task_id in self.model.tasks:
                self.model.tasks[task_id].due = place + 1
        self.model.dues = max(self.model.dues, len(order) + 1)

    @rule(pick=PICKS)
    def settle_what_is_not_held(self, pick: int) -> None:
        task = self.pick(pick, *TaskStatus)
        if task is None:
            return
        held = task.lease
        batch = self.do(self.stores.tasks.look([task.task_id]))[task.task_id]
        assert (batch.held is None) == (held is None)
        stale = end(_stale(task), task.lane)
        back = other(_stale(task), "back", b"", task.lane)
        answer = self.do(self.stores.tasks.settle(task.partition, self.epochs[0], self.number(), [stale, back], LIMITS))
        assert answer == ([stale, back], [])
        assert self.do(self.stores.tasks.note([(_stale(task), "progress", b"\x01")], HOUR_MS)) == [_stale(task)]

    @rule(pick=PICKS)
    def cancel(self, pick: int) -> None:
        task = self.pick(pick, *TaskStatus)
        if task is None:
            return
        gone = record(task.task_id, TaskStatus.CANCELLED)
        answer = self.do(self.stores.tasks.cancel(task.task_id, ["elsewhere"], gone, LIMITS))
        if task.status is TaskStatus.PENDING:
            assert answer == "elsewhere"
            answer = self.do(self.stores.tasks.cancel(task.task_id, ["elsewhere", task.lane], gone, LIMITS))
            assert answer == "cancelled"
            self.model.step(task, TaskEvent.CANCEL)
        elif task.status is TaskStatus.RUNNING:
            assert answer == "asked"
            task.wish = True
        else:
            assert answer == "finished"

    @rule(pick=PICKS)
    def requeue(self, pick: int) -> None:
        task = self.pick(pick, *TaskStatus)
        if task is None:
            return
        answer = self.do(self.stores.tasks.requeue(task.task_id, task.entered))
        if task.status not in TERMINAL:
            assert answer == "active"
        elif task.status is TaskStatus.COMPLETED:
            assert answer == "completed"
        else:
            assert answer == "pending"
            self.model.step(task, TaskEvent.REQUEUE)
            task.lane = task.entered
            self.model.line_up(task)

    @rule(node=st.integers(0, 1), again=st.booleans())
    def die(self, node: int, again: bool) -> None:
        epoch = self.epochs[node]
        held = [task for task in self.model.among(TaskStatus.RUNNING) if task.epoch == epoch]
        for partition in range(self.stores.space.partitions):
            items = self.do(self.items(partition, epoch))
            assert self.do(self.stores.tasks.take_back(partition, epoch, items, LIMITS)) == (0, 0)
        self.do(self.stores.expire_lease(epoch))
        for partition in range(self.stores.space.partitions):
            items = self.do(self.items(partition, epoch))
            answer = self.do(self.stores.tasks.take_back(partition, epoch, items, LIMITS))
            mine = [task for task in held if task.partition == partition]
            for task in mine:
                self.taken(task)
            ended = sum(task.status in TERMINAL for task in mine)
            assert answer == (len(mine) - ended, ended)
            if again and items:
                assert self.do(self.stores.tasks.take_back(partition, epoch, items, LIMITS)) == (0, 0)
            self.do(self.stores.nodes.bury(partition, epoch))
        self.epochs[node] = self.do(self.stores.join(f"node {node}"))

    async def items(self, partition: int, epoch: int) -> list[Any]:
        _, page = await self.stores.tasks.running(partition, 0)
        return [ends_of(task_id, held) for task_id, held in page if held.epoch == epoch]

    def taken(self, task: ModelTask) -> None:
        if task.wish:
            self.model.step(task, TaskEvent.CANCEL)
        else:
            self.model.crash(task, LIMITS.crashes_max)

    @rule(pick=PICKS)
    def rescue(self, pick: int) -> None:
        task = self.pick(pick, TaskStatus.RUNNING)
        if task is not None:
            held = self.do(self.stores.held(task.task_id))
            item = [ends_of(task.task_id, held)]
            answer = self.do(self.stores.tasks.take_back(task.partition, held.epoch, item, LIMITS, force=True))
            self.taken(task)
            assert answer == ((0, 1) if task.status in TERMINAL else (1, 0))

    @precondition(lambda self: any(task.status in TERMINAL for task in self.model.tasks.values()))
    @rule(picks=st.lists(PICKS, min_size=1, max_size=3))
    def forget(self, picks: list[int]) -> None:
        for partition in range(self.stores.space.partitions):
            key = self.stores.key("expiry", partition)
            entries = [entry for entry in self.do(self.link.command("ZRANGE", key, 0, -1)) if entry[0] != 1]
            chosen = {entries[pick % len(entries)] for pick in picks if entries}
            for entry in chosen:
                self.do(self.link.command("ZADD", key, "XX", 1, entry))
                for task_id in entry.decode().split():
                    assert self.model.tasks.pop(task_id).status in TERMINAL
        while self.do(self.stores.tasks.forget_expired(2)):
            pass

    @invariant()
    def the_store_is_as_the_model_says(self) -> None:
        content = self.do(self.stores.dump())
        faults = []
        for partition in range(self.stores.space.partitions):
            faults += disagreements(self.model, content, partition, LANES)
            for task_id, outcome in content.get(f"{partition}:outcome", {}).items():
                if status_of(outcome) is not self.model.tasks[task_id.decode()].status:
                    faults.append(f"{task_id} ended otherwise")
        assert faults == []
        assert self.do(self.stores.tasks.stats()) == self.model.stats()


def _stale(task: ModelTask) -> Lease:
    """A lease that was never given: of a later claim if the task runs, else of nobody."""
    if task.lease is not None:
        return refenced(task.lease, fence=f"{task.lease.fence[:-1]}9|")
    return Lease(task.task_id, b"", 0, 0, "1.1|", task.partition, 0)


@pytest.mark.parametrize("partitions", [1, 4])
def test_every_sequence_of_transitions_follows_the_lifecycle_table(server: EmbeddedServer, partitions: int) -> None:
    run_state_machine_as_test(
        lambda: Lives(server.url, partitions),  # type: ignore[arg-type]  # a maker will do as well as a class
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
