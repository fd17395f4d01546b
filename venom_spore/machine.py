"""What the machine under a Spore has and how busy it is, as the Spore's own limits see it.

Inside a container the machine's totals are not ours: where a control group (v1 or v2) limits CPU or memory,
the limit is the total and our use of it the percentage. Reading never blocks: every figure is either an
instant's value or the change since the previous reading.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import psutil

from venom_core.clock import Clock
from venom_spore.gpu import GpuReader

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
# Two readings closer together than this would divide by next to nothing; the earlier figure stands.
_SPAN_S_MIN = 0.05


class MachineReading(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the machine. Percentages are 0 to 100, memory is in bytes, `cpu_count` may be a fraction."""

    cpu_percent: float
    memory_percent: float
    disk_percent: float
    load_1m: float
    cpu_count: float
    memory_total_bytes: int
    memory_available_bytes: int
    gpu: bool = False
    gpu_count: int = 0
    gpu_names: tuple[str, ...] = ()
    gpu_memory_total_bytes: int = 0
    gpu_memory_free_bytes: int = 0


class MachineReader(Protocol):
    """Where readings come from; tests and simulations bring their own."""

    def read(self) -> MachineReading:
        """The present reading, at once."""
        ...


class _CpuMark(NamedTuple):
    """CPU seconds used up to a moment."""

    at_s: float
    used_s: float


class PsutilReader:
    """Reads this machine through psutil and the limits of its control group.

    `cgroup_root` and `membership` are the group file system and the file that says where in it we are.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        disk: Path | None = None,
        cgroup_root: Path = _CGROUP_ROOT,
        membership: Path = _MEMBERSHIP,
        gpus: GpuReader | None = None,
    ) -> None:
        self._clock = clock or Clock()
        self._disk = str(disk or Path.cwd().anchor)
        self._group = ControlGroup(cgroup_root, membership)
        self._gpus = gpus or GpuReader(self._clock)
        self._cpu_percent = 0.0
        self._mark = self._cpu_mark()

    def read(self) -> MachineReading:
        """The present reading; CPU is the mean since the previous one, or since construction."""
        total, available = self._memory()
        gpus = self._gpus.read()
        return MachineReading(
            cpu_percent=self._cpu(),
            memory_percent=_percent(total - available, total),
            disk_percent=_percent(psutil.disk_usage(self._disk).percent, 100.0),
            load_1m=_finite(psutil.getloadavg()[0]),
            cpu_count=self._cpu_count(),
            memory_total_bytes=total,
            memory_available_bytes=available,
            gpu=bool(gpus.gpus),
            gpu_count=len(gpus.gpus),
            gpu_names=tuple(gpu.name for gpu in gpus.gpus),
            gpu_memory_total_bytes=gpus.memory_total_bytes,
            gpu_memory_free_bytes=gpus.memory_free_bytes,
        )

    def _cpu_count(self) -> float:
        cores = float(len(_own_cores()))
        quota = self._group.cpu_quota()
        return cores if quota is None else min(cores, quota)

    def _cpu(self) -> float:
        before, now = self._mark, self._cpu_mark()
        span_s = now.at_s - before.at_s
        if span_s >= _SPAN_S_MIN:
            self._cpu_percent = _percent(now.used_s - before.used_s, span_s * self._cpu_count())
            self._mark = now
        return self._cpu_percent

    def _cpu_mark(self) -> _CpuMark:
        """CPU seconds used: by our group if it has a quota, else by everybody on the cores we may use."""
        at_s = self._clock.monotonic_s()
        used_s = self._group.cpu_used_s()
        if used_s is not None:
            return _CpuMark(at_s, used_s)
        cores = _own_cores()
        each = psutil.cpu_times(percpu=True)
        idle_s = sum(each[i].idle + getattr(each[i], "iowait", 0.0) for i in cores if i < len(each))
        return _CpuMark(at_s, at_s * len(cores) - idle_s)

    def _memory(self) -> tuple[int, int]:
        """Total and available bytes, the tightest of the machine and the groups around us."""
        machine = psutil.virtual_memory()
        total, available = machine.total, machine.available
        for limit, used in self._group.memory_levels():
            total = min(total, limit)
            available = min(available, max(limit - used, 0))
        return total, min(available, total)


class ControlGroup:
    """The limits of the control group we are in and of all groups around it. Missing files mean no limit."""

    def __init__(self, root: Path, membership: Path) -> None:
        self._root = root
        self._paths = dict(_memberships(membership))
        self._unified = (root / "cgroup.controllers").exists()

    def cpu_quota(self) -> float | None:
        """How many cores' worth of time we may use; None without a quota."""
        quotas = [quota for _, quota in self._cpu_levels()]
        return min(quotas) if quotas else None

    def cpu_used_s(self) -> float | None:
        """CPU seconds the group with the tightest quota has used; None without a quota."""
        levels = list(self._cpu_levels())
        if not levels:
            return None
        folder = min(levels, key=lambda level: level[1])[0]
        if self._unified:
            microseconds = _read_field(folder / "cpu.stat", "usage_usec")
            return None if microseconds is None else microseconds / 1e6
        # v1 counts in a sibling hierarchy, or in the same one when cpu and cpuacct are mounted together.
        account = next(self._levels("cpuacct"), folder)
        nanoseconds = _read_int(account / "cpuacct.usage")
        return None if nanoseconds is None else nanoseconds / 1e9

    def memory_levels(self) -> Iterator[tuple[int, int]]:
        """(limit, used) in bytes of every group around us that has a limit; reclaimable file cache is not use."""
        limit_name, used_name, cache_name = (
            ("memory.max", "memory.current", "inactive_file")
            if self._unified
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        for folder in self._levels("memory"):
            limit, used = _read_int(folder / limit_name), _read_int(folder / used_name)
            if limit is not None and limit > 0 and used is not None:
                cache = _read_field(folder / "memory.stat", cache_name) or 0
                yield limit, max(used - cache, 0)

    def _cpu_levels(self) -> Iterator[tuple[Path, float]]:
        for folder in self._levels("cpu"):
            if self._unified:
                words = _read(folder / "cpu.max").split()
                quota, period = (_to_int(word) for word in words) if len(words) == 2 else (None, None)
            else:
                quota, period = _read_int(folder / "cpu.cfs_quota_us"), _read_int(folder / "cpu.cfs_period_us")
            if quota is not None and period is not None and quota > 0 and period > 0:
                yield folder, quota / period

    def _levels(self, controller: str) -> Iterator[Path]:
        """Our group's folder and those around it, innermost first.

        In a container the membership may name a path of the host that is not mounted here; what exists is read.
        """
        top = self._root if self._unified else self._root / controller
        path = self._paths.get("" if self._unified else controller, "/")
        folder = top / path.strip("/") if ".." not in path else top
        for level in (folder, *folder.parents):
            if level.is_dir():
                yield level
            if level == top:
                return


def _memberships(file: Path) -> Iterator[tuple[str, str]]:
    """(controller, path) pairs of lines such as `4:cpu,cpuacct:/box`; the v2 line has the controller ``""``."""
    for line in _read(file).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            yield controller, path


def _own_cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""  # not mounted, not permitted, or the group is gone: no limit that we know of


def _read_int(file: Path) -> int | None:
    return _to_int(_read(file))


def _read_field(file: Path, name: str) -> int | None:
    for line in _read(file).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _to_int(value)
    return None


def _to_int(text: str) -> int | None:
    return int(text) if text.lstrip("-").isdecimal() else None


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _percent(part: float, whole: float) -> float:
    """A finite share of 0 to 100."""
    return min(max(_finite(100.0 * part / whole), 0.0), 100.0) if whole > 0 else 0.0
