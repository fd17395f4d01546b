"""What a Spore knows of its lease, as four moments in a page of memory that the keepers of its children see too.

A lease that was renewed by a call sent at `t` surely holds until `t` + lease. Later it may be lost, for one of two
reasons that ask for opposite answers: Redis did not answer, then nobody else was given the tasks either and
what runs goes on; or this Spore stood still (stopped, suspended, starved), then others may have been. The two are
told apart by a pulse, a moment that a thread of the Spore writes down as long as it runs at all.
"""

from __future__ import annotations

import math
import mmap
import os
import sys
import tempfile
from pathlib import Path

# Parts of a lease: what of it is not relied on, how often the pulse comes, how long without one is standing still.
MARGIN, PULSE, STILL = 1 / 10, 1 / 6, 1 / 3
_SENT, _UNTIL, _PULSED, _STOOD = range(4)
_BYTES = 4 * 8


class LeaseBoard:
    """The page of one Spore; with a `descriptor`, which it closes, a look at the page of another process.

    All moments are seconds of `Clock.lasting_s`, the same for all processes of a machine. Each is a float of eight
    aligned bytes, stored at once, so nothing is locked. Before the lease is first taken nothing is in doubt.
    """

    def __init__(self, lease_s: float, descriptor: int | None = None) -> None:
        self.lease_s = lease_s
        self._still_s, self._term_s = STILL * lease_s, (1 - MARGIN) * lease_s
        if descriptor is None:
            self.descriptor = _new_page()
            self._page = mmap.mmap(self.descriptor, _BYTES)
        else:
            self.descriptor = -1
            self._page = mmap.mmap(descriptor, _BYTES, access=mmap.ACCESS_READ)
            os.close(descriptor)
        self._moments = memoryview(self._page).cast("d")
        if descriptor is None:
            self._moments[_UNTIL] = math.inf

    @property
    def until_s(self) -> float:
        """The moment until which the lease surely holds."""
        return self._moments[_UNTIL]

    def in_doubt(self, now_s: float) -> bool:
        """Whether the lease may have been lost while this Spore stood still, and Redis was not heard since."""
        moments = self._moments
        return now_s > moments[_UNTIL] and (
            moments[_STOOD] > moments[_SENT] or now_s - moments[_PULSED] > self._still_s
        )

    def look_in_s(self, now_s: float) -> float:
        """In how many seconds it is worth looking again."""
        return max(min(self._moments[_UNTIL] - now_s, PULSE * self.lease_s), PULSE * self.lease_s / 20)

    # ------------------------------------------------------------------------------------ written by the Spore

    def pulse(self, now_s: float) -> None:
        """The Spore runs. If it has not done so for long, that is remembered until Redis has answered."""
        if self.in_doubt(now_s):
            self._moments[_STOOD] = now_s
        self._moments[_PULSED] = now_s

    def renew(self, sent_s: float) -> None:
        """The lease was renewed by calls of which the first was sent at this moment."""
        self._moments[_SENT] = sent_s
        self._moments[_UNTIL] = sent_s + self._term_s

    def doubt(self, now_s: float) -> None:
        """Redis says that the lease is lost; whoever is to stop what runs has not heard it yet."""
        self._moments[_SENT] = 0.0
        self._moments[_STOOD] = now_s
        self._moments[_UNTIL] = 0.0

    def close(self) -> None:
        """Give the page back; other processes keep theirs."""
        self._moments.release()
        self._page.close()
        if self.descriptor >= 0:
            os.close(self.descriptor)


def _new_page() -> int:
    if sys.platform == "linux":
        descriptor = os.memfd_create("venom-lease", os.MFD_CLOEXEC)
    else:
        descriptor, path = tempfile.mkstemp(prefix="venom-lease")
        Path(path).unlink()
    os.ftruncate(descriptor, _BYTES)
    return descriptor
