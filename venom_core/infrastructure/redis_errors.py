"""What redis-py raises, in the words of our own tree.

The server says why in the first word of its answer; redis-py turns some of those words into classes and
drops the word, so both are looked at. What means neither is left alone: it is a bug of ours.
"""

from __future__ import annotations

from types import TracebackType

from redis import exceptions as foreign

from venom_core.errors import StoreError, StoreRefused, StoreUnavailable

_WORD_OF_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (foreign.AuthenticationError, "WRONGPASS"),
    (foreign.AuthorizationError, "NOPERM"),
    (foreign.NoPermissionError, "NOPERM"),
    (foreign.ReadOnlyError, "READONLY"),
    (foreign.OutOfMemoryError, "OOM"),
    (foreign.BusyLoadingError, "LOADING"),
    (foreign.InvalidResponse, "FOREIGN"),
    (foreign.TimeoutError, "TIMEOUT"),
    (foreign.ConnectionError, "CONNECTION"),
)
_REFUSED = {
    "WRONGPASS": "{place} refused the login; check the user and password in REDIS_URL or REDIS_PASSWORD ({said}).",
    "NOAUTH": "{place} wants a password; set REDIS_PASSWORD or put it into REDIS_URL.",
    "NOPERM": "{place} does not allow this user what the hive needs; give it the missing ACL right ({said}).",
    "READONLY": "{place} is a read-only replica; give the address of its master, or use redis+sentinel://.",
    "OOM": "{place} has no memory left under maxmemory; raise maxmemory or let the queues drain.",
    "MISCONF": "{place} cannot save to its disk and refuses writes; free disk space and see its log ({said}).",
    "DENIED": "{place} runs in protected mode and refuses other machines; set a password or bind it ({said}).",
    "MOVED": "{place} is part of a Redis Cluster, on which the engine does not run yet; give one without cluster mode.",
    "CROSSSLOT": "{place} is part of a Redis Cluster, on which the engine does not run yet; give one without it.",
    "FOREIGN": "{place} does not speak the protocol of Redis; check host and port ({said}).",
    "NODB": "{place} has no such database; lower REDIS_DB or the number in REDIS_URL ({said}).",
}
_UNAVAILABLE = {
    "LOADING": "{place} is still loading its data; try again in a moment.",
    "TIMEOUT": "{place} did not answer in time; check the network and the server's load.",
    "CONNECTION": "{place} cannot be reached; check that it runs and that the address is right ({said}).",
    "BUSY": "{place} is busy with a long script; try again in a moment.",
    "MASTERDOWN": "{place} is a replica that lost its master; wait for the failover.",
    "CLUSTERDOWN": "{place} belongs to a cluster that is down; wait until it is back.",
    "NOREPLICAS": "{place} has too few replicas and refuses writes; bring a replica back.",
    "UNBLOCKED": "{place} is a master no more; the next connection finds the new one ({said}).",
    "TRYAGAIN": "{place} is moving keys; try again in a moment.",
}
# Answers that begin with a mere ERR.
_WORD_OF_TEXT = {
    "ACL failure in script": "NOPERM",
    "The user executing the script": "NOPERM",
    "DB index is out of range": "NODB",
    "SELECT is not allowed in cluster mode": "MOVED",
}


def translate(error: BaseException, place: str = "Redis") -> StoreError | None:
    """Our error for one of redis-py's, naming `place`; None for what is not the store's fault."""
    if not isinstance(error, (foreign.RedisError, TimeoutError, ConnectionError)):
        return None
    if type(error) is foreign.ConnectionError and isinstance(error.__cause__, foreign.RedisError):
        error = error.__cause__  # over a unix socket redis-py wraps what the server answered to the login
    word, said = _word_of(error), _first_line(error)
    if word in _REFUSED:
        return StoreRefused(_REFUSED[word].format(place=place, said=said))
    if word in _UNAVAILABLE:
        return StoreUnavailable(_UNAVAILABLE[word].format(place=place, said=said))
    return None


def _word_of(error: BaseException) -> str:
    said = str(error)
    if isinstance(error, foreign.ResponseError):
        first = said.partition(" ")[0]
        if first in _REFUSED or first in _UNAVAILABLE:
            return first
        if word := next((word for text, word in _WORD_OF_TEXT.items() if text in said), ""):
            return word
    if isinstance(error, foreign.AuthenticationError) and said.startswith("Authentication required"):
        return "NOAUTH"
    if isinstance(error, foreign.MovedError):
        return "MOVED"
    for kind, word in _WORD_OF_CLASS:
        if isinstance(error, kind):
            return word
    if isinstance(error, TimeoutError):
        return "TIMEOUT"
    return "CONNECTION" if isinstance(error, ConnectionError) else ""


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


class foreign_errors:  # noqa: N801 - it reads as a statement: `with foreign_errors():`
    """Inside this block redis-py's errors leave as StoreUnavailable or StoreRefused; others leave as they are."""

    __slots__ = ("_place",)

    def __init__(self, place: str = "Redis") -> None:
        self._place = place

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and isinstance(error, foreign.RedisError):
            ours = translate(error, self._place)
            if ours is not None:
                raise ours from error
