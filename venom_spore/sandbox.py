"""Process skills run in child processes that can be killed, down to whatever they have started.

Each child serves one task at a time and is used again for the next task of the same SkillSet. A child is two
processes, a keeper that waits and a runner that works (see `sandbox_keeper`); all that stands here is whom
to give which job, and what to make of the answer. Data crosses as msgpack, never as pickle.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys

import msgspec

from venom_core.domain import payload
from venom_core.errors import InvalidSkill, InvalidTask, SandboxCrashed, TaskFailure
from venom_core.log_format import installed
from venom_spore.context import PARTIAL_BYTES_MAX, TaskContext
from venom_spore.lease_board import LeaseBoard
from venom_spore.process_tree import descendants, send
from venom_spore.sandbox_frames import (
    FRAME_MARGIN_BYTES,
    LENGTH_BYTES,
    Begun,
    Done,
    Emitted,
    Failed,
    Job,
    Progress,
    Refused,
    Reply,
    Who,
    length_of,
    pack,
    read_reply,
)
from venom_spore.sandbox_keeper import HELD_EXIT, HELD_MAX_S
from venom_spore.skills import Skill

GRACE_S = 2.0
IDLE_S = 60.0
RESULT_BYTES_MAX = 1_048_576
# How much longer than the grace a keeper may take before it is killed itself.
_KEEPER_MARGIN_S = 2.0


class SkillError(TaskFailure):
    """A skill raised in a child process. `kind`, `message` and `trace` are text: no object crosses over."""

    def __init__(self, kind: str, message: str, trace: str) -> None:
        super().__init__(f"{kind}: {message}".removesuffix(": "))
        self.kind = kind
        self.message = message
        self.trace = trace


class _Broken(Exception):
    """The child hung up or sent what cannot be read."""


class _Child:
    """One keeper with its runner, and our end of their socket."""

    def __init__(
        self,
        origin: str,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.origin = origin
        self.process = process
        self.reader = reader
        self.writer = writer
        self.fresh = True
        self.begun = False
        self.idle_timer: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether the child lives, as far as one can know."""
        return self.process.returncode is None and not self.reader.at_eof() and not self.writer.is_closing()

    async def perform(self, job: Job, context: TaskContext | None, frame_bytes_max: int) -> Done | Refused | Failed:
        """Have a job done, passing on what the task says meanwhile; raises `_Broken`."""
        try:
            self.fresh = self.begun = False
            self.writer.write(pack(job))
            await self.writer.drain()
            while True:
                reply = await self._receive(frame_bytes_max)
                if isinstance(reply, Done | Refused | Failed):
                    return reply
                if isinstance(reply, Begun):
                    self.begun = True
                elif context is not None:
                    _pass_on(reply, context)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _Broken("hung up") from error

    async def _receive(self, frame_bytes_max: int) -> Reply:
        length = length_of(await self.reader.readexactly(LENGTH_BYTES))
        if length > frame_bytes_max:
            raise _Broken(f"sent a frame of {length:,} bytes, the limit is {frame_bytes_max:,}")
        body = await self.reader.readexactly(length)
        try:
            reply = read_reply(body)
            if isinstance(reply, Done | Emitted):
                payload.decode(reply.result if isinstance(reply, Done) else reply.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _Broken("sent an answer that cannot be read") from error
        return reply

    async def end(self, grace_s: float) -> None:
        """SIGTERM, grace, force; returns when the keeper is reaped. A keeper that does not answer is killed too."""
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        # At the end of the stream the keeper has closed its end too: it is about to exit with the runner's status.
        if not (self.reader.at_eof() and await self._gone_within(_KEEPER_MARGIN_S)):
            self.tell()
            if not await self._gone_within(grace_s):
                self.tell()
                if not await self._gone_within(_KEEPER_MARGIN_S):
                    self.kill()
        await self.process.wait()
        self.writer.close()

    def tell(self) -> None:
        """Tell the keeper to end everything; a second time: without any grace."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill keeper, runner and all below them from outside."""
        below = descendants(self.process.pid)
        self._signal(signal.SIGKILL)
        send(below, signal.SIGKILL)

    def _signal(self, number: int) -> None:
        # Not through `self.process`: its methods look for the exit status first and take it from the event loop.
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    async def _gone_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self.process.wait(), seconds)
        except TimeoutError:
            return False
        return True


class Sandbox:
    """Runs process skills in at most `slots` children. For one event loop.

    A cancelled task's processes get SIGTERM and after `grace_s` seconds SIGKILL. Children that had nothing to
    do for `idle_s` seconds are ended. `result_bytes_max` limits a result as msgpack.
    `secrets` are masked in the children's log lines; they reach them with the first job, where no list of processes
    and no environment shows them.
    With a `board`, children are held while the lease that it shows is in doubt; it must stay open as long as this.
    """

    def __init__(
        self,
        slots: int,
        *,
        grace_s: float = GRACE_S,
        idle_s: float = IDLE_S,
        result_bytes_max: int = RESULT_BYTES_MAX,
        secrets: tuple[str, ...] = (),
        board: LeaseBoard | None = None,
    ) -> None:
        self._limit = slots
        self._slots = asyncio.Semaphore(slots)
        self._grace_s = grace_s
        self._idle_s = idle_s
        self._result_bytes_max = result_bytes_max
        self._secrets = secrets
        self._board = board
        self._frame_bytes_max = max(result_bytes_max, PARTIAL_BYTES_MAX) + FRAME_MARGIN_BYTES
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def run(self, skill: Skill, raw_payload: bytes, context: TaskContext | None) -> bytes:
        """Run a skill on a payload (msgpack bytes) in a child; returns its result as msgpack bytes.

        Raises `SkillError` for what the skill raised, `InvalidTask` for an input or result that is not acceptable,
        `SandboxCrashed` if the process died, `InvalidSkill` for a skill no child can import. Cancelling the
        awaiting task ends the work before the cancellation goes through; a second one does not wait for that.
        """
        if not skill.origin:
            raise InvalidSkill(
                f"process skill {skill.name!r} has no origin to import it from; use load_skills or located()"
            )
        async with self._slots:
            reply = None
            while reply is None:
                reply = await self._perform(skill, raw_payload, context)
        if isinstance(reply, Done):
            return reply.result
        if isinstance(reply, Refused):
            raise InvalidTask(reply.message)
        raise SkillError(reply.kind, reply.message, reply.trace)

    async def close(self, grace_s: float | None = None) -> None:
        """End all children, also busy ones, and wait until they are reaped."""
        self._closed = True
        for child in (*self._idle, *self._busy):
            self._end_later(child, self._grace_s if grace_s is None else grace_s)
        self._idle.clear()
        while self._ending:
            await asyncio.wait(self._ending)

    async def _perform(
        self, skill: Skill, raw_payload: bytes, context: TaskContext | None
    ) -> Done | Refused | Failed | None:
        """Have a child do it; None if that was an idle one that had died unnoticed, so that nothing has happened."""
        child = await self._take(skill.origin)
        self._busy.add(child)
        used_before = not child.fresh
        try:
            reply = await child.perform(self._job(skill, raw_payload, context, child), context, self._frame_bytes_max)
        except _Broken as error:
            await self._end_now(child)
            if used_before and not child.begun:
                return None
            raise SandboxCrashed(_obituary(skill, child.process.returncode, str(error))) from error
        except BaseException:  # a cancellation, or the sink of the context would not take what the task said
            await self._end_now(child)
            raise
        finally:
            self._busy.discard(child)
        self._park(child)
        return reply

    def _job(self, skill: Skill, raw_payload: bytes, context: TaskContext | None, child: _Child) -> Job:
        who = None
        if skill.wants_context and context is not None:
            who = Who(context.task_id, context.task_type, context.attempt, context.crashes, context.node_id)
        return Job(
            origin=skill.origin,
            name=skill.name,
            payload=raw_payload,
            result_bytes_max=self._result_bytes_max,
            memory_mb=skill.memory_mb,
            who=who,
            path=[entry for entry in sys.path if isinstance(entry, str)] if child.fresh else [],
            secrets=self._secrets if child.fresh else (),
        )

    async def _take(self, origin: str) -> _Child:
        """An idle child of this SkillSet, or a new one; the longest idle of another set makes room for it."""
        for child in tuple(reversed(self._idle)):
            if not child.usable:
                self._idle.remove(child)
                self._end_later(child, 0.0)
            elif child.origin == origin:
                self._idle.remove(child)
                if child.idle_timer is not None:
                    child.idle_timer.cancel()
                return child
        if self._idle and len(self._idle) + len(self._busy) >= self._limit:
            await self._end_now(self._idle.pop(0))
        return await self._start(origin)

    async def _start(self, origin: str) -> _Child:
        ours, theirs = socket.socketpair()
        page, lease_s = (-1, 0.0) if self._board is None else (self._board.descriptor, self._board.lease_s)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "venom_spore.sandbox_child", str(theirs.fileno()), str(os.getpid()), str(self._grace_s)),
                *(str(page), str(lease_s), *installed()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),) if page < 0 else (theirs.fileno(), page),
                start_new_session=True,
            )
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()  # a keeper that has started sees this and ends
            raise
        finally:
            theirs.close()
        return _Child(origin, process, reader, writer)

    def _park(self, child: _Child) -> None:
        if self._closed or not child.usable:
            self._end_later(child, self._grace_s)
            return
        self._idle.append(child)
        child.idle_timer = asyncio.get_running_loop().call_later(self._idle_s, self._retire, child)

    def _retire(self, child: _Child) -> None:
        self._idle.remove(child)
        self._end_later(child, self._grace_s)

    async def _end_now(self, child: _Child) -> None:
        """End a child and wait for it; if the waiting is cancelled, without grace and in the background."""
        try:
            await asyncio.shield(self._end(child, self._grace_s))
        except asyncio.CancelledError:
            child.tell()
            raise

    def _end_later(self, child: _Child, grace_s: float) -> None:
        """End a child in the background; `close` waits for it."""
        self._ending.add(self._end(child, grace_s))

    def _end(self, child: _Child, grace_s: float) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(child.end(grace_s))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task


def _pass_on(said: Progress | Emitted, context: TaskContext) -> None:
    if isinstance(said, Progress):
        context.progress(said.fraction, said.note)
    else:
        context.relay(said.data)


def _obituary(skill: Skill, code: int | None, what: str) -> str:
    """How the process of a skill ended, in one sentence."""
    if code is None or what != "hung up":
        return f"the process of skill {skill.name!r} {what} and was ended"
    if code == HELD_EXIT:
        return f"the process of skill {skill.name!r} was ended: its Spore stood still for over {HELD_MAX_S:g} s"
    if code >= 0:
        return f"the process of skill {skill.name!r} died: exit code {code}"
    hint = ""
    if -code == signal.SIGKILL:
        limit = f"its limit is memory_mb={skill.memory_mb}" if skill.memory_mb else "a limit can be set with memory_mb"
        hint = f"; perhaps out of memory, {limit}"
    return f"the process of skill {skill.name!r} died: signal {-code} ({_signal_name(-code)}){hint}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "no name"  # a real-time signal
