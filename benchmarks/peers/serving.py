"""What every worker of a peer is told on its command line: PORT, and its settings as JSON."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any


def told_by_runner() -> tuple[str, dict[str, Any]]:
    """The address of the server and the settings; logging is off, which all of these queues gain from."""
    logging.disable(logging.CRITICAL)
    settings: dict[str, Any] = json.loads(sys.argv[2])
    return f"redis://127.0.0.1:{sys.argv[1]}", settings
