"""Histories made by hand, line by line."""

from __future__ import annotations

from pathlib import Path

import msgspec

SEC = 1_000_000  # µs


class Script:
    """Writes histories; `at` goes on by a second a line."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.at, self.n = folder, 10 * SEC, 0

    def say(self, what: str, who: str = "spore-1", **fields: object) -> int:
        self.at += SEC
        self.n += 1
        line = msgspec.json.encode({"n": self.n, "at": self.at, "what": what, **fields})
        with (self.folder / f"{who}.jsonl").open("ab") as file:
            file.write(line + b"\n")
        return self.n

    @property
    def now(self) -> int:
        return self.at // 1000

    def enqueue(
        self,
        *ids: str,
        lane: str = "brief",
        level: int = 2,
        answered: bool = True,
        delay: int = 0,
        who: str = "caller-1",
    ) -> None:
        call = self.say("enqueue", who, lane=lane, level=level, ids=ids, delay=delay)
        if answered:
            self.say("ok", who, op=call, now=self.now)

    def join(self, epoch: int, name: str = "spore", lease_ms: int = 6000) -> None:
        call = self.say("join", text=name, number=lease_ms)
        self.say("ok", op=call, epoch=epoch, now=self.now)

    def lead(self, epoch: int, name: str, lease_ms: int = 6000) -> None:
        call = self.say("lead", name, text=name, number=lease_ms)
        self.say("ok", name, op=call, epoch=epoch)

    def claim(
        self, epoch: int, number: int, *ids: str, marks: str = "", count: int = 40, text: str = "", now: int = 0
    ) -> None:
        call = self.say("claim", epoch=epoch, number=number, count=count, text=text)
        self.say("ok", op=call, now=now or self.now, ids=ids, marks=marks or "c" * len(ids))

    def body(self, task_id: str, token: int, fence: str) -> None:
        self.say("start", ids=[task_id], token=token, fence=fence)
        self.say("end", ids=[task_id], token=token)

    def settle(
        self,
        fence: str,
        *ids: str,
        mark: str = "c",
        total: int = 7,
        number: int = 1,
        refused: tuple[int, ...] = (),
        answered: bool = True,
        fault: str = "",
    ) -> None:
        epoch = int(fence.partition(".")[0])
        call = self.say(
            "settle", epoch=epoch, number=number, fence=fence, ids=ids, marks=mark * len(ids), sums=[total] * len(ids)
        )
        if fault:
            self.say("fault", op=call, text=fault)
        elif answered:
            self.say("ok", op=call, now=self.now, refused=refused)

    def take(self, epoch: int, *pairs: tuple[str, str], count: int = -1, force: int = 0) -> None:
        ids, fences = zip(*pairs, strict=True)
        call = self.say("take", "nexus-1", epoch=epoch, ids=ids, fences=fences, sums=[8, 9] * len(ids), number=force)
        self.say("ok", "nexus-1", op=call, count=len(ids) if count < 0 else count)

    def found(
        self,
        task_id: str,
        mark: str = "c",
        total: int = 7,
        token: int = 1,
        tries: str = "1.0",
        stamps: tuple[int, ...] = (),
    ) -> None:
        lists: dict[str, object] = {"ids": [task_id], "sums": [total], "tokens": [token], "tries": [tries]}
        self.say("found", "conductor", marks=mark, stamps=stamps or (self.now, self.now), **lists)

    def counts(self, completed: int = 1, failed: int = 0, cancelled: int = 0, quarantined: int = 0) -> None:
        self.say("counts", "conductor", sums=[0, 0, 0, 0, completed, failed, cancelled, quarantined])


def ordinary(script: Script, task_id: str = "a") -> None:
    """One task, from beginning to end."""
    script.join(5)
    script.enqueue(task_id)
    script.claim(5, 1, task_id)
    script.body(task_id, 1, "5.1|")
    script.settle("5.1|", task_id)


def finish_elsewhere(script: Script) -> None:
    script.claim(6, 1, "a")
    script.body("a", 1, "6.1|")
    script.settle("6.1|", "a")
    script.found("a", tries="1.1")
    script.counts()
