"""All histories of a storm, put together task by task. One pass over each file: conductor, callers, others."""

from __future__ import annotations

from pathlib import Path

import msgspec

from chaos.events import read
from chaos.lives import History
from chaos.reader import Reader

_CONDUCTOR, _CALLER = "conductor", "caller"


def gather(folder: Path) -> History:
    """Read every file of a history."""
    history = History()
    paths = sorted(folder.glob("*.jsonl"), key=_turn)
    history.begun = min(map(_begun, paths), default=0)
    for number, path in enumerate(paths):
        Reader(history, number).take_all(path)
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
