"""The quickstart as a person runs it: a command, its output, its exit code, and what it leaves behind."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from venom_core.clock import Clock

MARK = "DEMO_TEST_MARK"
PATIENCE_S = 100.0
# bandit takes about a fifth of a second for one of these.
BUSY = "import subprocess\n" + "def f(x):\n    assert x\n    subprocess.run(x, shell=True)\n" * 300


@dataclass
class Demo:
    """One `venom demo` with a folder for its temporary files, marked so that all its processes can be found."""

    folder: Path
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        self.output = self.folder / "output.txt"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "venom_core.cli", "demo", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment, MARK: self.mark, "TMPDIR": str(self.folder)},
            )

    def text(self) -> str:
        return self.output.read_text()

    def says(self, words: str) -> None:
        """Wait until the output holds these words."""
        wait(lambda: words in self.text() or self.process.poll() is not None)
        assert words in self.text()

    def processes(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        """By its environment, or as the server does, which writes over it, by the folder in its title."""
        try:
            marked = process.environ().get(MARK) == self.mark or str(self.folder) in " ".join(process.cmdline())
            return marked and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def named(self, words: str) -> psutil.Process:
        """The one process whose command line holds these words; what it forks has the same until it becomes another."""
        found = [process for process in self.processes() if words in " ".join(process.cmdline())]
        [first] = [process for process in found if process.ppid() not in {each.pid for each in found}]
        return first

    def leaves_nothing(self) -> None:
        """Nothing is left, now."""
        assert self.processes() == []
        assert list(self.folder.glob("venom-demo-*")) == []


def wait(condition: Callable[[], bool]) -> None:
    deadline = Clock().monotonic_s() + PATIENCE_S
    while not condition():
        assert Clock().monotonic_s() < deadline, "waited for too long"
        time.sleep(0.02)


@pytest.fixture
def start() -> Iterator[Callable[..., Demo]]:
    """Start a demo; whatever of it still runs at the end of the test is ended."""
    started: list[Demo] = []
    folder = Path(tempfile.mkdtemp(prefix="vh"))

    def run(*arguments: str, **environment: str) -> Demo:
        started.append(Demo(folder, arguments, environment))
        return started[-1]

    yield run
    for demo in started:
        for process in demo.processes():
            process.kill()
        demo.process.wait()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with work for a few seconds, and everything odd that a folder may hold."""
    folder = tmp_path_factory.mktemp("sources")
    for number in range(12):
        (folder / f"busy{number}.py").write_text(BUSY)
    (folder / "broken.py").write_text("def (:\n")
    (folder / "latin.py").write_bytes(b"x = '\xe9'\n")
    (folder / "binary.py").write_bytes(bytes(range(256)))
    (folder / "loop.py").symlink_to("loop.py")
    (folder / "around").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.py")
    (folder / ".git").mkdir()
    (folder / ".git" / "hook.py").write_text(BUSY)
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9.py")).write_text("assert 1\n")
    return folder


def test_every_file_is_in_the_result_once_though_a_spore_was_killed(start: Callable[..., Demo], sources: Path) -> None:
    demo = start(str(sources), REDIS_URL="redis://nowhere:1", HIVE_LEASE="nonsense", NEXUS_SHARED_TOKEN="x" * 40)
    code = demo.process.wait(PATIENCE_S)
    text = demo.text()
    assert code == 0, text
    assert "All 18 files are in the result exactly once." in text
    assert "folders left out: 1 " in text
    assert re.search(r"SIGKILL: spore-2 \(process \d+\) is dead. It was at: busy\d+\.py", text)
    recovered = re.search(r"Recovered: busy\d+\.py \(crashes: 1\) started again on spore-[13] ([\d.]+) s after", text)
    assert recovered
    assert float(recovered[1]) <= 10
    # With so few files a Spore that was slow to start may have had none of them; `test_rates.py` has the arithmetic.
    measured = r"[\d.]+× of [\d.]+× possible on \d+ cores?|not measured, there were too few files"
    assert re.search(rf"Speed-up: ({measured})\n", text)
    assert "Findings: 3,600 high, 0 medium, 3,613 low" in text
    assert "Unparsable files: 5" in text
    for name in ("broken.py: line 1", "latin.py:", "binary.py:", "loop.py: Too many levels", "pipe.py: it is not"):
        assert f"  {name}" in text
    assert re.search(r"Where each task ran: spore-1 \d+, spore-2 \d+, spore-3 \d+\n", text)
    assert text.rstrip().endswith("now yours: ./scripts/quickstart ~/src")
    demo.leaves_nothing()


def test_all_spores_take_a_release_while_they_work_and_go_back_from_one_that_does_not_start(
    start: Callable[..., Demo], sources: Path
) -> None:
    demo = start(str(sources), "--ota")
    wait(lambda: demo.process.poll() is not None)
    text = demo.text()
    assert demo.process.returncode == 0, text
    assert "release 2.0: kept on all 3 Spores" in text
    assert "release 3.0: rolled back by itself on all 3 Spores" in text
    assert re.search(r"^Update to 2\.0: all 3 Spores kept it after [\d.]+ s; [\d.]+ files/s before", text, re.MULTILINE)
    assert re.search(r"^Files by release: (1\.0 \d+)?(, )?(2\.0 \d+)?$", text, re.MULTILINE)
    assert "files are in the result exactly once." in text
    assert text.rstrip().endswith("now yours: ./scripts/quickstart ~/src --ota")
    demo.leaves_nothing()


def test_without_a_path_a_sample_of_the_installed_packages_is_scanned(start: Callable[..., Demo]) -> None:
    demo = start("--sample", "1")
    assert demo.process.wait(PATIENCE_S) == 0, demo.text()
    assert re.search(r"a sample of [\d,]+ files is worth about 1 s here; --all takes all", demo.text())
    assert "site-packages" in demo.text()
    demo.leaves_nothing()


def test_without_a_terminal_lines_are_plain(start: Callable[..., Demo], sources: Path) -> None:
    demo = start(str(sources / "busy1.py"), TERM="xterm-256color")
    assert demo.process.wait(PATIENCE_S) == 0, demo.text()
    assert "\x1b" not in demo.text()
    assert "\r" not in demo.text()
    assert "The file is in the result exactly once." in demo.text()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Starting a hive", signal.SIGINT),
        ("Measuring one slot", signal.SIGTERM),
        ("Scanning", signal.SIGINT),
        ("SIGKILL", signal.SIGTERM),
    ],
)
def test_a_signal_at_any_time_leaves_nothing_behind(
    start: Callable[..., Demo], sources: Path, moment: str, number: int
) -> None:
    demo = start(str(sources))
    demo.says(moment)
    demo.process.send_signal(number)
    assert demo.process.wait(PATIENCE_S) == 128 + number, demo.text()
    assert "Traceback" not in demo.text()
    demo.leaves_nothing()


def test_a_second_signal_does_not_wait(start: Callable[..., Demo], sources: Path) -> None:
    demo = start(str(sources))
    demo.says("Scanning")
    stuck = demo.named("--name spore-3")
    stuck.suspend()
    demo.process.send_signal(signal.SIGINT)
    demo.says("Stopping")
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(PATIENCE_S) == 130, demo.text()
    demo.leaves_nothing()


def test_killed_itself_it_leaves_nothing_behind_either(start: Callable[..., Demo], sources: Path) -> None:
    demo = start(str(sources))
    demo.says("Scanning")
    demo.process.kill()
    demo.process.wait()
    wait(lambda: demo.processes() == [] and not list(demo.folder.glob("venom-demo-*")))


@pytest.mark.parametrize("component", ["--name nexus", "--name spore-1"])
def test_a_component_that_dies_early_is_one_error_with_the_end_of_its_log(
    start: Callable[..., Demo], sources: Path, component: str
) -> None:
    demo = start(str(sources))
    demo.says("Scanning")
    demo.named(component).kill()
    assert demo.process.wait(PATIENCE_S) == 1
    name = component.split()[1]
    assert f"venom: {name} died (signal SIGKILL); the end of its log:" in demo.text()
    assert "Traceback" not in demo.text()
    demo.leaves_nothing()


def test_a_server_that_dies_is_one_error(start: Callable[..., Demo], sources: Path) -> None:
    demo = start(str(sources))
    demo.says("Scanning")
    demo.named("r.sock").kill()
    assert demo.process.wait(PATIENCE_S) == 1
    assert "venom: the embedded server died" in demo.text()
    assert "Traceback" not in demo.text()
    demo.leaves_nothing()


def test_a_wrong_path_is_one_error_and_starts_nothing(start: Callable[..., Demo], tmp_path: Path) -> None:
    demo = start(str(tmp_path / "missing"))
    assert demo.process.wait(PATIENCE_S) == 2
    assert demo.text() == f"venom: There is nothing at {tmp_path / 'missing'}; give a folder or a Python file.\n"
    demo.leaves_nothing()
