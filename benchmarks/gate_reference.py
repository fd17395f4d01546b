"""What the gate divides by, CPU of a bare task and of packing and sealing: python -m benchmarks.gate_reference N"""

from __future__ import annotations

import hmac
import json
import sys
import time

import msgspec

from benchmarks.bare import tasks
from venom_core.event_loop import run

KEY = b"k" * 32
PAYLOAD = {"n": 1}


def sealed(count: int) -> float:
    """CPU seconds of packing so many small payloads with msgpack and computing an HMAC over each."""
    begin = time.process_time()
    for _ in range(count):
        hmac.digest(KEY, msgspec.msgpack.encode(PAYLOAD), "sha256")
    return time.process_time() - begin


async def main() -> None:
    count = int(sys.argv[1])
    await tasks(count // 10)
    sealed(count // 10)
    task_s = (await tasks(count))["cpu_s"]
    print(json.dumps({"task_us": task_s / count * 1e6, "seal_us": sealed(count) / count * 1e6}))


if __name__ == "__main__":
    run(main())
