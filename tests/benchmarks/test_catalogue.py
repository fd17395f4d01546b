"""What the catalogue says of each queue is there: programs, an environment pinned by hash, and settings in words."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks.peers.catalogue import HIVE, PEERS
from benchmarks.peers.peer import FOLDER, NODE, Mode, Peer, shielded

EVERY = (HIVE, *PEERS)
IN_PYTHON = [peer for peer in PEERS if peer.language != NODE]
_PIN = re.compile(r"^([a-z0-9][\w.-]*)==", re.MULTILINE)


def name(peer: Peer) -> str:
    return peer.folder


def test_no_two_share_a_title_and_no_folder_is_forgotten() -> None:
    assert len({peer.title for peer in EVERY}) == len(EVERY)
    here = {path.name for path in FOLDER.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert here == {peer.folder for peer in EVERY}


@pytest.mark.parametrize("peer", IN_PYTHON, ids=name)
def test_a_queue_has_two_programs_and_the_packages_that_the_report_names_are_pinned_by_hash(peer: Peer) -> None:
    files = {path.name for path in (FOLDER / peer.folder).iterdir()}
    assert {"worker.py", "client.py", "wanted.in", "locked.txt"} <= files
    lock = (FOLDER / peer.folder / "locked.txt").read_text()
    assert set(peer.packages) <= set(_PIN.findall(lock))
    assert lock.count("==") <= lock.count("--hash=sha256:")
    assert "://" not in lock


def test_the_packages_of_node_are_pinned_by_hash_and_no_registry_is_named() -> None:
    peer = next(peer for peer in PEERS if peer.language == NODE)
    lock = json.loads((FOLDER / peer.folder / "package-lock.json").read_text())["packages"]
    assert {f"node_modules/{name}" for name in peer.packages} <= lock.keys()
    assert [name for name, package in lock.items() if name and not package["integrity"].startswith("sha512-")] == []
    assert [name for name, package in lock.items() if "resolved" in package] == []


@pytest.mark.parametrize("peer", EVERY, ids=name)
def test_the_first_mode_is_what_a_queue_does_untold_and_no_two_read_alike(peer: Peer) -> None:
    words = [mode.words for mode in peer.modes]
    assert words[0] == "default"
    assert len(set(words)) == len(words) >= 2


def test_a_mode_reads_as_the_settings_it_is() -> None:
    mode = Mode({"timers": {"sweep": 1}, "arguments": ["-P", "solo"]}, {"retries": 3}, {"HIVE_PROFILE": "fast"})
    assert mode.words == "`HIVE_PROFILE=fast`, `retries=3`, `sweep=1`, `arguments=-P solo`"
    assert Mode(busy=True).words == "default; two other tasks a second"


def test_the_settings_of_a_worker_survive_the_formatting_of_its_command() -> None:
    side = HIVE.side(HIVE.drain)
    told = [part.format(port=1, url="redis://here", number=0, skills="") for part in side.worker]
    assert {"redis://here", "bench-0"} <= set(told)
    settings = json.dumps({"timers": {"sweep": 1}})
    assert shielded(settings).format(port=1) == settings
