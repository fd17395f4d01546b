"""Imports a worker's skills as the new release would, before anything is stopped for it.

In a child, bounded in time, with what that worker will have: its environment, its folder, its interpreter. Skills that
come from elsewhere are found where the worker finds them. What fails only once a Spore starts is left to the trial.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from venom_core.config import child_environment
from venom_core.ota.children import Ended, run
from venom_core.ota.durable import local_faults
from venom_core.ota.environment import IMPORTED, interpreter
from venom_core.ota.refusal import Code, UpdateRefused
from venom_spore.launcher.commands import release_environment

ORIGINS_MAX = 100
ORIGIN_CHARS_MAX = 300
IMPORT_S, IMPORT_S_MAX = 60.0, 1800.0
HIDDEN_CHARS_MIN = 6
_SECRET_NAME = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|URL|URI|DSN", re.IGNORECASE)
# Ends without waiting for threads that an import has started: in a worker they are wanted.
_IMPORT = """
import importlib, os, sys
if os.getcwd() not in sys.path:
    sys.path.append(os.getcwd())
for place in sys.argv[1:]:
    module, _, name = place.partition(":")
    if not hasattr(importlib.import_module(module), name):
        sys.exit(f"module {module!r} has no attribute {name!r}")
print("", "imported", sep="\\n", flush=True)
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class WorkerSkills:
    """What a worker will import: `origins` as `pkg.module:attr`; `limit_s`: seconds that it may take."""

    origins: tuple[str, ...] = ()
    limit_s: float = IMPORT_S

    @classmethod
    def read(cls, text: str, ready_s: float = 0.0) -> WorkerSkills:
        """Those of `--skills`; none if it is malformed, as its worker does not start with them either.

        `ready_s`: how long the launcher waits for a worker, which an import may take as well.
        """
        origins = tuple(origin.strip() for origin in text.split(",") if origin.strip())
        fine = len(origins) <= ORIGINS_MAX and all(map(_is_origin, origins))
        return cls(origins if fine else (), min(max(IMPORT_S, ready_s), IMPORT_S_MAX))

    def try_in(self, release: Path) -> None:
        """Import them with the release's interpreter. Raises `UpdateRefused` DOES_NOT_START, LOCAL_FAULT, NO_SPACE."""
        if not self.origins:
            return
        command: list[str | Path] = [interpreter(release), "-I", "-B", "-c", _IMPORT, *self.origins]
        environment = _environment(release)
        with local_faults("importing the worker's skills"):
            ended = run(command, scratch=Path.cwd(), limit_s=self.limit_s, environment=environment)
        if ended.code == 0 and IMPORTED in ended.said.splitlines():
            return
        why = _concealed(self._why(ended), environment)
        raise UpdateRefused(Code.DOES_NOT_START, f"importing its skills ({', '.join(self.origins)[:200]}) {why}")

    def _why(self, ended: Ended) -> str:
        if ended.code is None:
            return f"took more than {self.limit_s:g} s"
        if ended.code == 0:
            return "ended the process; a release's modules may not exit"
        if not ended.said.strip():
            return f"ended the process with exit code {ended.code}"
        return f"failed: {ended.last_line}"


NO_SKILLS = WorkerSkills()


def _is_origin(origin: str) -> bool:
    module, _, name = origin.partition(":")
    return len(origin) <= ORIGIN_CHARS_MAX and all(part.isidentifier() for part in [*module.split("."), name])


def _environment(release: Path) -> dict[str, str]:
    """As the launcher makes it for a worker of that release, but without a link to the launcher."""
    made = release_environment(child_environment(), release)
    made.pop("VENOM_RELEASE_LINK", None)
    return made


def _concealed(words: str, environment: Mapping[str, str]) -> str:
    """Words of a stranger's code without what it may know from its environment: they go to a log and an audit."""
    hidden = (
        value for name, value in environment.items() if len(value) >= HIDDEN_CHARS_MIN and _SECRET_NAME.search(name)
    )
    for value in sorted(hidden, key=len, reverse=True):
        words = words.replace(value, "***")
    return words
