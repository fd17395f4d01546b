"""SAQ's queue, which its worker and its callers share. msgspec instead of json, which is slower."""

from __future__ import annotations

from typing import Any

import msgspec
from saq import Queue


def queue_at(address: str, **settings: Any) -> Any:
    return Queue.from_url(address, dump=msgspec.json.encode, load=msgspec.json.decode, **settings)
