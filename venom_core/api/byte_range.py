"""Which bytes of a file a request asks for: one range, or the whole.

More than one range, units other than bytes and what is not well formed are answered with the whole file, as HTTP
allows: a client that resumes asks for one range and knows what to do with a 200.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII | re.IGNORECASE)


class Span(NamedTuple):
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int


class Unsatisfiable(ValueError):
    """No byte of the file lies in the range that was asked for."""


def wanted(size: int, header: str, if_range: str, etag: str) -> Span | None:
    """The range to answer with, or None for the whole file; `Unsatisfiable`.

    `size` in bytes; `if_range`: the state of the file that the range belongs to, and nothing but `etag` is this one.
    """
    found = _RANGE.fullmatch(header.strip())
    if found is None or (if_range and if_range.strip() != etag):
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        span = Span(max(size - int(last), 0), size)
    elif last and int(last) < int(first):
        return None
    else:
        span = Span(int(first), min(int(last) + 1, size) if last else size)
    if span.start >= span.end:
        raise Unsatisfiable
    return span
