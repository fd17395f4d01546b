"""Which names an archive may hold: paths that mean the same on every system and stay where they belong."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from venom_core.ota.refusal import Code, UpdateRefused

NAME_CHARACTERS_MAX = 200
PART_BYTES_MAX = 255
DEPTH_MAX = 32
_MARKS = frozenset("._+@ -()[]{},=~!#")
_DEVICES = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)")


def check_names(files: Sequence[str], folders: Sequence[str] = ()) -> None:
    """Raises `UpdateRefused` ZIP_PATH for a name that leads astray, ZIP_DUPLICATE for two names of one place."""
    for name in (*files, *folders):
        check_name(name)
    _check_apart(files, folders)
    for name in (*files, *folders):
        if not unicodedata.is_normalized("NFC", name):
            raise UpdateRefused(Code.ZIP_PATH, f"the name {name!a} is not in Unicode's form NFC; rename the file")


def check_name(name: str) -> None:
    """Raises `UpdateRefused` ZIP_PATH; whether it is NFC is judged after the search for doubles."""
    fault = _fault(name)
    if fault:
        raise UpdateRefused(Code.ZIP_PATH, f"the name {name[:NAME_CHARACTERS_MAX]!a} {fault}; rename the file")


def _fault(name: str) -> str:
    if len(name) > NAME_CHARACTERS_MAX:
        return f"has more than {NAME_CHARACTERS_MAX} characters"
    if name.startswith("/"):
        return "is an absolute path"
    parts = name.split("/")
    if len(parts) > DEPTH_MAX:
        return f"is more than {DEPTH_MAX} folders deep"
    return next((fault for part in parts if (fault := _fault_of_part(part))), "")


def _fault_of_part(part: str) -> str:
    if part in {"", ".", ".."}:
        return "has a part that is empty, . or .."
    if part[0] == " " or part[-1] in " .":
        return "has a part that begins with a space or ends with a space or dot"
    strange = next((sign for sign in part if not _allowed(sign)), "")
    if strange:
        return f"has the character {strange!a}, which not every system keeps"
    if len(part.encode()) > PART_BYTES_MAX:
        return f"has a part of more than {PART_BYTES_MAX} bytes"
    return "is a device on some systems" if _DEVICES.match(part.casefold()) else ""


def _allowed(sign: str) -> bool:
    return sign in _MARKS or unicodedata.category(sign)[0] in "LMN"


def _check_apart(files: Sequence[str], folders: Sequence[str]) -> None:
    """No two names may be one file where letter case or Unicode form do not count, nor a file another's folder."""
    seen: dict[str, str] = {}
    for name in files:
        place = _place(name)
        if place in seen:
            other = seen[place]
            raise UpdateRefused(Code.ZIP_DUPLICATE, f"{other!a} and {name!a} are one file on some systems; rename one")
        seen[place] = name
    above = [(name, place.split("/")[:-1]) for place, name in seen.items()]
    for name, parts in above + [(name, _place(name).split("/")) for name in folders]:
        for depth in range(1, len(parts) + 1):
            file = seen.get("/".join(parts[:depth]))
            if file is not None:
                raise UpdateRefused(
                    Code.ZIP_DUPLICATE, f"{file!a} is a file and also the folder of {name!a}; rename one"
                )


def _place(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
