"""GPUs through NVML: what a driver tells, and that no driver, whatever it does, harms or holds up a Spore.

There is no GPU where this runs. `Driver` stands in for NVML; besides, the real binding is run without a driver, and
over a small library in C that has NVML's functions.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.processes import ROOT
from venom_core.clock import ManualClock
from venom_core.config import Settings
from venom_spore.gpu import GPUS_MAX, NONE, Gpu, GpuReader, load_nvml
from venom_spore.machine import PsutilReader
from venom_spore.main import SporeOptions, VenomSpore
from venom_spore.skills import SkillSet

GIB = 1_073_741_824
binding = pytest.mark.skipif(
    importlib.util.find_spec("pynvml") is None, reason="nvidia-ml-py is not installed; .ci/run tests it"
)


class Driver:
    """NVML with so many GPUs of 16 GiB, of which the n-th has n GiB free; `fault` is raised by the function named."""

    def __init__(self, count: int = 2, fails: str = "", fault: BaseException | None = None) -> None:
        self.count, self.fails, self.fault = count, fails, fault
        self.asked: list[str] = []
        self.free = [number * GIB for number in range(count)]
        self.told: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.asked.append(name)
            if name == self.fails:
                raise self.fault or RuntimeError("driver is sick")
            return self.told.get(name, self._answer(name, *args))

        return call

    def _answer(self, name: str, handle: int = 0) -> Any:
        answers: dict[str, Callable[[], Any]] = {
            "nvmlInit": lambda: None,
            "nvmlDeviceGetCount": lambda: self.count,
            "nvmlDeviceGetHandleByIndex": lambda: handle,
            "nvmlDeviceGetName": lambda: f"GPU {handle}",
            "nvmlDeviceGetMemoryInfo": lambda: SimpleNamespace(total=16 * GIB, free=self.free[handle]),
            "nvmlSystemGetDriverVersion": lambda: "570.1",
        }
        return answers[name]()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_reading_tells_name_memory_and_driver(clock: ManualClock) -> None:
    reading = GpuReader(clock, load=Driver).read()
    assert reading.gpus == (Gpu("GPU 0", 16 * GIB, 0), Gpu("GPU 1", 16 * GIB, GIB))
    assert (reading.memory_total_bytes, reading.memory_free_bytes, reading.driver) == (32 * GIB, GIB, "570.1")


def test_the_machine_reader_tells_what_placement_needs(clock: ManualClock) -> None:
    found = PsutilReader(clock, gpus=GpuReader(clock, load=lambda: Driver(3))).read()
    assert (found.gpu, found.gpu_count, found.gpu_names) == (True, 3, ("GPU 0", "GPU 1", "GPU 2"))
    assert (found.gpu_memory_total_bytes, found.gpu_memory_free_bytes) == (48 * GIB, 3 * GIB)


async def test_a_node_says_its_gpus_when_it_joins(settings: Settings) -> None:
    skills = SkillSet()

    @skills.skill
    async def noop() -> None:
        """Nothing."""

    spore = VenomSpore(
        skills, SporeOptions("with-gpu"), settings, reader=PsutilReader(gpus=GpuReader(load=lambda: Driver(2)))
    )
    await spore.connect()
    try:
        assert spore.worker is not None
        hardware = spore.worker.profile.hardware
        assert (hardware["gpus"], hardware["gpu_names"], hardware["gpu_memory_mb"]) == (2, ["GPU 0", "GPU 1"], 32_768)
    finally:
        await spore.disconnect()


def test_a_fresh_reading_is_not_asked_for_again_and_an_old_one_is(clock: ManualClock) -> None:
    driver = Driver(1)
    reader = GpuReader(clock, load=lambda: driver)
    for _ in range(5):
        reader.read()
    assert driver.asked.count("nvmlDeviceGetCount") == 1
    driver.free[0] = 5 * GIB
    clock.advance(5)
    reader.read()
    with reader._at_work:  # the look has ended
        assert reader._found.memory_free_bytes == 5 * GIB
    assert driver.asked.count("nvmlInit") == 1


FAULTS = [
    ("nvmlInit", RuntimeError("driver is sick")),
    ("nvmlInit", OSError("libnvidia-ml.so.1: file too short")),
    ("nvmlDeviceGetCount", ValueError("0x7f is no status")),
    ("nvmlDeviceGetHandleByIndex", RuntimeError("GPU is lost")),
    ("nvmlDeviceGetMemoryInfo", AttributeError("function not found")),
    ("nvmlSystemGetDriverVersion", UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad")),
]


@pytest.mark.parametrize(("function", "fault"), FAULTS)
def test_a_library_that_fails_is_no_gpu_one_debug_line_and_no_second_attempt(
    clock: ManualClock, caplog: pytest.LogCaptureFixture, function: str, fault: Exception
) -> None:
    caplog.set_level(logging.DEBUG)
    driver = Driver(1, function, fault)
    reader = GpuReader(clock, load=lambda: driver)
    for _ in range(10):
        assert reader.read() == NONE
        clock.advance(60)
    assert driver.asked.count(function) == 1
    (line,) = (record for record in caplog.records if record.name == "venom.gpu")
    assert (line.levelno, line.getMessage()) == (
        logging.DEBUG,
        f"no GPU is used here: {type(fault).__name__}: {fault}",
    )


def test_a_gpu_that_is_lost_later_is_no_gpu_any_more(clock: ManualClock) -> None:
    driver = Driver(1)
    reader = GpuReader(clock, load=lambda: driver)
    assert reader.read().gpus
    driver.fails = "nvmlDeviceGetMemoryInfo"
    clock.advance(5)
    reader.read()
    with reader._at_work:
        assert reader.read() == NONE


def test_without_the_package_there_is_no_gpu(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = PsutilReader(clock, gpus=GpuReader(clock)).read()
    assert (found.gpu, found.gpu_count, found.gpu_memory_free_bytes) == (False, 0, 0)
    assert "no GPU is used here: ModuleNotFoundError" in caplog.text


def test_a_driver_without_gpus_is_no_gpu_but_looked_at_again(clock: ManualClock) -> None:
    driver = Driver(0)
    reader = GpuReader(clock, load=lambda: driver)
    assert reader.read() == NONE
    clock.advance(5)
    reader.read()
    with reader._at_work:
        assert driver.asked.count("nvmlDeviceGetCount") == 2


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"nvmlDeviceGetName": b"Tesla \xff"}, Gpu("Tesla \ufffd", 16 * GIB, 0)),
        ({"nvmlDeviceGetName": "x" * 10_000}, Gpu("x" * 100, 16 * GIB, 0)),
        ({"nvmlDeviceGetMemoryInfo": SimpleNamespace(total=GIB, free=2**64 - 1)}, Gpu("GPU 0", GIB, GIB)),
        ({"nvmlDeviceGetMemoryInfo": SimpleNamespace(total=-1, free=-5)}, Gpu("GPU 0", 0, 0)),
    ],
    ids=["bytes", "long name", "more free than there is", "negative"],
)
def test_nonsense_is_pressed_into_shape(clock: ManualClock, told: dict[str, Any], expected: Gpu) -> None:
    driver = Driver(1)
    driver.told = told
    assert GpuReader(clock, load=lambda: driver).read().gpus == (expected,)


def test_the_number_of_gpus_is_bounded(clock: ManualClock) -> None:
    assert len(GpuReader(clock, load=lambda: Driver(1_000)).read().gpus) == GPUS_MAX


def test_a_driver_that_hangs_holds_up_nobody_and_is_not_asked_twice(clock: ManualClock) -> None:
    hung, asked = threading.Event(), []

    def load() -> Any:
        asked.append(1)
        hung.wait()
        return Driver(1)

    reader = GpuReader(clock, load=load, first_wait_s=0.01)
    for _ in range(3):
        assert reader.read() == NONE
        clock.advance(60)
    assert asked == [1]
    hung.set()
    with reader._at_work:
        assert len(reader.read().gpus) == 1


def test_a_machine_without_threads_left_has_no_gpu(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    reader = GpuReader(clock, load=Driver)
    assert reader.read() == reader.read() == NONE


@binding
def test_the_real_binding_without_a_driver_is_no_gpu(clock: ManualClock) -> None:
    assert load_nvml().nvmlInit
    assert GpuReader(clock).read() == NONE


LIBRARY = """
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory_t;
int nvmlInitWithFlags(unsigned int flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
const char *nvmlErrorString(int code) { return "sick"; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) { *handle = (void *)1; return 0; }
int nvmlDeviceGetName(void *handle, char *name, unsigned int length) { strncpy(name, "Paper GPU", length); return 0; }
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) { memory->total = 1000; memory->free = 300; return 0; }
int nvmlSystemGetDriverVersion(char *version, unsigned int length) { strncpy(version, "1.2", length); return 0; }
"""


@binding
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here to make a driver's library with")
def test_the_real_binding_over_a_drivers_library(tmp_path: Path) -> None:
    (tmp_path / "nvml.c").write_text(LIBRARY)
    command = ["cc", "-shared", "-fPIC", "-o", str(tmp_path / "libnvidia-ml.so.1"), str(tmp_path / "nvml.c")]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", "from venom_spore.gpu import GpuReader; print(GpuReader().read())"],
        cwd=ROOT, env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    gpu = "Gpu(name='Paper GPU', memory_total_bytes=1000, memory_free_bytes=300)"
    assert done.stdout == f"GpuReading(gpus=({gpu},), driver='1.2')\n"
