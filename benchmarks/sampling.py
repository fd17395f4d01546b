"""Where a process spends its CPU, by samples: its Python stack at every tick of its own CPU clock.

A signal handler runs between two steps of the interpreter, so what a C function took is counted for the Python function
that called it. At some hundred samples a CPU second it costs less than a hundredth.
"""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import CodeType, FrameType

EVERY_S = 0.002
DEPTH_MAX = 60

Stack = tuple[str, ...]


class Sampler:
    """Samples from `start` to `stop`; of the main thread only, as signals are."""

    def __init__(self) -> None:
        self._stacks: Counter[Stack] = Counter()

    def start(self) -> None:
        """Begin, or begin anew with nothing counted."""
        self._stacks.clear()
        signal.signal(signal.SIGPROF, self._take)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def stop(self) -> dict[Stack, int]:
        """How often each stack was met, outermost function first."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        return dict(self._stacks)

    def _take(self, _number: int, frame: FrameType | None) -> None:
        names: list[str] = []
        while frame is not None and len(names) < DEPTH_MAX:
            names.append(_name(frame.f_code))
            frame = frame.f_back
        self._stacks[tuple(reversed(names))] += 1


@cache
def _name(code: CodeType) -> str:
    return f"{Path(code.co_filename).stem}.{code.co_qualname}"


def shares(stacks: Mapping[Stack, int], stages: Mapping[str, Sequence[str]], rest: str) -> dict[str, float]:
    """The part of all samples that belongs to each stage: that of the innermost function which has one."""
    stage_of = {name: stage for stage, names in stages.items() for name in names}
    found = dict.fromkeys([*stages, rest], 0)
    for stack, count in stacks.items():
        found[next((stage_of[name] for name in reversed(stack) if name in stage_of), rest)] += count
    return {stage: count / max(sum(stacks.values()), 1) for stage, count in found.items()}


def write(path: Path, stacks: Mapping[Stack, int]) -> None:
    """Keep samples for another process."""
    path.write_text(json.dumps([[list(stack), count] for stack, count in stacks.items()]))


def read(path: Path) -> dict[Stack, int]:
    """What `write` kept."""
    found: Iterable[tuple[list[str], int]] = json.loads(path.read_text())
    return {tuple(stack): count for stack, count in found}
