"""The skill that runs a program: off unless this node's owner switched it on, and never through a shell."""

from __future__ import annotations

from typing import Any

from venom_core.errors import Forbidden, InvalidTask, LimitReached
from venom_spore.builtin.child import run_child
from venom_spore.builtin.workspace import Workspace

TIMEOUT_S_MAX = 3600.0
OUTPUT_BYTES_MAX = 65_536
WORDS_MAX = 1000
# All that a program sees of the environment; the Spore's own holds passwords and keys.
_PATH = "/usr/local/bin:/usr/bin:/bin"


class Shell:
    """The skill `shell` in one workspace."""

    def __init__(self, workspace: Workspace, *, enabled: bool) -> None:
        self._workspace = workspace
        self._enabled = enabled

    async def shell(self, command: list[str], timeout: float = 60.0) -> dict[str, Any]:
        """Run a program in the workspace: `command` is its name and its arguments as a list.

        No shell reads it, so `|`, `>` and `*` mean nothing. After `timeout` seconds it is killed with all it started.
        Gives `exit_code`, `stdout`, `stderr`, and `cut`, whether one of them was longer than 65,536 bytes.
        """
        if not self._enabled:
            raise Forbidden("this node runs no programs; set HIVE_SHELL_ENABLED=true on it to allow the skill shell")
        if not command or not command[0] or len(command) > WORDS_MAX or any("\0" in word for word in command):
            raise InvalidTask(f"command is a list of 1 to {WORDS_MAX} words without NUL, the first is the program")
        if not 0 < timeout <= TIMEOUT_S_MAX:
            raise LimitReached(f"timeout is above 0 and at most {TIMEOUT_S_MAX:g} seconds, not {timeout:g}")
        with self._workspace.folder((), make=True):
            done = await run_child(
                command,
                folder=self._workspace.root,
                environment={"PATH": _PATH, "LANG": "C.UTF-8", "HOME": str(self._workspace.root)},
                timeout_s=timeout,
                output_bytes_max=OUTPUT_BYTES_MAX,
            )
        return {
            "exit_code": done.exit_code,
            "stdout": done.out.decode(errors="replace"),
            "stderr": done.err.decode(errors="replace"),
            "cut": done.cut,
        }
