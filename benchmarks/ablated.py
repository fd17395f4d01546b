"""Runs a module of ours with one thing left out: python -m benchmarks.ablated WHAT MODULE ARGUMENTS…

Nothing of this can be switched off in earnest: it is taken away here, in this process alone.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def _no_authentication() -> None:
    del os.environ["NEXUS_SHARED_TOKEN"]


def _no_uvloop() -> None:
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # an import of it fails from now on


def _no_look_ahead() -> None:
    vars(import_module("venom_spore.pace"))["AHEAD_SLOTS"] = 0


class _Everything(set[str]):
    def __contains__(self, _name: object) -> bool:
        return True


def _no_shared_task() -> None:
    attempts: Any = import_module("venom_spore.attempts").Attempts
    make = attempts.__init__

    def make_for_loners(table: Any, *args: Any) -> None:
        make(table, *args)
        table._loners = _Everything()  # noqa: SLF001  there is no other way to have it so

    attempts.__init__ = make_for_loners


LEFT_OUT: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "authentication": _no_authentication,
    "uvloop": _no_uvloop,
    "look-ahead": _no_look_ahead,
    "shared asyncio tasks": _no_shared_task,
}


if __name__ == "__main__":
    _, what, module, *arguments = sys.argv
    LEFT_OUT[what]()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
