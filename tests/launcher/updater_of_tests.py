"""Stands where `venom_spore.updater` does: leaves a line for each look, and stages what it finds in `offered`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from venom_spore.launcher.layout import Layout
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.state import StateFile

LOOKS, OFFERED = "looks", "offered"


def main() -> int:
    """10 if a release was staged, else 0."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--ready", type=float, required=True)
    parser.add_argument("arguments", nargs="*")
    layout = Layout(parser.parse_args().home)
    with (layout.home / LOOKS).open("a") as looks:
        looks.write("look\n")
    offered = layout.home / OFFERED
    if not offered.exists():
        return 0
    name = offered.read_text()
    offered.unlink()
    StateFile(layout).change(lambda state: state.move(Phase.STAGED, next=name))
    return 10


if __name__ == "__main__":
    sys.exit(main())
