from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Callable

import pytest

from venom_spore import fork_mark
from venom_spore.fork_mark import marked_page

FORKS: list[Callable[[], int]] = [os.fork]
if sys.platform == "linux":
    FORKS.append(ctypes.CDLL(None).fork)


def first_byte_in_a_copy(page: mmap.mmap | bytearray, fork: Callable[[], int]) -> int:
    child = fork()
    if child == 0:
        os._exit(page[0])
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("fork", FORKS)
def test_a_copy_finds_no_mark_and_the_original_keeps_it(fork: Callable[[], int]) -> None:
    page = marked_page()
    assert first_byte_in_a_copy(page, fork) == 0
    assert page[0] == 1


def test_a_page_made_in_a_copy_is_marked_there() -> None:
    child = os.fork()
    if child == 0:
        os._exit(marked_page()[0])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


@pytest.mark.parametrize(("part", "name", "value"), [(sys, "platform", "darwin"), (fork_mark, "WIPE_ON_FORK", 9_999)])
def test_where_the_kernel_wipes_nothing_python_s_own_forks_are_seen(
    monkeypatch: pytest.MonkeyPatch, part: object, name: str, value: object
) -> None:
    monkeypatch.setattr(part, name, value)
    page = marked_page()
    assert first_byte_in_a_copy(page, os.fork) == 0
    assert page[0] == 1


def test_where_nobody_forks_there_is_only_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    assert marked_page()[0] == 1
    assert not isinstance(marked_page(), mmap.mmap)
