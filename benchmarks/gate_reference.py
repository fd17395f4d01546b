"""What the gate divides a caller's CPU by, packing and sealing a task: python -m benchmarks.gate_reference COUNT"""

from __future__ import annotations

import hmac
import json
import sys
import time

import msgspec

KEY = b"k" * 32
PAYLOAD = {"n": 1}


def sealed(count: int) -> float:
    """CPU seconds of packing so many small payloads with msgpack and computing an HMAC over each."""
    begin = time.process_time()
    for _ in range(count):
        hmac.digest(KEY, msgspec.msgpack.encode(PAYLOAD), "sha256")
    return time.process_time() - begin


def main() -> None:
    count = int(sys.argv[1])
    sealed(count // 10)
    print(json.dumps({"bare seal": sealed(count) / count * 1e6}))


if __name__ == "__main__":
    main()
