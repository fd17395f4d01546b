"""Packages that could not be staged here, and since when: what is wrong with them stays wrong, so they wait.

Without it a release that is signed, but does not unpack or start, would be loaded whole at every look.
"""

from __future__ import annotations

import json
from pathlib import Path

from venom_core.ota.refusal import Code
from venom_spore.launcher.state import replace_file

SET_BACK = "set_back.json"
NAMES_MAX = 50
FILE_BYTES_MAX = 65_536
# Whose fault it is that this was refused: the package's, not that of the network or of this machine.
_OF_THE_PACKAGE = frozenset(
    code for code in Code if code.startswith(("ZIP_", "LOCK_")) or code in {Code.BAD_WHEEL, Code.DOES_NOT_START}
) | {Code.BAD_METADATA, Code.WRONG_PYTHON}


class SetBack:
    """The releases, by name, that one node has set back; kept in the folder of what it believes."""

    def __init__(self, trust: Path) -> None:
        self._file = trust / SET_BACK

    def names(self, now_s: float, interval_s: float) -> frozenset[str]:
        """Those that were set back less than `interval_s` ago."""
        return frozenset(name for name, at_s in self._read().items() if 0 <= now_s - at_s < interval_s)

    def add(self, name: str, code: Code, now_s: float) -> None:
        """Set a release back if `code` is about its package. Raises OSError."""
        if code in _OF_THE_PACKAGE:
            kept = [*self._read().items(), (name, now_s)][-NAMES_MAX:]
            replace_file(self._file, json.dumps(dict(kept)).encode() + b"\n")

    def _read(self) -> dict[str, float]:
        """What cannot be read has set nothing back: then it is tried once more."""
        try:
            with self._file.open("rb") as file:
                found = json.loads(file.read(FILE_BYTES_MAX))
        except (OSError, ValueError, RecursionError):
            return {}
        items = found.items() if isinstance(found, dict) else ()
        return {name: float(at_s) for name, at_s in items if isinstance(at_s, int | float)}
