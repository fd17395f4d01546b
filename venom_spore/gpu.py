"""Which GPUs a machine has and how full they are, told by NVIDIA's library NVML (extra `gpu`).

No package, no driver or a broken library mean no GPU: one line at debug level, once, and no second attempt until the
process starts anew. NVML may take long or hang with a sick driver, so it is asked in a thread of its own and a
reading is what that thread found last: the heartbeat never waits for it.
"""

from __future__ import annotations

import importlib
import logging
import math
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from venom_core.clock import Clock

log = logging.getLogger("venom.gpu")

GPUS_MAX = 64
NAME_CHARS_MAX = 100
FRESH_S = 5.0
# The very first reading goes into the node's profile, so it is waited for, but not for ever.
FIRST_WAIT_S = 3.0


class Gpu(msgspec.Struct, frozen=True):
    """One GPU; memory is in bytes."""

    name: str
    memory_total_bytes: int
    memory_free_bytes: int


class GpuReading(msgspec.Struct, frozen=True):
    """All GPUs of a machine and the version of their driver; empty where there is none."""

    gpus: tuple[Gpu, ...] = ()
    driver: str = ""

    @property
    def memory_total_bytes(self) -> int:
        """Memory of all together."""
        return sum(gpu.memory_total_bytes for gpu in self.gpus)

    @property
    def memory_free_bytes(self) -> int:
        """Free memory of all together."""
        return sum(gpu.memory_free_bytes for gpu in self.gpus)


NONE = GpuReading()


def load_nvml() -> Any:
    """NVML's Python binding; here instead of at the top because it is an extra, and may be broken in any way."""
    return importlib.import_module("pynvml")


class GpuReader:
    """Readings of this machine's GPUs, at most 5 s old; safe to use from any thread."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        load: Callable[[], Any] = load_nvml,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        self._clock = clock or Clock()
        self._load, self._first_wait_s = load, first_wait_s
        self._nvml: Any = None
        self._found = NONE
        self._asked_s = -math.inf
        self._at_work = threading.Lock()
        self._given_up = False
        self._first = threading.Event()

    def read(self) -> GpuReading:
        """What was found last; only the first call waits, at most 3 s. Never raises."""
        if not self._given_up and self._clock.monotonic_s() - self._asked_s >= FRESH_S:
            self._ask()
        return self._found

    def _ask(self) -> None:
        """Look in a thread, unless one still looks."""
        if not self._at_work.acquire(blocking=False):
            return
        self._asked_s = self._clock.monotonic_s()
        try:
            threading.Thread(target=self._look, name="venom-gpu", daemon=True).start()
        except RuntimeError as fault:
            self._give_up(fault)
            self._at_work.release()
            return
        if not self._first.is_set():
            self._first.wait(self._first_wait_s)

    def _look(self) -> None:
        try:
            if self._nvml is None:
                nvml = self._load()
                nvml.nvmlInit()
                self._nvml = nvml
            self._found = _look_at(self._nvml)
        except Exception as fault:  # noqa: BLE001 - a library of others, over a driver of others: it may raise anything
            self._give_up(fault)
        finally:
            self._first.set()
            self._at_work.release()

    def _give_up(self, fault: Exception) -> None:
        self._given_up, self._found = True, NONE
        log.debug("no GPU is used here: %s: %s", type(fault).__name__, fault)


def _look_at(nvml: Any) -> GpuReading:
    count = min(int(nvml.nvmlDeviceGetCount()), GPUS_MAX)
    gpus = tuple(_gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count))
    return GpuReading(gpus, _text(nvml.nvmlSystemGetDriverVersion())) if gpus else NONE


def _gpu(nvml: Any, handle: Any) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    total = max(int(memory.total), 0)
    return Gpu(_text(nvml.nvmlDeviceGetName(handle)), total, min(max(int(memory.free), 0), total))


def _text(told: Any) -> str:
    """Older bindings say bytes."""
    return (told.decode(errors="replace") if isinstance(told, bytes) else str(told))[:NAME_CHARS_MAX]
