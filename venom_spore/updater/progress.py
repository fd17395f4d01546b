"""One update at a time: the lock, and what its holder is doing, so that whoever comes second can say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from venom_spore.launcher.layout import Layout, held

WORDS_CHARS_MAX = 200


class Progress:
    """What the update that holds the lock is doing, in the lock file itself."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def tell(self, words: str) -> None:
        """Say what is being done; empty when it is over."""
        self._path.write_text(words[:WORDS_CHARS_MAX])

    def read(self) -> str:
        """What the holder said last, printable and bounded; empty if nobody said anything."""
        try:
            with self._path.open(errors="replace") as file:
                words = file.read(WORDS_CHARS_MAX)
        except FileNotFoundError:
            return ""
        return "".join(character if character.isprintable() else "?" for character in words)


@contextmanager
def alone(layout: Layout) -> Iterator[Progress]:
    """Hold the update lock of a home folder.

    Raises `LauncherFault` BUSY, naming what the other is doing, and `OSError`.
    """
    progress = Progress(layout.update_lock)
    doing = progress.read() or "looking"
    with held(layout.update_lock, f"another update of {layout.home} is under way ({doing}); it is tried again later"):
        progress.tell("looking")
        try:
            yield progress
        finally:
            progress.tell("")
