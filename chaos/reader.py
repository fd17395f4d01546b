"""Reads one file of a history: calls are kept until they are answered, and what they say goes to task and node."""

from __future__ import annotations

from pathlib import Path

import msgspec

from chaos.events import Event, read
from chaos.lives import NEVER, TAKEN, Again, Body, Claimed, Free, Heard, History, Led, Still, Take, Weight

FORCED = 1
_CALLS = frozenset({"enqueue", "claim", "settle", "take", "cancel", "requeue", "join", "lead"})
# What the script or the server says when it changes nothing.
_NOTHING_HAPPENED = frozenset({"QueueFull", "StoreRefused", "LeaseLost", "LeaseLate"})


class Reader:
    """Reads one file."""

    def __init__(self, history: History, number: int) -> None:
        self._history, self._number = history, number
        self._open: dict[int, Event] = {}
        self._settles: dict[tuple[int, int, str], Event] = {}
        self._repeated: set[tuple[int, int, str]] = set()
        self._bodies: dict[int, Body] = {}
        self._order = 0

    def take_all(self, path: Path) -> None:
        """Everything in it; what cannot be read ends it, and is noted."""
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
            self._settled(call, None, call.at)

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
            self._settled(call, answer, self._settles.pop(_key(call), call).at)
        else:
            getattr(self, "_did_" + call.what)(call, answer)

    def _unanswered(self, call: Event) -> None:
        if call.what == "settle":
            # It will be asked again under its number; the answer to that is the answer to this.
            self._settles.setdefault(_key(call), call)
            self._repeated.add(_key(call))
        elif call.what == "take":
            self._taken(call, sure=False, until=NEVER)
        elif call.what == "cancel":
            life = self._history.life(call.ids[0])
            life.wished = True
            life.offs.append(Free("x", sure=False, since=call.at, until=NEVER, sums=call.sums))
        elif call.what == "requeue":
            self._history.life(call.ids[0]).agains.append(Again(sure=False, since=call.at, until=NEVER))
        elif call.what == "join":
            self._history.joined.append((call.text, 0, call.at))

    # --------------------------------------------------------------------------------------------------- calls

    def _asked_to_enqueue(self, call: Event) -> None:
        for task_id in call.ids:
            life = self._history.life(task_id)
            if life.level < 0:
                self._order += 1
                life.lane, life.level, life.order = call.lane, call.level, self._order
                life.caller, life.call, life.sent = self._number, call.n, call.at
                life.due_ms = call.at // 1000 + call.delay if call.delay else 0

    def _did_enqueue(self, call: Event, answer: Event) -> None:
        if not self._history.sure(call.at, answer.at):
            return
        others = set(answer.refused)
        for index, task_id in enumerate(call.ids):
            if index not in others:
                life = self._history.life(task_id)
                life.acked, life.stored = True, min(life.stored, answer.at)

    def _did_claim(self, call: Event, answer: Event) -> None:
        if not answer.ids:
            return
        sure, fence = self._history.sure(call.at, answer.at), f"{call.epoch}.{call.number}|"
        for task_id in answer.ids:
            hold = self._history.life(task_id).hold(fence)
            hold.sure, hold.now, hold.until = sure, answer.now, answer.at
        ordered = call.text != "again"
        self._history.claims.append(
            Claimed(call.epoch, call.partition, answer.now, answer.at, call.count, answer.ids, answer.marks, ordered)
        )

    def _settled(self, call: Event, answer: Event | None, since: int) -> None:
        """`since`: when it was asked for the first time; it may have been carried out from then on."""
        sure = answer is not None and self._history.sure(since, answer.at)
        until = answer.at if answer is not None else NEVER
        refused = set(answer.refused) if answer is not None else set()
        asked = set(answer.asked) if answer is not None else set()
        # What was carried out the first time, with nobody left to remember it, is refused the second time.
        repeated = _key(call) in self._repeated
        for index, task_id in enumerate(call.ids):
            certain = sure and index not in refused
            if index in asked or (index in refused and not repeated):
                continue
            free = Free(call.marks[index], certain, since, until, (call.sums[index],))
            hold = self._history.life(task_id).hold(call.fence)
            hold.frees.append(free)

    def _did_take(self, call: Event, answer: Event) -> None:
        if answer.count:
            everything = answer.count == len(call.ids)
            sure = self._history.sure(call.at, answer.at)
            self._history.takes.append(
                Take(call.epoch, call.partition, call.at, answer.at, sure, call.number == FORCED)
            )
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

    def _did_requeue(self, call: Event, answer: Event) -> None:
        if answer.text == "pending":
            sure = self._history.sure(call.at, answer.at)
            self._history.life(call.ids[0]).agains.append(Again(sure, call.at, answer.at))

    def _did_join(self, call: Event, answer: Event) -> None:
        node = self._history.node(answer.epoch)
        node.name, node.lease_ms = call.text, call.number
        node.joins += 1
        node.joined = call.at // 1000
        self._history.joined.append((call.text, answer.epoch, call.at))

    def _did_lead(self, call: Event, answer: Event) -> None:
        if answer.epoch and self._history.sure(call.at, answer.at):
            self._history.led.append(Led(answer.epoch, call.text, call.at, answer.at, call.number))

    # -------------------------------------------------------------------------------------------- single events

    def _on_hello(self, event: Event) -> None:
        """Who this is."""

    def _on_blow(self, event: Event) -> None:
        self._history.blows.append(event.text)

    def _on_still(self, event: Event) -> None:
        self._history.stills.setdefault(event.text, []).append(Still(event.since, event.until))

    def _on_rollback(self, event: Event) -> None:
        self._history.windows.append((event.since, event.until))

    def _on_resign(self, event: Event) -> None:
        self._history.resigned.append((event.text, event.at))

    def _on_leave(self, event: Event) -> None:
        self._history.node(event.epoch).fenced = event.at

    def _on_renew(self, event: Event) -> None:
        node = self._history.node(event.epoch)
        if event.text == "ok":
            node.renewed.setdefault(event.partition, []).append(event.now)
        else:
            node.lost = node.lost or event.at

    def _on_start(self, event: Event) -> None:
        body = self._bodies[event.token] = Body(event.token, event.fence, event.text, event.at)
        life = self._history.life(event.ids[0])
        life.bodies.append(body)

    def _on_end(self, event: Event) -> None:
        body = self._bodies.pop(event.token)
        body.ended, body.stepped = event.at, event.since

    def _on_stopped(self, event: Event) -> None:
        self._bodies.pop(event.token)

    def _on_told(self, event: Event) -> None:
        if self._history.sure(event.at, event.at):
            self._history.life(event.ids[0]).told = (event.text, event.token)

    def _on_disowned(self, event: Event) -> None:
        if event.token:
            self._history.life(event.ids[0]).disowned.append(event.token)

    def _on_run(self, event: Event) -> None:
        run = self._history.run(event.text)
        run.resumed = run.resumed or (run.total > 0 and not run.heard)
        run.total, run.reduce = event.number, event.lane

    def _on_ran(self, event: Event) -> None:
        sure = self._history.sure(event.since, event.at)
        heard = Heard(sure, event.ids, event.marks, event.tokens, event.sums, event.fence)
        self._history.run(event.text).heard.append(heard)

    def _on_joined(self, event: Event) -> None:
        self._history.run(event.text).joined = event.count

    def _on_memory(self, event: Event) -> None:
        keys, processes = zip(event.ids, event.sums, strict=True), zip(event.fences, event.tokens, strict=True)
        self._history.weights[event.text] = Weight(dict(keys), event.number, dict(processes))

    def _on_found(self, event: Event) -> None:
        for task_id, mark, found, token, tries in zip(
            event.ids, event.marks, event.sums, event.tokens, event.tries, strict=True
        ):
            life = self._history.life(task_id)
            life.mark, life.sum, life.token, life.tries = mark, found, token, tries
        if event.stamps:
            earliest, latest = event.stamps
            self._history.stamped.append((event.ids[0], earliest, latest, event.at))

    def _on_counts(self, event: Event) -> None:
        self._history.counts = event.sums

    def _on_residue(self, event: Event) -> None:
        self._history.residue.append(event.text)


def _key(call: Event) -> tuple[int, int, str]:
    return call.epoch, call.number, call.fence
