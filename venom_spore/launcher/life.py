"""One life of a worker: from its start to its burial."""

from __future__ import annotations

import math
import signal
from dataclasses import dataclass

from venom_spore.launcher.child import Child
from venom_spore.launcher.gate import Gate
from venom_spore.launcher.link import Link
from venom_spore.launcher.phases import Mode

# A worker hands back what it could not finish within its drain timeout; that takes a few seconds more.
HANDING_BACK_S = 20.0
FORCED_S = 10.0
SICK_S = 2.0
DRAIN_S = 30.0


@dataclass(slots=True)
class Life:
    """A worker that runs. `sick`: why it failed its trial."""

    release: str
    mode: Mode
    child: Child
    link: Link
    started_s: float
    gate: Gate | None = None
    sick: str = ""
    drain_s: float = DRAIN_S
    told: int = 0
    again_s: float = math.inf
    """When it is told once more, harder."""

    def drain(self, now_s: float) -> None:
        """Let it finish what it runs; told again, it changes nothing."""
        if not self.told:
            self._tell(now_s, self.drain_s + HANDING_BACK_S)

    def end(self, now_s: float) -> None:
        """It is sick: it gets a moment to leave by itself."""
        if not self.told:
            self._tell(now_s, SICK_S)

    def harder(self, now_s: float) -> None:
        """First it is told, then told to hand back at once, then killed with all of its group."""
        self._tell(now_s, SICK_S if self.sick else FORCED_S)

    def tick(self, now_s: float) -> None:
        """Be harder when it is time."""
        if now_s >= self.again_s:
            self.harder(now_s)

    def _tell(self, now_s: float, patience_s: float) -> None:
        self.told += 1
        self.again_s = now_s + patience_s
        if self.told <= 2:
            self.child.tell(signal.SIGTERM)
        else:
            self.child.kill_group()


def how_it_ended(code: int) -> str:
    """The end of a process in words."""
    if code >= 0:
        return f"the worker ended with exit code {code}"
    try:
        return f"the worker was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"the worker was killed by signal {-code}"
