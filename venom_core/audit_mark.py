"""Small files beside an audit: up to where its lines were handed on, each replaced whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

FILE_MODE = 0o600


class Mark:
    """Up to which number lines were handed on, in a file of its own: what is spoilt is handed on once more."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> int:
        """The number; 0 if there is none. Raises OSError."""
        try:
            text = self._file.read_text(encoding="ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return 0
        return int(text) if text.isdigit() else 0

    def write(self, number: int) -> None:
        """Keep it, also if the power fails. Raises OSError."""
        replace_text(self._file, str(number))
        descriptor = os.open(self._file.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Have these words in a file, or what was in it before, whenever the process dies. Raises OSError."""
    made = path.with_name(f"{path.name}.new")
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)
