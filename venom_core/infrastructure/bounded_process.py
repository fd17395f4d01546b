"""Runs a program of others within bounds: its time, what it may print, and its whole process group at the end.

Whatever such a program does (hang, flood, close its output and stay, leave a child that holds the pipe), the
caller has his answer or one sentence when the time is over. Its standard input is empty.

The Spore's `builtin.child` is another because it may not block an event loop, can be cancelled, and keeps the
beginning of the output, which is the result of a task.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from venom_core.clock import Clock
from venom_core.errors import StackError

KEPT_BYTES = 1_048_576
PRINTED_BYTES_MAX = 33_554_432
_READ_BYTES = 65_536
# How long a program that has ended may leave its output open to a child before nobody listens any more.
_SILENCE_S = 0.2


class Finished(NamedTuple):
    """How a program ended: exit code (negative: a signal), and the last mebibyte of each output."""

    code: int
    out: str
    err: str


def run_bounded(
    command: Sequence[str], *, timeout_s: float, folder: Path, environment: Mapping[str, str], clock: Clock
) -> Finished:
    """Run a program to its end.

    Raises:
        StackError: it cannot be started, or was ended because it took longer than `timeout_s` seconds or
            printed more than 32 MiB.
    """
    name = Path(command[0]).name
    deadline_s = clock.monotonic_s() + timeout_s
    with _start(command, folder, environment) as process:
        try:
            out, err = _listen(process, name, clock, deadline_s)
            code = process.wait(max(deadline_s - clock.monotonic_s(), _SILENCE_S))
        except (TimeoutError, subprocess.TimeoutExpired):
            _end(process)
            raise StackError(f"{name} took longer than {timeout_s:g} s and was ended") from None
        except BaseException:
            _end(process)
            raise
    return Finished(code, out, err)


def _start(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - the words of the command are checked by who gives them, no shell
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except OSError as fault:
        raise StackError(f"{command[0]} cannot be started: {fault.strerror}") from fault


def _listen(process: subprocess.Popen[bytes], name: str, clock: Clock, deadline_s: float) -> tuple[str, str]:
    """The ends of both outputs, once they are closed or their program is gone; `TimeoutError` at the deadline."""
    assert process.stdout is not None
    assert process.stderr is not None
    kept: dict[IO[bytes], bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    printed = 0
    with selectors.DefaultSelector() as selector:
        for stream, ending in kept.items():
            selector.register(stream, selectors.EVENT_READ, ending)
        while selector.get_map():
            left_s = deadline_s - clock.monotonic_s()
            if left_s <= 0:
                raise TimeoutError
            ready = selector.select(min(left_s, _SILENCE_S))
            if not ready and process.poll() is not None:
                break
            for key, _ in ready:
                data = os.read(key.fd, _READ_BYTES)
                printed += len(data)
                if not data:
                    selector.unregister(key.fileobj)
                key.data.extend(data)
                del key.data[:-KEPT_BYTES]
            if printed > PRINTED_BYTES_MAX:
                raise StackError(f"{name} printed more than {PRINTED_BYTES_MAX // 1_048_576} MiB and was ended")
    out, err = (text.decode(errors="replace") for text in kept.values())
    return out, err


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and whatever it started; until it is waited for, its group cannot be another's."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
