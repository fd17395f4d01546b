"""The program in a sandbox: `python -m venom_spore.sandbox_child SOCKET SPORE_PID GRACE_S PAGE LEASE_S FORMAT LEVEL`.

PAGE is the descriptor of the Spore's lease board, or -1. The program forks at once into the keeper (see
`sandbox_keeper`) and the runner, which is the rest of this file: take a job from the socket, import its skill, run it,
send the outcome, end what it left running, take the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

from venom_core.clock import Clock
from venom_core.domain import payload
from venom_core.errors import InputError, InvalidSkill
from venom_core.log_format import NODE, WORK, NamedWork, conceal, install
from venom_spore import process_tree
from venom_spore.context import TaskContext
from venom_spore.lease_board import LeaseBoard
from venom_spore.sandbox_frames import (
    LENGTH_BYTES,
    MESSAGE_CHARS_MAX,
    TRACE_CHARS_MAX,
    Begun,
    Done,
    Emitted,
    Failed,
    Job,
    Progress,
    Refused,
    Reply,
    length_of,
    pack,
    read_job,
)
from venom_spore.sandbox_keeper import Keeper, end_like
from venom_spore.skills import Skill, SkillSet, load_skills

ESCAPED_FORK_EXIT = 70
_LEFTOVER_PATIENCE_S = 2.0
_MIB = 1_048_576


class Stopped(BaseException):
    """SIGTERM came: the task is to end now. Not an `Exception`, so that ordinary handlers let it through."""


class Link:
    """The runner's end of the socket. Blocking; sending is safe from any thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def receive(self) -> Job | None:
        """The next job, or None when the Spore has hung up."""
        head = self._read(LENGTH_BYTES)
        body = self._read(length_of(head)) if head else b""
        return read_job(body) if body else None

    def send(self, reply: Reply) -> None:
        """Send a frame. A copy of this process that a task forked, and that got here, ends instead of speaking."""
        if os.getpid() != self._pid:
            os._exit(ESCAPED_FORK_EXIT)
        with self._lock:
            self._sock.sendall(pack(reply))

    def _read(self, count: int) -> bytes:
        """Exactly `count` bytes, or none if the other side hung up."""
        parts = bytearray()
        while len(parts) < count:
            part = self._sock.recv(min(count - len(parts), _MIB))
            if not part:
                return b""
            parts += part
        return bytes(parts)


class Runner:
    """Runs one job after the other until the Spore hangs up."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._clock = Clock()
        self._sets: dict[str, SkillSet] = {}
        self._context: TaskContext | None = None

    def serve(self) -> None:
        """Take jobs until there are no more."""
        while (job := self._link.receive()) is not None:
            self._link.send(Begun())
            spared = {process.pid for process in process_tree.descendants()} if process_tree.has_children() else set()
            signal.signal(signal.SIGTERM, self.stop)  # for each job: the one before may have taken it over
            if job.who is not None:
                NODE.set(job.who.node_id)
                WORK.set(NamedWork(job.who.task_id, job.who.attempt))
            if job.secrets:
                conceal(job.secrets)
            reply = self.perform(job)
            self._context = None
            process_tree.end_descendants(spared, _LEFTOVER_PATIENCE_S, self._clock)
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):  # the task may have closed them
                    stream.flush()
            self._link.send(reply)

    def stop(self, _number: int, _frame: FrameType | None) -> NoReturn:
        """The handler of SIGTERM."""
        if self._context is not None:
            self._context.cancel()
        raise Stopped

    def perform(self, job: Job) -> Reply:
        """Run one job; whatever the skill raises, `SystemExit` too, is an outcome. Only `Stopped` goes through."""
        try:
            skill = self._find(job)
            with _memory_limit(job.memory_mb):
                result = self._call(skill, job)
            return Done(payload.encode(result, f"result of {job.name!r}", job.result_bytes_max))
        except Stopped:
            raise
        except InputError as error:
            return Refused(_readable(str(error))[:MESSAGE_CHARS_MAX])
        except BaseException as error:  # noqa: BLE001 whatever the skill raises is its outcome
            return _failed(error)

    def _find(self, job: Job) -> Skill:
        if job.path:
            sys.path[:] = job.path
        if job.origin not in self._sets:
            self._sets[job.origin] = load_skills(job.origin)
        skill = self._sets[job.origin].get(job.name)
        if skill is None:
            raise InvalidSkill(f"{job.origin!r} has no skill {job.name!r} when a child process imports it")
        return skill

    def _call(self, skill: Skill, job: Job) -> Any:
        args, kwargs = skill.binder.decode(job.payload)
        if skill.wants_context and job.who is not None:
            who = job.who
            self._context = TaskContext(
                who.task_id,
                who.task_type,
                attempt=who.attempt,
                crashes=who.crashes,
                node_id=who.node_id,
                report=self._report,
            )
            args = (self._context, *args)
        result = skill.function(*args, **kwargs)
        return asyncio.run(result) if skill.is_async else result

    def _report(self, kind: str, said: Any) -> None:
        self._link.send(Progress(*said) if kind == "progress" else Emitted(said))


@contextlib.contextmanager
def _memory_limit(memory_mb: int | None) -> Iterator[None]:
    """Limit this process's data (heap, private mappings, thread stacks) while the task runs.

    Not its address space, most of which is never touched: a library that reserves a lot would be refused.
    """
    if memory_mb is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = memory_mb * _MIB
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _failed(error: BaseException) -> Failed:
    """What the Spore is told about an exception: the end of a long trace says most."""
    summary = traceback.TracebackException.from_exception(error)
    message, trace = _readable(str(summary)), _readable("".join(summary.format()))
    return Failed(type(error).__name__, message[:MESSAGE_CHARS_MAX], trace[-TRACE_CHARS_MAX:])


def _readable(text: str) -> str:
    """The text without half surrogate pairs, which UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode()


def run(sock: socket.socket) -> NoReturn:
    """The runner's life; ends the process."""
    runner = Runner(Link(sock))
    try:
        runner.serve()
    except (Stopped, ConnectionError):
        # No atexit, no joining of threads that the task left: whoever ends us wants it now.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    sys.exit(0)


def main(arguments: list[str]) -> NoReturn:
    """Split into keeper and runner."""
    descriptor, spore_pid, grace_s = int(arguments[0]), int(arguments[1]), float(arguments[2])
    board = LeaseBoard(float(arguments[4]), int(arguments[3])) if int(arguments[3]) >= 0 else None
    install(arguments[5], arguments[6])
    sock = socket.socket(fileno=descriptor)
    sock.set_inheritable(False)
    keeper = Keeper(descriptor, grace_s, Clock(), board)
    keeper.listen()
    process_tree.adopt_orphans()
    process_tree.die_with_parent(spore_pid, signal.SIGTERM)
    keeper_pid = os.getpid()
    runner_pid = os.fork()
    if runner_pid == 0:
        keeper.leave()
        os.setsid()
        process_tree.adopt_orphans()
        process_tree.die_with_parent(keeper_pid, signal.SIGKILL)
        process_tree.be_first_out_of_memory()
        run(sock)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    end_like(keeper.keep(runner_pid))


if __name__ == "__main__":
    main(sys.argv[1:])
