"""A reader of pages that tells what it was given instead of reading it."""

from __future__ import annotations

import json
import sys

given = sys.stdin.buffer.read().decode()
sys.stdout.write(json.dumps({"arguments": sys.argv[1:], "given": given}))
