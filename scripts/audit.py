"""Looks for known vulnerabilities in the lock files: python scripts/audit.py PIP_AUDIT_COMMAND

Exit 1 when one is found that is not accepted below. A service that cannot be reached, or that does not know the
packages, is no finding and no clean bill either: it is said in so many words, and the exit code stays 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOCKS = Path(__file__).resolve().parents[1] / "requirements"
# The other files hold a part of these; tests/tidy/test_locks.py sees to that.
AUDITED = ("test.txt", "test-arq.txt", "ci.txt")
SERVICES = ("pypi", "osv")
SERVICE_TIMEOUT_S = 300

# Id of a vulnerability -> why it does not touch us. Remove a line when the lock has moved past it.
ACCEPTED: dict[str, str] = {}


@dataclass
class Verdict:
    """What one service said about one lock file; nothing at all when `audited` is 0."""

    audited: int = 0
    skipped: int = 0
    found: list[str] = field(default_factory=list)


def judge(answer: str) -> Verdict:
    """The verdict in pip-audit's JSON; an answer that is no JSON counts as no answer."""
    try:
        packages: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Verdict()
    verdict = Verdict()
    for package in packages:
        if "vulns" not in package:
            verdict.skipped += 1
            continue
        verdict.audited += 1
        name = f"{package['name']} {package['version']}"
        verdict.found += [
            f"{name}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}"
            for found in package["vulns"]
            if not ACCEPTED.keys() & {found["id"], *found.get("aliases", ())}
        ]
    return verdict


def ask(command: str, service: str, lock: Path) -> Verdict:
    """One lock file, one service; its own exit code says too little, since packages it does not know count as clean."""
    options = ["--vulnerability-service", service, "--disable-pip", "--progress-spinner", "off", "--format", "json"]
    try:
        done = subprocess.run(
            [command, *options, "--requirement", lock],
            capture_output=True, text=True, check=False, timeout=SERVICE_TIMEOUT_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Verdict()
    return judge(done.stdout)


def main(command: str) -> int:
    """Audit each lock with the first service that knows its packages; without one, ask no further."""
    failed = False
    for name in AUDITED:
        answers = (ask(command, service, LOCKS / name) for service in SERVICES)
        verdict = next((said for said in answers if said.audited), None)
        if verdict is None:
            print(f"{name}: NOT AUDITED, and nothing after it: no vulnerability service knows its packages from here")
            break
        print(f"{name}: {verdict.audited} audited, {verdict.skipped} unknown, {len(verdict.found)} vulnerable")
        for found in verdict.found:
            print(f"  {found}")
        failed = failed or bool(verdict.found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
