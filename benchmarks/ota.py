"""Signed updates: from publishing to kept on one Spore, what is verified in which time, bytes moved, and memory."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from benchmarks.lab import Lab
from benchmarks.section import Section, middle
from benchmarks.server import free_port
from benchmarks.sides import ROOT, environment
from venom_core.ota.archive import audit
from venom_core.ota.joining import join
from venom_core.ota.manifest import Manifest
from venom_core.ota.package import build_package
from venom_core.ota.repository import Repository
from venom_core.ota.trust import Trust
from venom_spore.launcher.layout import Layout
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.state import State, StateFile

MODULES, MODULE_BYTES, WHEEL_BYTES = 100, 20_000, 8_000_000
PROBATION_S, PATIENCE_S, POLL_S, REPEATS = 1.0, 120.0, 0.02, 20
SKILLS = """from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def release() -> str:
    return "{version}"
"""
# A child of this large process would count our memory as its own: what a process had before `exec` counts, too.
MOST_KIB = """import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
NOTE = f"""One Spore under `venom-launcher` and one Nexus that serves the repository, all on this machine. The
release holds {MODULES} modules of {MODULE_BYTES // 1000} KB of noise, and a wheel of {WHEEL_BYTES / 1e6:.0f} MB in its
lock; the second release changes one of the modules. Published: from the call of `publish` to the moment when the
release is staged (loaded, verified, unpacked, its environment built, imported once in a child), and to the moment when
it is kept, after a probation of {PROBATION_S:g} s. Verified: the whole chain of metadata over HTTP when nothing is new,
and every rule of the archive on the package; medians of {REPEATS}. Memory: resident, of the launcher while it waits,
and at most of one updater, which lives for one look."""


@dataclass(slots=True)
class Took:
    """One release on its way: seconds after `publish` began, and bytes over the network."""

    staged_s: list[float] = field(default_factory=list)
    kept_s: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)


def measure(lab: Lab) -> Section:
    first, second, verify_ms, audit_ms, launcher_mb, updater_mb = Took(), Took(), [], [], [], []
    packages: list[int] = []
    for _ in range(lab.rounds):
        with tempfile.TemporaryDirectory(prefix="venom-bench-") as made, _rig(lab, Path(made)) as rig:
            packages = [rig.release("1.0", first), rig.release("2.0", second)]
            launcher_mb.append(rig.launcher.memory_info().rss / 1e6)
            verify_ms.append(_median_ms(partial(_refresh, rig.home / "trust")))
            package = rig.repository_home / "packages" / "bench-2.0.zip"
            audit_ms.append(_median_ms(partial(audit, package)))
            updater_mb.append(rig.look_mb())
    section = Section(
        "ota", "A signed update",
        ["release", "package bytes", "bytes moved", "staged after s", "kept after s"], notes=[NOTE],
    )  # fmt: skip
    rows = (("the first: package and wheel", first), ("one module changed", second))
    for (words, took), size in zip(rows, packages, strict=True):
        figures = [f"{size:,}", f"{middle(took.moved):,.0f}"]
        section.rows.append([words, *figures, f"{middle(took.staged_s):.2f}", f"{middle(took.kept_s):.2f}"])
        section.numbers[words] = {"moved": took.moved, "staged_s": took.staged_s, "kept_s": took.kept_s}
    section.numbers |= {
        "verify_ms": verify_ms,
        "audit_ms": audit_ms,
        "launcher_mb": launcher_mb,
        "updater_mb": updater_mb,
    }
    section.notes.append(
        f"Verifying the metadata: {middle(verify_ms):.1f} ms. Judging the archive: {middle(audit_ms):.1f} ms. "
        f"Memory: launcher {middle(launcher_mb):.1f} MB, an updater at most {middle(updater_mb):.1f} MB."
    )
    return section


@dataclass(slots=True)
class _Rig:
    """A repository that is served, and one Spore that follows it."""

    folder: Path
    repository: Repository
    launcher: psutil.Process
    wheelhouse: Path
    requirements: Path

    @property
    def home(self) -> Path:
        return self.folder / "spore"

    @property
    def repository_home(self) -> Path:
        return self.folder / "ota"

    def release(self, version: str, took: Took) -> int:
        """Publish a version and wait until it is kept; bytes of its package."""
        sources = _sources(self.folder / "sources", version)
        manifest = Manifest(app="bench", version=version)
        built = build_package(manifest, sources, requirements=self.requirements, wheelhouse=self.wheelhouse)
        path = self.repository_home / "packages" / built.package.name
        path.write_bytes(built.data)
        for wheel in built.package.wheels:
            self.repository.add_wheel(wheel)
        self.repository.add_package(path)
        begun_s = time.time()
        self.repository.publish()
        self.launcher.send_signal(1)  # SIGHUP: look now
        state = self._kept(version)
        notes = {note.phase: note for note in state.notes if note.release.startswith(f"{version}-")}
        took.staged_s.append(notes[Phase.STAGED].at_s - begun_s)
        took.kept_s.append(notes[Phase.COMMITTED].at_s - begun_s)
        took.moved.append(float(notes[Phase.STAGED].why.split("; ")[1].split()[0].replace(",", "")))
        return len(built.data)

    def _kept(self, version: str) -> State:
        state_file, deadline = StateFile(Layout(self.home)), time.monotonic() + PATIENCE_S
        while True:
            state = state_file.load()
            if state.phase is Phase.IDLE and state.current.startswith(f"{version}-"):
                return state
            if time.monotonic() > deadline:
                raise SystemExit(f"{version} was not kept: {state}")
            time.sleep(POLL_S)

    def look_mb(self) -> float:
        """Most memory of one updater that finds nothing new, in MB."""
        command = [sys.executable, "-m", "venom_spore.updater", "--home", str(self.home)]
        done = subprocess.run([sys.executable, "-c", MOST_KIB, *command], check=True, stdout=subprocess.PIPE, text=True)
        return int(done.stdout) * 1024 / 1e6


@contextmanager
def _rig(lab: Lab, folder: Path) -> Iterator[_Rig]:
    repository = Repository(folder / "ota", "a passphrase of the benchmark")
    fingerprint = repository.init()
    wheelhouse, requirements = _wheel(folder)
    lab.server.empty()
    port = free_port()
    shared = {**environment(lab.tally.path), "REDIS_URL": lab.server.url, "HIVE_LOG_LEVEL": "ERROR"}
    with ExitStack() as stack:
        served = {**shared, "HIVE_API_PORT": str(port), "HIVE_OTA_HOME": str(folder / "ota")}
        stack.enter_context(_running(["venom_core.nexus"], served))
        _await_port(port)
        join(folder / "spore" / "trust", f"http://127.0.0.1:{port}", fingerprint, "bench")
        (folder / "bench_release.py").write_text(SKILLS.format(version="0"))
        words = ["--home", str(folder / "spore"), "--probation", str(PROBATION_S), "--poll", "3600"]
        command = ["venom_spore.launcher", *words, "--", "--name", "bench", "--skills", "bench_release:skills"]
        told = {**shared, "HIVE_OTA_INTERVAL": "0", "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
        launcher = stack.enter_context(_running(command, told))
        time.sleep(2.0)  # its first look, at an empty repository
        yield _Rig(folder, repository, psutil.Process(launcher.pid), wheelhouse, requirements)


@contextmanager
def _running(words: list[str], environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=environ, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _sources(folder: Path, version: str) -> list[Path]:
    """A hundred modules that are the same in every release but the first, and the skills, which say the release."""
    shutil.rmtree(folder, ignore_errors=True)
    package = folder / "bench_modules"
    package.mkdir(parents=True)
    for number in range(MODULES):
        seed = f"{version if number == 0 else ''}{number}"
        (package / f"m{number}.py").write_text(f'TEXT = "{_noise(seed, MODULE_BYTES)}"\n')
    (folder / "bench_release.py").write_text(SKILLS.format(version=version))
    return [package, folder / "bench_release.py"]


def _noise(seed: str, count: int) -> str:
    """Hexadecimal digits that hold as many bits as they can, the same for the same seed."""
    return hashlib.shake_256(seed.encode()).hexdigest(count // 2)


def _wheel(folder: Path) -> tuple[Path, Path]:
    """A folder with one large wheel, and a requirements file that pins it."""
    house, info = folder / "wheels", "ballast-1.0.dist-info"
    house.mkdir()
    files = {
        "ballast.bin": hashlib.shake_256(b"ballast").digest(WHEEL_BYTES),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: ballast\nVersion: 1.0\n\n",
    }
    digests = {
        name: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        for name, data in files.items()
    }
    lines = [f"{name},sha256={digests[name]},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "".join(f"{line}\n" for line in [*lines, f"{info}/RECORD,,"]).encode()
    path = house / "ballast-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:
        for name, data in files.items():
            made.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data)
    requirements = folder / "requirements.txt"
    requirements.write_text(f"ballast==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    return house, requirements


def _refresh(trust: Path) -> None:
    """A look that finds nothing new, as a new process would take it."""
    Trust(trust).refresh()


def _median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        begun_s = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun_s) * 1000)
    return middle(times)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(POLL_S)
        else:
            return
    raise SystemExit("the Nexus does not serve")
