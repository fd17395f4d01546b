"""Payloads and results: the JSON data model, carried as msgpack.

What JSON cannot say (bytes, NaN, integers over 64 bits, keys that are not text, objects) is refused by
name and place instead of being bent into something else, so that what a skill receives is what a
caller sent. Never pickle: a message must not be able to run code.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from venom_core.errors import InvalidTask

DEPTH_MAX = 64
INT_MIN, INT_MAX = -(2**63), 2**64 - 1


def _as_plain(value: Any) -> str | int | float:
    """What a kind of text or number (numpy's float64 is one) is carried as; msgspec refuses it, the walk did not."""
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, int) else float(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_as_plain)
_decoder = msgspec.msgpack.Decoder()
_EMPTY = _encoder.encode({})


def encode(value: Any, what: str, bytes_max: int) -> bytes:
    """Msgpack bytes of a JSON value; `InvalidTask` naming the offending place, or the size in bytes."""
    if not _is_plain(value, 0):
        _name_fault(value, what, 0)
    try:
        data = _encoder.encode(value)
    except UnicodeEncodeError:
        raise InvalidTask(f"{what} holds text with half a surrogate pair, which UTF-8 cannot carry") from None
    if len(data) > bytes_max:
        raise InvalidTask(
            f"{what} is {len(data):,} bytes, the limit is {bytes_max:,}; store the data elsewhere and send its address"
        )
    return data


class Encoded(bytes):
    """A payload that `encode_payload` made before: who checks many first and sends them later pays once."""


def encode_payload(payload: Any, bytes_max: int, what: str = "payload") -> bytes:
    """Msgpack bytes of a payload, which must be an object with text keys (shape: {str: JSON})."""
    if payload is None:
        return _EMPTY
    if type(payload) is Encoded:
        return payload
    if type(payload) is not dict:
        raise InvalidTask(f"{what} must be a dict of names to values, not {type(payload).__name__}")
    return encode(payload, what, bytes_max)


def decode(data: bytes) -> Any:
    """The JSON value of msgpack bytes."""
    return _decoder.decode(data)


def _is_plain(value: Any, depth: int) -> bool:
    """The fast walk: says only whether all is well; `_name_fault` is asked for the place when it is not."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(INT_MIN <= value <= INT_MAX)
    if kind is float:
        return math.isfinite(value)
    if depth == DEPTH_MAX:
        return False
    if kind is dict:
        return all(type(key) is str and _is_plain(item, depth + 1) for key, item in value.items())
    return (kind is list or kind is tuple) and all(_is_plain(item, depth + 1) for item in value)


def _name_fault(value: Any, place: str, depth: int) -> None:
    """The slow walk: raises `InvalidTask` at the first place that JSON cannot carry."""
    if isinstance(value, bool | str) or value is None:
        return
    if isinstance(value, int):
        if not INT_MIN <= value <= INT_MAX:
            raise InvalidTask(f"{place} is an integer over 64 bits; send it as text")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidTask(f"{place} is {value}, which JSON cannot carry; send null or text")
    elif isinstance(value, dict | list | tuple):
        if depth == DEPTH_MAX:
            raise InvalidTask(f"{place[:80]}… is nested more than {DEPTH_MAX} levels deep")
        _name_inner_fault(value, place, depth)
    else:
        raise InvalidTask(f"{place} is of type {type(value).__name__}, which JSON cannot carry")


def _name_inner_fault(value: dict[Any, Any] | list[Any] | tuple[Any, ...], place: str, depth: int) -> None:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in pairs:
        if isinstance(value, dict) and not isinstance(key, str):
            raise InvalidTask(f"{place} has the key {key!r:.40}, and keys must be text")
        _name_fault(item, f"{place}[{key!r:.40}]", depth + 1)
