"""All histories of a storm, put together task by task. One pass over each file: conductor, callers, others.

A call is *sure* if it was answered, and at no moment whose writes the server may have lost since. Everything else is
a maybe: it happened or it did not, and no verdict may rest on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from chaos.events import Event, read

ENDS = frozenset("cfxq")
TAKEN, CRASHED, RETRIED = "t", "k", "r"
FORCED = 1
_CONDUCTOR, _CALLER = "conductor", "caller"


class Free(msgspec.Struct, gc=False):
    """What ended a hold: an end (c f x q), retry (r), back (b), crash (k), taken away (t); between two moments, µs."""

    mark: str
    sure: bool
    since: int
    until: int
    sums: tuple[int, ...] = ()


class Body(msgspec.Struct, gc=False):
    """One run of a skill's body; `ended` is the moment it came to its own end, or 0."""

    token: int
    fence: str
    ended: int = 0


class Hold(msgspec.Struct, gc=False):
    """A task held under one fence; `now` ms by Redis, `until` µs when the claim was answered, 0 = never seen."""

    fence: str
    sure: bool = False
    now: int = 0
    until: int = 0
    frees: list[Free] = []


class Life(msgspec.Struct, gc=False):
    """Everything said about one task."""

    lane: str = ""
    level: int = -1
    order: int = 0
    caller: int = 0
    due_ms: int = 0
    acked: bool = False
    wished: bool = False
    holds: dict[str, Hold] = {}
    bodies: list[Body] = []
    offs: list[Free] = []
    told: tuple[str, int] | None = None
    mark: str = ""
    sum: int = 0
    token: int = 0
    tries: str = ""

    def hold(self, fence: str) -> Hold:
        """The hold under a fence, made if it was not heard of before."""
        found = self.holds.get(fence)
        if found is None:
            found = self.holds[fence] = Hold(fence)
        return found


class Take(msgspec.Struct, gc=False):
    """A reaper's call that took something: from which epoch, between which moments (µs), whether by force."""

    epoch: int
    since: int
    until: int
    sure: bool
    forced: bool


class Claimed(msgspec.Struct, gc=False):
    """A claim that brought something."""

    epoch: int
    now: int
    until: int
    count: int
    ids: tuple[str, ...]
    marks: str
    ordered: bool


class Node(msgspec.Struct, gc=False):
    """One incarnation: its lease in ms, its renewals (ms by Redis), and when it may first have been fenced (µs)."""

    name: str = ""
    lease_ms: int = 0
    renewed: list[int] = []
    fenced: int = 0
    joins: int = 0


class History:
    """What all processes said."""

    def __init__(self) -> None:
        self.lives: dict[str, Life] = {}
        self.nodes: dict[int, Node] = {}
        self.takes: list[Take] = []
        self.claims: list[Claimed] = []
        self.windows: list[tuple[int, int]] = []
        self.counts: tuple[int, ...] = ()
        self.residue: list[str] = []
        self.blows: list[str] = []
        self.unreadable: list[str] = []
        self.newest: dict[str, int] = {}
        self.joined: list[tuple[str, int, int]] = []

    def life(self, task_id: str) -> Life:
        """What is known of a task."""
        found = self.lives.get(task_id)
        if found is None:
            found = self.lives[task_id] = Life()
        return found

    def node(self, epoch: int) -> Node:
        """What is known of an incarnation."""
        found = self.nodes.get(epoch)
        if found is None:
            found = self.nodes[epoch] = Node()
        return found

    def sure(self, since: int, until: int) -> bool:
        """Whether nothing that the server did between two moments (µs) may have been undone."""
        return not any(since <= end and until >= begin for begin, end in self.windows)


def gather(folder: Path) -> History:
    """Read every file of a history."""
    history = History()
    paths = sorted(folder.glob("*.jsonl"), key=_turn)
    for number, path in enumerate(paths):
        _Reader(history, number).take_all(path)
    for name, epoch, since in history.joined:
        for other, node in history.nodes.items():
            if node.name == name and other != epoch and (not node.fenced or since < node.fenced):
                _fence(history, other, epoch, since)
    return history


def _fence(history: History, older: int, epoch: int, since: int) -> None:
    """A later join of the same name; one whose answer is unknown (epoch 0) may be any."""
    if epoch == 0 or older < epoch:
        history.nodes[older].fenced = since


def _turn(path: Path) -> tuple[int, int]:
    """Conductor, callers, others; of a kind who began first comes first, for a caller that died begins anew."""
    kind = path.name.split("-")[0].removesuffix(".jsonl")
    return (0 if kind == _CONDUCTOR else 1 if kind == _CALLER else 2), _begun(path)


def _begun(path: Path) -> int:
    try:
        first = next(read(path), None)
    except msgspec.MsgspecError:
        return 0  # whoever reads it says so
    return 0 if first is None else first.at


class _Reader:
    """Reads one file: calls are kept until they are answered."""

    def __init__(self, history: History, number: int) -> None:
        self._history, self._number = history, number
        self._open: dict[int, Event] = {}
        self._settles: dict[tuple[int, int, str], Event] = {}
        self._repeated: set[tuple[int, int, str]] = set()
        self._bodies: dict[int, Body] = {}
        self._order = 0

    def take_all(self, path: Path) -> None:
        events = read(path)
        while True:
            try:
                event = next(events, None)
            except msgspec.MsgspecError as fault:
                self._history.unreadable.append(f"{path.name}: {fault}")
                break
            if event is None:
                break
            self._take(event)
        for call in list(self._open.values()):
            self._unanswered(call)
        for call in self._settles.values():
            self._settled(call, None)

    def _take(self, event: Event) -> None:
        if event.what in _CALLS:
            self._open[event.n] = event
            if event.what == "enqueue":
                self._asked_to_enqueue(event)
        elif event.what == "ok":
            self._answered(self._open.pop(event.op), event)
        elif event.what == "fault":
            call = self._open.pop(event.op, None)
            if call is not None and event.text not in _NOTHING_HAPPENED:
                self._unanswered(call)
        else:
            getattr(self, "_on_" + event.what)(event)

    def _answered(self, call: Event, answer: Event) -> None:
        if call.what == "settle":
            self._settles.pop(_key(call), None)
            self._settled(call, answer)
        else:
            getattr(self, "_did_" + call.what)(call, answer)

    def _unanswered(self, call: Event) -> None:
        if call.what == "settle":
            # It will be asked again under its number; the answer to that is the answer to this.
            self._settles[_key(call)] = call
            self._repeated.add(_key(call))
        elif call.what == "take":
            self._taken(call, sure=False, until=_NEVER)
        elif call.what == "cancel":
            life = self._history.life(call.ids[0])
            life.wished = True
            life.offs.append(Free("x", sure=False, since=call.at, until=_NEVER, sums=call.sums))
        elif call.what == "join":
            self._history.joined.append((call.text, 0, call.at))

    # --------------------------------------------------------------------------------------------------- calls

    def _asked_to_enqueue(self, call: Event) -> None:
        for task_id in call.ids:
            life = self._history.life(task_id)
            if life.level < 0:
                self._order += 1
                life.lane, life.level, life.order, life.caller = call.lane, call.level, self._order, self._number
                life.due_ms = call.at // 1000 + call.delay if call.delay else 0

    def _did_enqueue(self, call: Event, answer: Event) -> None:
        if not self._history.sure(call.at, answer.at):
            return
        others = set(answer.refused)
        for index, task_id in enumerate(call.ids):
            if index not in others:
                self._history.life(task_id).acked = True

    def _did_claim(self, call: Event, answer: Event) -> None:
        if not answer.ids:
            return
        sure, fence = self._history.sure(call.at, answer.at), f"{call.epoch}.{call.number}|"
        for task_id in answer.ids:
            hold = self._history.life(task_id).hold(fence)
            hold.sure, hold.now, hold.until = sure, answer.now, answer.at
        ordered = call.text != "again"
        self._history.claims.append(
            Claimed(call.epoch, answer.now, answer.at, call.count, answer.ids, answer.marks, ordered)
        )

    def _settled(self, call: Event, answer: Event | None) -> None:
        sure = answer is not None and self._history.sure(call.at, answer.at)
        until = answer.at if answer is not None else _NEVER
        refused = set(answer.refused) if answer is not None else set()
        asked = set(answer.asked) if answer is not None else set()
        # What was carried out the first time, with nobody left to remember it, is refused the second time.
        repeated = _key(call) in self._repeated
        for index, task_id in enumerate(call.ids):
            certain = sure and index not in refused
            if index in asked or (index in refused and not repeated):
                continue
            free = Free(call.marks[index], certain, call.at, until, (call.sums[index],))
            hold = self._history.life(task_id).hold(call.fence)
            hold.frees.append(free)

    def _did_take(self, call: Event, answer: Event) -> None:
        if answer.count:
            everything = answer.count == len(call.ids)
            sure = self._history.sure(call.at, answer.at)
            self._history.takes.append(Take(call.epoch, call.at, answer.at, sure, call.number == FORCED))
            self._taken(call, sure=sure and everything, until=answer.at)

    def _taken(self, call: Event, *, sure: bool, until: int) -> None:
        for index, (task_id, fence) in enumerate(zip(call.ids, call.fences, strict=True)):
            free = Free(TAKEN, sure, call.at, until, call.sums[2 * index : 2 * index + 2])
            hold = self._history.life(task_id).hold(fence)
            hold.frees.append(free)

    def _did_cancel(self, call: Event, answer: Event) -> None:
        life = self._history.life(call.ids[0])
        life.wished = True
        if answer.text == "cancelled":
            sure = self._history.sure(call.at, answer.at)
            life.offs.append(Free("x", sure, call.at, answer.at, call.sums))

    def _did_join(self, call: Event, answer: Event) -> None:
        node = self._history.node(answer.epoch)
        node.name, node.lease_ms = call.text, call.number
        node.joins += 1
        node.renewed.append(answer.now)
        self._history.joined.append((call.text, answer.epoch, call.at))

    # -------------------------------------------------------------------------------------------- single events

    def _on_hello(self, event: Event) -> None:
        """Who this is."""

    def _on_blow(self, event: Event) -> None:
        self._history.blows.append(event.text)

    def _on_rollback(self, event: Event) -> None:
        self._history.windows.append((event.since, event.until))

    def _on_leave(self, event: Event) -> None:
        self._history.node(event.epoch).fenced = event.at

    def _on_renew(self, event: Event) -> None:
        if event.text == "ok":
            self._history.node(event.epoch).renewed.append(event.now)

    def _on_start(self, event: Event) -> None:
        body = self._bodies[event.token] = Body(event.token, event.fence)
        life = self._history.life(event.ids[0])
        life.bodies.append(body)

    def _on_end(self, event: Event) -> None:
        self._bodies.pop(event.token).ended = event.at

    def _on_stopped(self, event: Event) -> None:
        self._bodies.pop(event.token)

    def _on_told(self, event: Event) -> None:
        if self._history.sure(event.at, event.at):
            self._history.life(event.ids[0]).told = (event.text, event.token)

    def _on_found(self, event: Event) -> None:
        for task_id, mark, found, token, tries in zip(
            event.ids, event.marks, event.sums, event.tokens, event.tries, strict=True
        ):
            life = self._history.life(task_id)
            life.mark, life.sum, life.token, life.tries = mark, found, token, tries

    def _on_counts(self, event: Event) -> None:
        self._history.counts = event.sums

    def _on_residue(self, event: Event) -> None:
        self._history.residue.append(event.text)


_CALLS = frozenset({"enqueue", "claim", "settle", "take", "cancel", "join"})
_NEVER = 2**62
# What the script or the server says when it changes nothing.
_NOTHING_HAPPENED = frozenset({"QueueFull", "StoreRefused", "LeaseLost", "LeaseLate"})


def _key(call: Event) -> tuple[int, int, str]:
    return call.epoch, call.number, call.fence


def all_frees(life: Life) -> Iterator[Free]:
    """Whatever ended a hold of a task, or the task itself while it was pending."""
    for hold in life.holds.values():
        yield from hold.frees
    yield from life.offs
