from __future__ import annotations

import os
import sys

import pytest

from venom_core.demo import tether


class Replaced(Exception):
    """Stands for the end of this program when another takes its place."""


def test_a_component_takes_the_place_of_its_tether(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []

    def execv(program: str, arguments: list[str]) -> None:
        became.append([program, *arguments])
        raise Replaced

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(tether, "die_with_parent", lambda parent, number: became.append([str(parent), str(number)]))
    with pytest.raises(Replaced):
        tether.main(["41", "venom_core.nexus", "--name", "n"])
    assert became == [["41", "15"], [sys.executable, sys.executable, "-m", "venom_core.nexus", "--name", "n"]]
