from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from chaos import events
from chaos.events import HistoryFull, Recorder, here, read


def test_what_is_written_is_read(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.jsonl")
    first = recorder.write("claim", epoch=7, number=2, count=3)
    recorder.write("ok", op=first, now=5, ids=("ą", "b"), marks="ck")
    claim, answer = read(tmp_path / "a.jsonl")
    assert (claim.what, claim.epoch, claim.number, claim.count) == ("claim", 7, 2, 3)
    assert (answer.op, answer.ids, answer.marks) == (claim.n, ("ą", "b"), "ck")
    assert claim.n < answer.n
    assert claim.at <= answer.at
    recorder.close()


def test_a_file_goes_on_where_it_ended_and_is_bounded(tmp_path: Path) -> None:
    first = Recorder(tmp_path / "a.jsonl", bytes_max=120)
    first.write("blow", text="one")
    first.close()
    second = Recorder(tmp_path / "a.jsonl", bytes_max=120)
    second.write("blow", text="two")
    with pytest.raises(HistoryFull, match="has reached 120 bytes"):
        second.write("blow", text="three")
    second.close()
    assert [event.text for event in read(tmp_path / "a.jsonl")] == ["one", "two"]


def test_tokens_of_one_process_are_all_different(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.jsonl")
    assert len({recorder.token() for _ in range(100)}) == 100
    assert recorder.token() < 2**63
    recorder.close()


def test_a_torn_last_line_is_left_out_and_any_other_bad_line_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n":1,"at":1,"what":"blow"}\n{"n":2,"at"')
    assert [event.n for event in read(path)] == [1]
    path.write_bytes(b'{"n":1,"at"\n{"n":2,"at":1,"what":"blow"}\n')
    with pytest.raises(msgspec.MsgspecError):
        list(read(path))


def test_every_process_has_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(events.HISTORY, str(tmp_path))
    monkeypatch.setattr(events, "_here", None)
    here("spore").write("blow", text="parent")
    assert here() is here("anything")
    program = "from chaos.events import here; here('body').write('blow', text='child')"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
    names = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert names == ["body", "spore"]
    here().close()


def test_what_was_written_before_a_kill_is_there(tmp_path: Path) -> None:
    program = (
        "import os, signal; from chaos.events import here; here().write('blow'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {events.HISTORY: str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], check=False, env=environment, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    (path,) = tmp_path.iterdir()
    assert [event.what for event in read(path)] == ["blow"]
