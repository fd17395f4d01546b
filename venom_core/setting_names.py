"""Names of settings as people type them: what an unknown one may have meant, and which of them are refused."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable, Mapping
from functools import cache

from venom_core.errors import InvalidSetting

log = logging.getLogger("venom.config")

# What Kubernetes injects for a service that happens to be called hive-…: not a setting, nobody's mistake.
_SERVICE_LINK = re.compile(
    r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$", re.IGNORECASE
)
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """` (did you mean X?)`, or nothing; a common prefix does not count as likeness."""
    found = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=cutoff)
    if not found:
        return ""
    return f" (did you mean {found[0].upper() if name.isupper() else found[0]}?)"


def judge_names(given: Mapping[str, str | None], known: Iterable[str]) -> None:
    """Refuse an unknown HIVE_ name; warn of one that looks like a REDIS_ setting of ours but is none."""
    fields = set(known)
    for name, value in given.items():
        lower = name.lower()
        if lower in fields or _SERVICE_LINK.search(lower) or _SERVICE_ADDRESS.match(value or ""):
            continue
        if lower.startswith("hive_"):
            _refuse(name.upper(), fields)
        elif lower.startswith("redis_"):
            _warn_of_near_miss(name.upper(), frozenset(fields))


def _suffix_match(name: str, prefix: str, fields: Iterable[str]) -> str:
    """The setting whose name without the prefix is most like this one's; empty if none is."""
    suffixes = {field.removeprefix(prefix): field for field in fields if field.startswith(prefix)}
    found = difflib.get_close_matches(name.lower().removeprefix(prefix), list(suffixes), n=1)
    return suffixes[found[0]].upper() if found else ""


def _refuse(name: str, fields: Iterable[str]) -> None:
    meant = _suffix_match(name, "hive_", fields)
    advice = f"did you mean {meant}?" if meant else "remove it or see docs/configuration.md for the names there are."
    raise InvalidSetting(f"There is no setting {name}; {advice}")


@cache
def _warn_of_near_miss(name: str, fields: frozenset[str]) -> None:
    """Once a process and name: other programs own REDIS_ names too, so it is no error."""
    if meant := _suffix_match(name, "redis_", fields):
        log.warning("%s is set but not a setting of this hive; if it is meant for it, call it %s.", name, meant)
