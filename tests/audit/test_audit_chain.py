"""The hash chain: what is changed, cut, moved or put in shows, and a writer that dies does not break it."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from venom_core import audit_chain
from venom_core.audit_chain import AuditChain, Head, Line, older, read_entries, read_head, verify, write_head
from venom_core.clock import ManualClock
from venom_core.errors import AuditBroken


@pytest.fixture
def chain(tmp_path: Path) -> AuditChain:
    """A log of five lines."""
    made = AuditChain(tmp_path / "audit.jsonl", "n1", ManualClock())
    for number in range(5):
        made.append("refused", f"task-{number}", "a sentence")
    return made


def test_each_line_follows_the_one_before_it_and_the_head_says_where_it_ends(chain: AuditChain) -> None:
    end = verify(chain.path)
    assert end == chain.head()
    assert end.seq == 5
    entries = [entry for entry in read_entries(chain.path) if entry is not None]
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.prev for entry in entries[1:]] == [entry.hash for entry in entries[:-1]]
    assert (entries[0].at, entries[0].node, entries[0].actor) == ("2027-01-15T08:00:00+00:00", "n1", "task-0")


def test_a_log_that_was_never_written_has_no_head(tmp_path: Path) -> None:
    assert AuditChain(tmp_path / "none.jsonl", "n1").head() == Head()


def _drop(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], *lines[3:]]


def _swap(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def _double(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[1], *lines[2:]]


def _edit(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b"task-1", b"task-9"), *lines[2:]]


def _seal_anew(lines: list[bytes]) -> list[bytes]:
    told = json.loads(lines[1])
    told["detail"] = "another sentence"
    entry = audit_chain.Entry(**told)
    return [lines[0], entry.line(), *lines[2:]]


def _behead(lines: list[bytes]) -> list[bytes]:
    return lines[1:]


def _garble(lines: list[bytes]) -> list[bytes]:
    return [lines[0], b"\x00\xff what is this\n", *lines[2:]]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_drop, "line 3 of .* does not follow"),
        (_swap, "line 2 of .* does not follow"),
        (_double, "line 3 of .* does not follow"),
        (_edit, "line 2 of .* was changed"),
        (_seal_anew, "line 3 of .* does not follow"),
        (_behead, "line 1 of .* does not follow"),
        (_garble, "line 2 of .* is no line of an audit"),
    ],
)
def test_what_is_changed_taken_out_put_in_or_moved_is_found(
    chain: AuditChain, change: Callable[[list[bytes]], list[bytes]], says: str
) -> None:
    chain.path.write_bytes(b"".join(change(chain.path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(AuditBroken, match=says):
        verify(chain.path)


def test_an_end_that_was_cut_off_shows_beside_a_head_that_was_seen(chain: AuditChain) -> None:
    seen = chain.head()
    lines = chain.path.read_bytes().splitlines(keepends=True)
    chain.path.write_bytes(b"".join(lines[:3]))
    assert verify(chain.path).seq == 3
    with pytest.raises(AuditBroken, match="ends at number 3, but number 5 has been seen: its end is cut off"):
        verify(chain.path, [seen])


def test_a_log_that_was_written_anew_shows_beside_a_head_that_was_seen(chain: AuditChain) -> None:
    seen = chain.head()
    chain.path.unlink()
    chain.head_file.unlink()
    for _ in range(9):
        chain.append("nothing", "", "happened")
    assert verify(chain.path).seq == 9
    with pytest.raises(AuditBroken, match=r"line 5 of .* is not what was seen as number 5"):
        verify(chain.path, [seen])


def test_a_last_line_that_was_not_written_to_its_end_is_closed_by_the_next(chain: AuditChain) -> None:
    with chain.path.open("ab") as file:
        file.write(b'{"seq": 6, "at"')
    with pytest.raises(AuditBroken, match=r"the last line of .* is cut"):
        verify(chain.path)
    chain.append("refused", "task-6", "a sentence")
    assert verify(chain.path).seq == 7
    assert [entry.event for entry in read_entries(chain.path) if entry is not None][5:] == ["torn", "refused"]


def test_a_first_line_that_was_not_written_to_its_end_is_closed_too(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"seq"')
    AuditChain(path, "n1").append("refused")
    assert verify(path).seq == 2


def test_a_whole_last_line_that_is_none_was_written_by_somebody_else(chain: AuditChain) -> None:
    with chain.path.open("ab") as file:
        file.write(b"hello\n")
    with pytest.raises(AuditBroken, match=r"the last line of .* is no line of an audit: somebody else wrote it; keep"):
        verify(chain.path)


def test_what_is_moved_away_with_the_files_beside_it_leaves_place_for_a_new_chain(chain: AuditChain) -> None:
    """As the error says to do; the head of the old one, left behind, would say of the new one that it was cut off."""
    chain.path.write_bytes(b"".join(_edit(chain.path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(AuditBroken, match="files beside it whose names begin with its own, then a new one begins"):
        verify(chain.path)
    evidence = chain.path.parent / "evidence"
    evidence.mkdir()
    for path in chain.path.parent.glob("audit.jsonl*"):
        path.rename(evidence / path.name)
    assert chain.append("refused").seq == 1
    assert verify(chain.path, [chain.head()]).seq == 1


def test_nothing_is_appended_to_what_is_no_audit(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"dear diary,\n" * 5)
    with pytest.raises(
        AuditBroken, match=r"is no line of an audit; keep it as evidence: move it away .* a new one begins"
    ):
        AuditChain(path, "n1").append("refused")
    assert path.read_bytes() == b"dear diary,\n" * 5


def test_a_large_log_goes_on_in_a_new_file_and_is_verified_across_both(
    chain: AuditChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_chain, "ROTATE_BYTES", chain.path.stat().st_size)
    before = chain.head()
    chain.append("refused", "task-6")
    assert [part.name for part in older(chain.path)] == ["audit.jsonl.1"]
    assert verify(chain.path, [before]).seq == 6
    monkeypatch.setattr(audit_chain, "ROTATE_BYTES", 1)
    monkeypatch.setattr(audit_chain, "PARTS_MAX", 3)
    for number in range(7, 16):
        chain.append("refused", f"task-{number}")  # what was first is gone for good
    assert [part.name for part in older(chain.path)] == ["audit.jsonl.8", "audit.jsonl.9", "audit.jsonl.10"]
    assert verify(chain.path).seq == 15
    older(chain.path)[1].unlink()
    with pytest.raises(AuditBroken, match="does not follow"):
        verify(chain.path)


def test_a_line_is_bounded_and_holds_nothing_that_a_terminal_obeys(chain: AuditChain) -> None:
    chain.append("x" * 2000, "\x1b[31mred\n", "y" * 9000)
    *_, last = read_entries(chain.path)
    assert last is not None
    assert (len(last.event), last.actor, len(last.detail)) == (1024, "?[31mred?", 8192)
    assert verify(chain.path).seq == 6


def test_however_strange_its_characters_a_line_is_read_again(chain: AuditChain) -> None:
    """A character beyond the first plane takes twelve bytes in the file."""
    chain.append("\U0001f9ff" * 1000, "\U0001f9ff" * 1000, "\U0001f9ff" * 5000)
    assert max(len(line) for line in chain.path.read_bytes().splitlines()) < audit_chain.LINE_BYTES_MAX
    assert verify(chain.path).seq == 6


def test_whoever_appends_to_an_end_that_was_cut_off_says_so_for_good(chain: AuditChain) -> None:
    lines = chain.path.read_bytes().splitlines(keepends=True)
    chain.path.write_bytes(b"".join(lines[:3]))
    for number in range(5):
        chain.append("refused", f"later-{number}")
    with pytest.raises(
        AuditBroken, match=r"line 4 of .* says that the end before it was cut off: the log ended at 3, but"
    ):
        verify(chain.path)


def test_a_log_that_was_sealed_anew_with_its_head_left_is_found_by_who_appends(chain: AuditChain) -> None:
    kept = chain.head_file.read_text()
    chain.path.unlink()
    chain.head_file.unlink()
    for _ in range(5):
        chain.append("nothing", "", "happened")
    chain.head_file.write_text(kept)
    chain.append("refused")
    with pytest.raises(AuditBroken, match="the log ended at 5, but its head was 5"):
        verify(chain.path)


def test_a_head_that_is_none_is_written_down(chain: AuditChain) -> None:
    chain.head_file.write_text("")
    chain.append("refused")
    with pytest.raises(AuditBroken, match="is no head of an audit"):
        verify(chain.path)


def test_two_heads_of_one_number_that_differ_are_not_both_believed(chain: AuditChain) -> None:
    own = chain.head()
    for heads in ([own, Head(own.seq, "f" * 64)], [Head(own.seq, "f" * 64), own]):
        with pytest.raises(AuditBroken, match="is not what was seen as number 5"):
            verify(chain.path, heads)


def _write(path: Path, count: int) -> None:
    for number in range(count):
        AuditChain(path, f"p{multiprocessing.current_process().pid}").append("refused", str(number))


def test_several_processes_write_into_one_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, 20)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert verify(path).seq == 60


@settings(max_examples=50, deadline=None)
@given(words=st.lists(st.tuples(st.text(max_size=50), st.text(max_size=50)), max_size=8))
def test_any_text_can_be_written_down(words: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    chain = AuditChain(tmp_path_factory.mktemp("a") / "audit.jsonl", "n1")
    chain.extend(Line("refused", actor, detail, "n2") for actor, detail in words)
    assert verify(chain.path).seq == len(words)


@pytest.mark.parametrize("text", ["", "5", "x " + "0" * 64, "5 00", "-1 " + "0" * 64, "٥ " + "0" * 64])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(AuditBroken, match="is no head of an audit"):
        read_head(text)
    assert read_head(write_head(Head(5, "a" * 64))) == Head(5, "a" * 64)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(AuditBroken, match="cannot be read: No such file"):
        verify(tmp_path / "none.jsonl")
    chain = AuditChain(tmp_path / "audit.jsonl", "n1")
    chain.head_file.mkdir()
    with pytest.raises(AuditBroken, match="cannot be read"):
        chain.head()
