"""Lanes: where a pending task stands in line.

A task that any node with its skill may run stands in the lane of its type. One with requirements waits in
`WAITING` for a dispatcher, which moves it to the lane of one node. No type and no node name begins like these.
"""

from __future__ import annotations

from venom_core.domain.task import TaskBody

WAITING = "?"
_OWN = "@"


def own_lane(node: str) -> str:
    """The lane of what was given to one node."""
    return _OWN + node


def node_of(lane: str) -> str | None:
    """The node whose own lane it is, or None."""
    return lane[len(_OWN) :] if lane.startswith(_OWN) else None


def home_lane(lane: str) -> str:
    """Where a task goes that leaves this lane without ending: what was given to a node is placed anew."""
    return WAITING if lane.startswith(_OWN) else lane


def first_lane(body: TaskBody) -> str:
    """Where a task enters."""
    return WAITING if body.requirements else body.task_type


def claimed_by_type(lane: str) -> bool:
    """Whether anybody with the skill may claim from it."""
    return not lane.startswith((WAITING, _OWN))
