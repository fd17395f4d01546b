"""Where an update stands, what may follow, and what a launcher does that starts there: pure decisions.

What comes before STAGED (checking, downloading, verifying, unpacking) changes nothing but the staging folder and
releases without COMPLETE, so it has no phase: whoever starts next throws that away.
"""

from __future__ import annotations

from enum import StrEnum

BOOTS_MAX = 3


class Phase(StrEnum):
    """One step of an update, as it is persisted."""

    IDLE = "idle"
    STAGED = "staged"
    """`next` is complete and wanted."""
    GO_BACK = "go_back"
    """What runs was withdrawn: `previous` is wanted."""
    DRAINING = "draining"
    """The worker was told to finish what it runs."""
    SWITCHING = "switching"
    """`current` is about to lead to `next`, or does already."""
    PROBATION = "probation"
    """The new release runs and must prove its health; `boots` counts its starts."""
    COMMITTED = "committed"
    """It has; old releases are about to be removed."""
    ROLLING_BACK = "rolling_back"
    """`current` is about to lead to `previous`, or does already, which must prove its health too."""
    FAILED = "failed"
    """It did not: the base environment runs in safe mode until a signed update comes."""


NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.IDLE: frozenset({Phase.STAGED, Phase.GO_BACK}),
    Phase.STAGED: frozenset({Phase.DRAINING, Phase.IDLE, Phase.GO_BACK}),
    Phase.GO_BACK: frozenset({Phase.ROLLING_BACK, Phase.IDLE}),
    Phase.DRAINING: frozenset({Phase.SWITCHING, Phase.STAGED}),
    Phase.SWITCHING: frozenset({Phase.PROBATION, Phase.STAGED, Phase.IDLE}),
    Phase.PROBATION: frozenset({Phase.COMMITTED, Phase.ROLLING_BACK}),
    Phase.COMMITTED: frozenset({Phase.IDLE}),
    Phase.ROLLING_BACK: frozenset({Phase.IDLE, Phase.FAILED}),
    Phase.FAILED: frozenset({Phase.STAGED, Phase.ROLLING_BACK, Phase.GO_BACK}),
}


def allowed(old: Phase, new: Phase) -> bool:
    """Whether a state may go from one phase to another; staying is no move and always allowed."""
    return old is new or new in NEXT[old]


class Mode(StrEnum):
    """How the worker of a phase is run."""

    PLAIN = "plain"
    ON_TRIAL = "on trial"
    SAFE = "safe"


def mode_of(phase: Phase) -> Mode:
    """How to run a worker now: as ever, until it has proven its health, or with no skills."""
    if phase in {Phase.PROBATION, Phase.ROLLING_BACK}:
        return Mode.ON_TRIAL
    return Mode.SAFE if phase is Phase.FAILED else Mode.PLAIN


def after_boots(phase: Phase, boots: int) -> Phase:
    """The phase after so many starts on trial of which none was brought to a verdict, as when the machine restarts."""
    if boots <= BOOTS_MAX:
        return phase
    return {Phase.PROBATION: Phase.ROLLING_BACK, Phase.ROLLING_BACK: Phase.FAILED}.get(phase, phase)
