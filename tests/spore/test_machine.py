"""A reading says what the machine has and how busy it is, within the limits of the control group around us."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from venom_core.clock import ManualClock
from venom_spore.machine import ControlGroup, MachineReading, PsutilReader

MIB = 1_048_576
Files = dict[str, str | int]
Reader = Callable[[Files, str], PsutilReader]


def lay(root: Path, files: Files) -> None:
    """Write the files of a control group file system."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{content}\n")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


@pytest.fixture
def reader(tmp_path: Path, cgroup: Path, clock: ManualClock) -> Reader:
    """A reader inside a control group made of these files, with this content of /proc/self/cgroup."""

    def build(files: Files, membership: str) -> PsutilReader:
        lay(cgroup, files)
        lay(tmp_path, {"membership": membership})
        return PsutilReader(clock, disk=tmp_path, cgroup_root=cgroup, membership=tmp_path / "membership")

    return build


def percentages(reading: MachineReading) -> list[float]:
    return [reading.cpu_percent, reading.memory_percent, reading.disk_percent]


def test_a_reading_of_this_machine_is_finite_and_in_range() -> None:
    reader = PsutilReader()
    for _ in range(3):
        reading = reader.read()
        assert all(math.isfinite(percent) and 0 <= percent <= 100 for percent in percentages(reading))
        assert math.isfinite(reading.load_1m)
        assert 0 < reading.cpu_count <= (os.cpu_count() or 1)
        assert 0 <= reading.memory_available_bytes <= reading.memory_total_bytes
        assert reading.gpu is False


def test_without_limits_the_machine_counts(reader: Reader, clock: ManualClock) -> None:
    reading = reader({}, "")
    clock.advance(10)
    first = reading.read()
    assert first.memory_total_bytes == psutil.virtual_memory().total
    # Ten seconds passed on this clock; in the real moment between the two readings nobody was idle for longer.
    assert 99 < first.cpu_percent <= 100
    assert first.cpu_count == len(os.sched_getaffinity(0))


def test_two_readings_at_once_give_the_same_cpu(reader: Reader, cgroup: Path, clock: ManualClock) -> None:
    reading = reader({"cgroup.controllers": "cpu", "cpu.max": "50000 100000", "cpu.stat": "usage_usec 0"}, "0::/")
    clock.advance(2)
    lay(cgroup, {"cpu.stat": "usage_usec 500000"})
    assert reading.read().cpu_percent == 50.0
    lay(cgroup, {"cpu.stat": "usage_usec 900000"})
    clock.advance(0.01)
    assert reading.read().cpu_percent == 50.0


def test_v2_limits_are_the_total(reader: Reader, cgroup: Path, clock: ManualClock) -> None:
    files: Files = {
        "cgroup.controllers": "cpu memory",
        "box/cpu.max": "50000 100000",
        "box/cpu.stat": "user_usec 3\nusage_usec 1000000\nsystem_usec 4",
        "box/memory.max": 200 * MIB,
        "box/memory.current": 150 * MIB,
        "box/memory.stat": f"anon 5\ninactive_file {50 * MIB}",
    }
    reading = reader(files, "0::/box")
    clock.advance(4)
    lay(cgroup, {"box/cpu.stat": "usage_usec 1500000"})
    got = reading.read()
    assert (got.cpu_count, got.cpu_percent) == (0.5, 25.0)
    assert (got.memory_total_bytes, got.memory_available_bytes, got.memory_percent) == (200 * MIB, 100 * MIB, 50.0)


def test_v1_limits_are_the_total(reader: Reader, cgroup: Path, clock: ManualClock) -> None:
    files: Files = {
        "cpu/box/cpu.cfs_quota_us": 25_000,
        "cpu/box/cpu.cfs_period_us": 100_000,
        "cpuacct/box/cpuacct.usage": 0,
        "memory/box/memory.limit_in_bytes": 100 * MIB,
        "memory/box/memory.usage_in_bytes": 300 * MIB,
    }
    reading = reader(files, "4:memory:/box\n2:cpu,cpuacct:/box\n1:name=systemd:/")
    clock.advance(1)
    lay(cgroup, {"cpuacct/box/cpuacct.usage": 250_000_000})
    got = reading.read()
    assert (got.cpu_count, got.cpu_percent) == (0.25, 100.0)
    assert (got.memory_total_bytes, got.memory_available_bytes, got.memory_percent) == (100 * MIB, 0, 100.0)


def test_the_tightest_of_nested_groups_counts(reader: Reader) -> None:
    files: Files = {
        "cgroup.controllers": "cpu memory",
        "outer/cpu.max": "30000 100000",
        "outer/cpu.stat": "usage_usec 0",
        "outer/inner/cpu.max": "max 100000",
        "outer/memory.max": 100 * MIB,
        "outer/memory.current": 90 * MIB,
        "outer/inner/memory.max": 50 * MIB,
        "outer/inner/memory.current": 1 * MIB,
        "memory.max": "max",
        "memory.current": 1,
    }
    got = reader(files, "0::/outer/inner").read()
    assert got.cpu_count == 0.3
    assert (got.memory_total_bytes, got.memory_available_bytes) == (50 * MIB, 10 * MIB)


@pytest.mark.parametrize(
    "files",
    [
        {"cgroup.controllers": "cpu", "cpu.max": "max 100000", "memory.max": "max", "memory.current": 5},
        {"cgroup.controllers": "cpu", "cpu.max": "", "memory.max": "nonsense", "memory.current": 5},
        {"cgroup.controllers": "cpu", "cpu.max": "50000 0", "memory.max": 0, "memory.current": 5},
        {"cgroup.controllers": "cpu", "memory.max": 5},
        {"cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100_000},
        {"memory/memory.limit_in_bytes": 9223372036854771712, "memory/memory.usage_in_bytes": 5},
    ],
)
def test_no_limit_or_one_that_cannot_be_read_is_no_limit(reader: Reader, files: Files) -> None:
    got = reader(files, "0::/\n1:cpu:/\n2:memory:/").read()
    assert got.cpu_count == len(os.sched_getaffinity(0))
    assert got.memory_total_bytes == psutil.virtual_memory().total


def test_a_path_of_the_host_that_is_not_mounted_here_falls_back_to_the_top(reader: Reader) -> None:
    files: Files = {"cgroup.controllers": "cpu memory", "memory.max": 64 * MIB, "memory.current": 32 * MIB}
    assert reader(files, "0::/system.slice/docker-1234.scope").read().memory_percent == 50.0
    assert reader(files, "0::/../outside").read().memory_percent == 50.0


def test_a_quota_whose_use_is_not_told_falls_back_to_the_machine(reader: Reader, clock: ManualClock) -> None:
    reading = reader({"cgroup.controllers": "cpu", "cpu.max": "50000 100000"}, "0::/")
    clock.advance(5)
    got = reading.read()
    assert got.cpu_count == 0.5
    assert 0 <= got.cpu_percent <= 100


def test_a_v1_account_without_a_folder_of_its_own_is_read_beside_the_quota(tmp_path: Path) -> None:
    lay(tmp_path, {"cpu/cpu.cfs_quota_us": 1, "cpu/cpu.cfs_period_us": 1, "cpu/cpuacct.usage": 2_000_000_000})
    assert ControlGroup(tmp_path, tmp_path / "none").cpu_used_s() == 2.0


def test_a_system_that_has_no_affinity_counts_all_cores(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert reader({}, "").read().cpu_count == os.cpu_count()
