from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.servers import PrivateServer
from venom_core.commands.bench import Size, _latency, _speed


def test_the_figures_are_measured_on_this_server_and_nothing_is_left(private_server: PrivateServer) -> None:
    """In a process of its own, as people run it: it starts processes."""
    command = [sys.executable, "-m", "venom_core.cli", "bench", "--quick", "--json"]
    environment = os.environ | {"REDIS_URL": private_server.url}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=110, check=False)
    figures = json.loads(done.stdout)
    assert [figure["promised"] for figure in figures] == [
        "under 10 ms", "under 50 ms", "under 100 ms", "about 5x", "under 5 %",
    ]  # fmt: skip
    assert done.returncode == (0 if all(figure["met"] for figure in figures) else 1), done.stderr
    assert all(any(letter.isdigit() for letter in figure["measured"]) for figure in figures)
    client = private_server.client()
    assert client.dbsize() == 0
    client.close()


def test_a_latency_is_met_if_95_of_100_are() -> None:
    assert _latency("x", 10, [0.001] * 96 + [1.0] * 4).met
    assert not _latency("x", 10, [0.001] * 90 + [1.0] * 10).met
    assert _latency("x", 10, [0.001]).measured == "1.0 ms, 95 of 100 within 1.0 ms"


def test_speed_and_overhead_follow_from_the_same_work() -> None:
    size = Size(tasks_a_spore=10, wait_s=1.0)
    speed_up, overhead = _speed(size, 10.1, 10.2)
    assert (speed_up.measured, speed_up.met) == ("4.95x", True)
    assert (overhead.measured, overhead.met) == ("2.0 %", True)
    assert [figure.met for figure in _speed(size, 10.0, 50.0)] == [False, False]
