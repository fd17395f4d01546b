"""What a caller hands over as items: a list, or JSON text of one, checked whole before anything is enqueued."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from venom_core.errors import InvalidTask

ITEMS_MAX = 100_000
JSON_CHARS_MAX = 256 * 1024 * 1024
WAIT_S_MAX = 7 * 86_400


def read_items(name: str, given: Any) -> list[Any]:
    """The list in `given`; `InvalidTask` naming the argument for anything else, for none and for too many."""
    if isinstance(given, str):
        given = _read_json(name, given)
    if not isinstance(given, list | tuple):
        raise InvalidTask(f"{name} must be a list or JSON text of a list, not {_kind(given)}")
    if not given:
        raise InvalidTask(f"{name} is empty; give at least one")
    if len(given) > ITEMS_MAX:
        raise InvalidTask(
            f"{name} has {len(given):,} entries, the limit of one run is {ITEMS_MAX:,}; "
            "start several runs, or put many into one entry"
        )
    return list(given)


def read_wait(seconds: Any) -> float:
    """A time to wait in seconds; `InvalidTask` for anything but a number from 0 to a week."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise InvalidTask(f"wait_timeout is a number of seconds, not {seconds!r:.60}")
    if not 0 <= seconds <= WAIT_S_MAX:
        raise InvalidTask(f"wait_timeout is 0 to {WAIT_S_MAX:,} seconds, not {seconds!r:.60}")
    return float(seconds)


def _read_json(name: str, text: str) -> Any:
    if len(text) > JSON_CHARS_MAX:
        raise InvalidTask(f"{name} is {len(text):,} characters of JSON, the limit is {JSON_CHARS_MAX:,}; split it")

    def refuse(word: str) -> NoReturn:
        raise InvalidTask(f"{name} holds {word}, which JSON cannot carry; send null or text")

    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as fault:
        raise InvalidTask(
            f'{name} is no JSON: {fault}; give a list, or text such as \'["a", "b"]\', not {text[:60]!r}'
        ) from None
    except RecursionError:
        raise InvalidTask(f"{name} is nested too deeply") from None


def _kind(value: Any) -> str:
    return {"dict": "an object", "NoneType": "null"}.get(type(value).__name__, f"of type {type(value).__name__}")
