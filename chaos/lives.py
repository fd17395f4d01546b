"""What a history knows: of each task, each incarnation of a node, each claim and each reaper's call.

A call is *sure* if it was answered, and at no moment whose writes the server may have lost since. Everything else is
a maybe: it happened or it did not, and no verdict may rest on it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

ENDS = frozenset("cfxq")
TAKEN, CRASHED, RETRIED = "t", "k", "r"
NEVER = 2**62


class Free(msgspec.Struct, gc=False):
    """What ended a hold: an end (c f x q), retry (r), back (b), crash (k), taken away (t); between two moments, µs."""

    mark: str
    sure: bool
    since: int
    until: int
    sums: tuple[int, ...] = ()


class Again(msgspec.Struct, gc=False):
    """An ended task was put back in line, as if it were new; between two moments, µs."""

    sure: bool
    since: int
    until: int


class Body(msgspec.Struct, gc=False):
    """One run of a skill's body on a node.

    Moments in µs: `began`; `ended`, when it came to its own end, or 0; `stepped`, when its last step began, or 0.
    """

    token: int
    fence: str
    node: str = ""
    began: int = 0
    ended: int = 0
    stepped: int = 0


class Hold(msgspec.Struct, gc=False):
    """A task held under one fence; `now` ms by Redis, `until` µs when the claim was answered, 0 = never seen."""

    fence: str
    sure: bool = False
    now: int = 0
    until: int = 0
    frees: list[Free] = []

    @property
    def epoch(self) -> int:
        """Whose it is."""
        return int(self.fence.partition(".")[0])


class Life(msgspec.Struct, gc=False):
    """Everything said about one task.

    `caller` and `call` say who asked first to enqueue it and in which call, `order` its place in that; it was in line
    between the moments `sent` and `stored` (µs).
    """

    lane: str = ""
    level: int = -1
    order: int = 0
    caller: int = 0
    call: int = 0
    sent: int = 0
    stored: int = NEVER
    due_ms: int = 0
    acked: bool = False
    wished: bool = False
    holds: dict[str, Hold] = {}
    bodies: list[Body] = []
    offs: list[Free] = []
    agains: list[Again] = []
    disowned: list[int] = []
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
    partition: int
    since: int
    until: int
    sure: bool
    forced: bool


class Claimed(msgspec.Struct, gc=False):
    """A claim that brought something."""

    epoch: int
    partition: int
    now: int
    until: int
    count: int
    ids: tuple[str, ...]
    marks: str
    ordered: bool


class Node(msgspec.Struct, gc=False):
    """One incarnation: its lease in ms, and when it may first have been fenced (µs).

    It joined all partitions at `joined` or later; `renewed`: when it renewed the lease of each, ms by Redis.
    `lost`: when it first heard that its lease is lost (µs), or 0.
    """

    name: str = ""
    lease_ms: int = 0
    joined: int = 0
    renewed: dict[int, list[int]] = {}
    fenced: int = 0
    joins: int = 0
    lost: int = 0


class Still(msgspec.Struct, gc=False):
    """A process was stopped between two moments (µs)."""

    since: int
    until: int


class Heard(msgspec.Struct, gc=False):
    """An answer of a run: its lines in order, the folded value, and how the fold ended ("" = there was none)."""

    sure: bool
    ids: tuple[str, ...]
    marks: str
    tokens: tuple[int, ...]
    folded: tuple[int, ...]
    fold: str


class Run(msgspec.Struct, gc=False):
    """A run: so many items, the skill that folds them, what callers heard, and its counter in Redis at the end.

    `resumed`: it was taken up again by a caller before anybody had heard its answer.
    """

    total: int = 0
    resumed: bool = False
    reduce: str = ""
    heard: list[Heard] = []
    joined: int = -1


class Weight(msgspec.Struct, gc=False):
    """An idle hive at one moment, in bytes: each key, the server's data in all, and each process by name and id."""

    keys: dict[str, int]
    server: int
    processes: dict[str, int]


class Led(msgspec.Struct, gc=False):
    """A campaign that was surely won: asked and answered when (µs), for a lease of so many ms."""

    epoch: int
    name: str
    since: int
    until: int
    lease_ms: int


class History:
    """What all processes said."""

    def __init__(self) -> None:
        self.lives: dict[str, Life] = {}
        self.nodes: dict[int, Node] = {}
        self.runs: dict[str, Run] = {}
        self.weights: dict[str, Weight] = {}
        self.takes: list[Take] = []
        self.claims: list[Claimed] = []
        self.windows: list[tuple[int, int]] = []
        self.counts: tuple[int, ...] = ()
        self.residue: list[str] = []
        self.blows: list[str] = []
        self.stills: dict[str, list[Still]] = {}
        self.unreadable: list[str] = []
        self.newest: dict[str, int] = {}
        self.joined: list[tuple[str, int, int]] = []
        self.led: list[Led] = []
        self.resigned: list[tuple[str, int]] = []
        # The first line of all (µs), and of each page of ends: its first task, earliest and latest ms, seen when (µs).
        self.begun = 0
        self.stamped: list[tuple[str, int, int, int]] = []

    def life(self, task_id: str) -> Life:
        """What is known of a task."""
        found = self.lives.get(task_id)
        if found is None:
            found = self.lives[task_id] = Life()
        return found

    def run(self, run_id: str) -> Run:
        """What is known of a run."""
        found = self.runs.get(run_id)
        if found is None:
            found = self.runs[run_id] = Run()
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


def all_frees(life: Life) -> Iterator[Free]:
    """Whatever ended a hold of a task, or the task itself while it was pending."""
    for hold in life.holds.values():
        yield from hold.frees
    yield from life.offs
