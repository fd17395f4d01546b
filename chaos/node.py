"""A real Spore or Nexus that writes its history: `python -m chaos.node spore|nexus NAME [arguments of the command]`."""

from __future__ import annotations

import sys

from chaos import mutants, recording
from venom_core import nexus
from venom_spore import main as spore


def main() -> int:
    """The command."""
    kind, name, *arguments = sys.argv[1:]
    recording.install(kind, name)
    mutants.install()
    if kind == "nexus":
        return nexus.main(["--name", name, *arguments])
    return spore.main(["--name", name, "--skills", "chaos.skills:skills", *arguments])


if __name__ == "__main__":
    sys.exit(main())
