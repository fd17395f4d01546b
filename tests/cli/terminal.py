"""A terminal of our own: a real pty for a command, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from venom_core.clock import Clock

COLUMNS, ROWS = 118, 50
_CONTROL = re.compile(r"\x1b\[([?]?)([\d;]*)([A-Za-z])|\x1b[=>]|\x1b\][^\x07]*\x07")


class Screen:
    """The lines of a terminal: enough of one for what rich and click send."""

    def __init__(self, columns: int = COLUMNS) -> None:
        self._columns = columns
        self._lines, self._row, self._column = [""], 0, 0
        self._kept: tuple[list[str], int, int] | None = None
        self.colours: set[str] = set()
        self._rest = ""

    def feed(self, text: str) -> None:
        """Take what came; a sequence that is not whole waits for the rest."""
        text, at = self._rest + text, 0
        cut = text.rfind("\x1b")
        self._rest = text[cut:] if cut >= 0 and not _CONTROL.match(text, cut) else ""
        text = text[: len(text) - len(self._rest)]
        for found in _CONTROL.finditer(text):
            self._write(text[at : found.start()])
            at = found.end()
            if found[3]:
                self._obey(found[1], found[2], found[3])
        self._write(text[at:])

    def text(self) -> str:
        """What stands there, without spaces at the ends of lines and empty lines at the end."""
        return "\n".join(line.rstrip() for line in self._lines).rstrip() + "\n"

    def _write(self, text: str) -> None:
        for letter in text:
            if letter == "\n":
                self._row, self._column = self._row + 1, 0
                self._reach()
            elif letter == "\r":
                self._column = 0
            elif letter >= " ":
                self._put(letter)

    def _put(self, letter: str) -> None:
        if self._column == self._columns:
            self._row, self._column = self._row + 1, 0
            self._reach()
        line = self._lines[self._row].ljust(self._column)
        self._lines[self._row] = line[: self._column] + letter + line[self._column + 1 :]
        self._column += 1

    def _reach(self) -> None:
        while len(self._lines) <= self._row:
            self._lines.append("")

    def _obey(self, private: str, numbers: str, letter: str) -> None:
        count = int(numbers) if numbers.isdigit() else 1
        if private and numbers == "1049":
            self._swap(enter=letter == "h")
        elif letter == "A":
            self._row = max(self._row - count, 0)
        elif letter == "H":
            self._row = self._column = 0
        elif letter == "K":
            self._lines[self._row] = "" if numbers == "2" else self._lines[self._row][: self._column]
        elif letter == "J":
            self._lines = [""] if numbers == "2" else self._lines[: self._row + 1]
            self._reach()
        elif letter == "m":
            self.colours |= set(numbers.split(";"))

    def _swap(self, *, enter: bool) -> None:
        if enter:
            self._kept, (self._lines, self._row, self._column) = (self._lines, self._row, self._column), ([""], 0, 0)
        elif self._kept is not None:
            (self._lines, self._row, self._column), self._kept = self._kept, None


class Terminal:
    """One command in a pty of its own."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path, columns: int = COLUMNS
    ) -> None:
        self.screen = Screen(columns)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        plain = {name: value for name, value in environment.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        self.process = subprocess.Popen(
            list(command), stdin=slave, stdout=slave, stderr=slave, cwd=folder, start_new_session=True,
            env=plain | {"TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(slave)
        self._clock = Clock()

    def type(self, text: str) -> None:
        """What a person types."""
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def until(self, shown: str | Callable[[str], bool], within_s: float = 60.0) -> str:
        """The screen once it shows this; fails if it does not."""
        met = shown if callable(shown) else lambda text: shown in text
        end_s = self._clock.monotonic_s() + within_s
        while not met(self.screen.text()):
            assert self._clock.monotonic_s() < end_s, f"it does not show {shown!r}:\n{self.screen.text()}"
            if not self._read():
                assert met(self.screen.text()), f"it ended without {shown!r}:\n{self.screen.text()}"
        return self.screen.text()

    def end(self, within_s: float = 120.0) -> int:
        """The exit code, once it has ended and all is on the screen."""
        end_s = self._clock.monotonic_s() + within_s
        while self._read():
            assert self._clock.monotonic_s() < end_s, f"it does not end:\n{self.screen.text()}"
        return self.process.wait(within_s)

    def close(self) -> None:
        """Nobody looks any more."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def _read(self) -> bool:
        """Take what is there within a moment; False once the other end is closed."""
        if not select.select([self._master], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # Linux says so that the last process at the other end has gone
            return False
        self.screen.feed(data.decode(errors="replace"))
        return bool(data)
