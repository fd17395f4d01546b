"""The Lua scripts: one file a transition, each declaring its keys and arguments in its own header.

A header is read once at import and becomes the script's prelude: `-- keys: task run` gives the Lua
locals TASK and RUN, `-- args: epoch` gives `epoch`, `-- uses: now` pastes lib/now.lua. So the order
of keys and arguments is written in exactly one place, and the Python door passes them by name. What only
adds to the store says `-- memory: refused when full`; everything else runs on a full server too. What `-- tells: others
first` is for says `ScriptRunner`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.line import Argument, Head
from venom_core.infrastructure.redis_link import RedisLink

_ROOT = files("venom_core.infrastructure") / "lua"
_HEADER = re.compile(r"^-- (keys|types|args|uses|extra|memory|tells): (.*)$", re.MULTILINE)
# A full server must go on renewing leases and settling, or it would never become emptier.
_GOES_ON_WHEN_FULL = "#!lua flags=allow-oom"
_TYPES_PRELUDE = """
local T = tonumber(ARGV[1])
local function type_of(i) return ARGV[i + 1] end
local function queue_of(i) return KEYS[FIXED + 3 * i - 2] end
local function later_of(i) return KEYS[FIXED + 3 * i - 1] end
local function wake_of(i) return KEYS[FIXED + 3 * i] end
"""

HEADS_MAX, HEAD_BYTES_MAX = 256, 16 * 1024
_PING = Head("PING").with_rest(())


@dataclass(frozen=True, slots=True)
class Script:
    """A script ready to send: source, digest, and the names of its keys and arguments in order."""

    name: str
    source: str
    sha: str
    keys: tuple[str, ...]
    args: tuple[str, ...]
    typed: bool
    tells: bool = False


def load(name: str) -> Script:
    """Read and assemble one script; a header that names an unknown part fails at import, not at run time."""
    body = (_ROOT / f"{name}.lua").read_text()
    header = dict(_HEADER.findall(body))
    keys = tuple(header.get("keys", "").split())
    args = tuple(header.get("args", "").split())
    typed = header.get("types") == "yes"
    lines = [f"local {key.upper()} = KEYS[{number}]" for number, key in enumerate(keys, 1)]
    lines += [f"local FIXED = {len(keys)}", _TYPES_PRELUDE if typed else "local T = -1"]
    lines += [f"local {arg} = ARGV[T + {number}]" for number, arg in enumerate(args, 2)]
    lines += [f"local REST = T + {len(args) + 2}"]
    lines += [(_ROOT / "lib" / f"{part}.lua").read_text() for part in header.get("uses", "").split()]
    first = [] if header.get("memory") == "refused when full" else [_GOES_ON_WHEN_FULL]
    source = "\n".join([*first, *lines, body])
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, source, sha, keys, args, typed, "tells" in header)


class ScriptRunner:
    """Runs scripts over a link; after SCRIPT FLUSH or a restart it sends the source again.

    A server writes first to whom it answered last. So a script that tells others is sent behind a PING: its own
    reply is in line from then on, and those who wait for the news have it one system call earlier.
    """

    def __init__(self, link: RedisLink, keyspace: Keyspace) -> None:
        self._link = link
        self.keyspace = keyspace
        self._heads: dict[tuple[str, int, tuple[str, ...]], Head] = {}

    def keys(
        self, script: Script, partition: int, types: Sequence[str] = (), extra: Sequence[bytes] = ()
    ) -> list[bytes]:
        """The keys of a call, in the script's order."""
        space = self.keyspace
        names = [space.key(partition, name) for name in script.keys]
        for task_type in types:
            names += space.type_keys(partition, task_type)
        return [*names, *extra]

    async def run(
        self,
        script: Script,
        partition: int,
        args: Sequence[Argument] = (),
        *,
        types: Sequence[str] = (),
        extra: Sequence[bytes] = (),
    ) -> Any:
        """Send a script; `args` are its named arguments followed by the rest."""
        command = self.command(script, partition, args, types=types, extra=extra)
        try:
            return (await (self._link.ask(_PING, command) if script.tells else self._link.ask(command)))[-1]
        except NoScriptError:
            keys = self.keys(script, partition, types, extra)
            return await self._link.evaluate(script.source, keys, [*_told(script, types), *args])

    def command(
        self,
        script: Script,
        partition: int,
        args: Sequence[Argument],
        *,
        types: Sequence[str] = (),
        extra: Sequence[bytes] = (),
    ) -> bytes:
        """A call, packed. Keys and types are the same in most calls of a script, and are packed once."""
        known = (script.name, partition, tuple(types))
        head = self._heads.get(known) if not extra else None
        if head is None:
            keys = self.keys(script, partition, types, extra)
            head = Head("EVALSHA", script.sha, len(keys), *keys, *_told(script, types))
            if not extra and len(head) <= HEAD_BYTES_MAX:
                if len(self._heads) == HEADS_MAX:
                    self._heads.clear()
                self._heads[known] = head
        return head.with_rest(args)


def _told(script: Script, types: Sequence[str]) -> tuple[Argument, ...]:
    return (len(types), *types) if script.typed else ()


ENQUEUE, CLAIM, SETTLE, TAKE_BACK = load("enqueue"), load("claim"), load("settle"), load("take_back")
CANCEL, REQUEUE, NOTE, LOOK, PLACE = load("cancel"), load("requeue"), load("note"), load("look"), load("place")
WAIT, UNWAIT, STATS, UNWATCH = load("wait"), load("unwait"), load("stats"), load("unwatch")
WAITING, ASSIGN, LENGTHS, BUDGET = load("waiting"), load("assign"), load("lengths"), load("budget")
PASS_ON = load("pass_on")
PURGE, FORGET, REFUSE = load("purge"), load("forget"), load("refuse")
JOIN, RENEW, LEAVE, BURY = load("join"), load("renew"), load("leave"), load("bury")
KEEP_RUN, COUNT_RUN = load("keep_run"), load("count_run")
NODES, FORGET_NODE, LEAD, RESIGN = load("nodes"), load("forget_node"), load("lead"), load("resign")
