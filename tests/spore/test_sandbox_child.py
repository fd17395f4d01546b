"""The runner of a sandbox, driven over its socket in this process: one job in, one outcome out."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import psutil
import pytest

from venom_core.log_format import NODE, WORK
from venom_spore.sandbox_child import Link, Runner, Stopped
from venom_spore.sandbox_frames import (
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
    read_job,
    read_reply,
)

ORIGIN = "tests.spore.child_skills:skills"
Serve = Callable[..., list[Reply]]

encode = msgspec.msgpack.encode


@pytest.fixture(autouse=True)
def _leaves_no_name_behind() -> Iterator[None]:
    """A runner says in its log lines whose work it does, for as long as its process lives; here that is ours."""
    yield
    WORK.set(None)
    NODE.set("")


def _job(name: str, origin: str = ORIGIN, memory_mb: int | None = None, **arguments: Any) -> Job:
    return Job(
        origin=origin,
        name=name,
        payload=encode(arguments),
        result_bytes_max=1_000,
        memory_mb=memory_mb,
        who=Who("t1", name, 1, 0, "n1"),
        path=list(sys.path),
    )


def _replies(data: bytes) -> Iterator[Reply]:
    while data:
        end = LENGTH_BYTES + length_of(data[:LENGTH_BYTES])
        yield read_reply(data[LENGTH_BYTES:end])
        data = data[end:]


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    before = signal.getsignal(signal.SIGTERM)
    yield ours, theirs
    signal.signal(signal.SIGTERM, before)
    ours.close()
    theirs.close()


@pytest.fixture
def serve(sockets: tuple[socket.socket, socket.socket]) -> Serve:
    """Send these jobs, hang up, and give all replies but that each job has begun."""
    ours, theirs = sockets

    def run(*jobs: Job) -> list[Reply]:
        for job in jobs:
            ours.sendall(pack(job))
        ours.shutdown(socket.SHUT_WR)
        Runner(Link(theirs)).serve()
        theirs.shutdown(socket.SHUT_WR)
        replies = list(_replies(ours.recv(1_000_000)))
        assert replies.count(Begun()) == len(jobs)
        return [reply for reply in replies if reply != Begun()]

    return run


def test_jobs_are_done_one_after_the_other_until_the_spore_hangs_up(serve: Serve) -> None:
    replies = serve(_job("add", a=1), _job("add_soon", a=1, b=1), _job("whoami"))
    assert replies == [Done(encode(3)), Done(encode(2)), Done(encode(os.getpid()))]


def test_a_hang_up_in_the_middle_of_a_job_is_a_hang_up(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    ours.sendall(pack(_job("add", a=1))[:-1])
    ours.close()
    Runner(Link(theirs)).serve()


def test_what_a_task_says_comes_before_its_outcome(serve: Serve) -> None:
    said = serve(_job("tell", steps=1))
    assert said[:2] == [Progress(1.0, "step 1"), Emitted(encode({"half": 0.5}))]
    assert said[2] == Done(encode(["t1", "tell", 1, 0, "n1", False]))


def test_failures_and_refusals_are_told_apart(serve: Serve) -> None:
    failed, left, *refused = serve(
        _job("fail_with_half_a_pair"),
        _job("leave"),
        _job("add", a="x"),
        _job("refuse"),
        _job("unserialisable"),
        _job("return_text", length=2_000),
        _job("no_such_skill"),
        _job("add", origin="tests.spore.no_such_module:skills", a=1),
    )
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.message) == ("ValueError", "half a pair: ?")
    assert "child_skills.py" in failed.trace
    assert isinstance(left, Failed)
    assert left.kind == "SystemExit"
    assert all(isinstance(reply, Refused) for reply in refused)
    assert len(refused) == 6


def test_a_memory_limit_holds_for_one_job_only(serve: Serve) -> None:
    greedy = _job("allocate_some", memory_mb=20_000, megabytes=40_000)
    replies = serve(greedy, _job("allocate_some", memory_mb=20_000, megabytes=1), _job("add", a=1))
    assert isinstance(replies[0], Failed)
    assert replies[0].kind == "MemoryError"
    assert replies[1:] == [Done(encode(1_000_000)), Done(encode(3))]


def test_what_a_job_left_running_is_ended_and_what_ran_before_it_is_not(serve: Serve) -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    (reply,) = serve(_job("leave_a_child_behind"))
    assert isinstance(reply, Done)
    pid = msgspec.msgpack.decode(reply.result)
    assert not psutil.pid_exists(pid)
    assert {process.pid for process in psutil.Process().children(recursive=True)} == before


def test_a_task_that_closed_stdout_does_not_keep_the_outcome_back(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull, "w", encoding="utf-8") as stream:  # noqa: PTH123 a stream of any kind will do
        monkeypatch.setattr(sys, "stdout", stream)
    assert serve(_job("add", a=1)) == [Done(encode(3))]


def test_sigterm_ends_the_job_and_goes_through_ordinary_handlers(serve: Serve) -> None:
    with pytest.raises(Stopped):
        serve(_job("signal_itself_in_a_handler", number=signal.SIGTERM))


def test_sigterm_tells_the_context_first(sockets: tuple[socket.socket, socket.socket]) -> None:
    runner = Runner(Link(sockets[1]))
    with pytest.raises(Stopped):
        runner.stop(signal.SIGTERM, None)
    (kept,) = ([runner.perform(_job("keep_context"))],)
    assert kept == [Done(encode(False))]
    with pytest.raises(Stopped):
        runner.stop(signal.SIGTERM, None)
    assert runner.perform(_job("was_cancelled")) == Done(encode(True))


def test_a_job_survives_the_socket() -> None:
    job = _job("add", a=1)
    assert read_job(pack(job)[LENGTH_BYTES:]) == job


def test_frames_carry_their_length() -> None:
    frame = pack(Done(b"\x01"))
    assert length_of(frame[:LENGTH_BYTES]) == len(frame) - LENGTH_BYTES
