"""Become a component that dies with the quickstart: `python -m venom_core.demo.tether PARENT_PID MODULE ARGUMENTS`.

The kernel keeps the wish over an exec (Linux; elsewhere it is not made).
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from venom_spore.process_tree import die_with_parent


def main(arguments: list[str]) -> NoReturn:
    """Ask for SIGTERM at the parent's death, then become `python -m MODULE ARGUMENTS`."""
    parent_pid, module, *rest = arguments
    die_with_parent(int(parent_pid), signal.SIGTERM)
    os.execv(sys.executable, [sys.executable, "-m", module, *rest])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
