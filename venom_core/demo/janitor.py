"""Cleans up after a quickstart that was killed: `python -m venom_core.demo.janitor FOLDER`.

It waits for the end of its standard input, which comes when the quickstart ends, however that is. Nexus and
Spores hear of it from the kernel (see `tether`); the server does not, and a folder cannot.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from venom_core.infrastructure.embedded import find_server


def main(arguments: list[str]) -> None:
    """Wait, then stop the server in FOLDER/data and remove FOLDER; both may be gone already."""
    folder = Path(arguments[0])
    sys.stdin.read()
    server = find_server(folder / "data")
    if server is not None:
        server.stop()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
