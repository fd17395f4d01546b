"""The documents' `SkillExecutor`: skills by class and method name, over the same functions as the built-in skills.

executor = SkillExecutor(workspace_root="./workspace")
await executor.execute("FileSkill", "write_file", {"path": "a.txt", "content": "hello"})
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import Any

from venom_core.config import Settings
from venom_core.errors import InvalidTask
from venom_spore.builtin.agent_tools import call
from venom_spore.builtin.skill_set import tools
from venom_spore.machine import MachineReader, PsutilReader

_MIB = 1_048_576
# The documents' names, and which built-in skill each method is.
METHODS: dict[str, dict[str, str]] = {
    "FileSkill": {name: name for name in ("read_file", "write_file", "list_files", "scan_path")},
    "ShellSkill": {"run": "shell"},
    "WebSkill": {name: name for name in ("fetch", "extract", "summarise")},
}


class SkillExecutor:
    """Runs built-in skills without a hive. The workspace is made if it is not there; `settings` are the node's."""

    def __init__(
        self,
        workspace_root: str | Path = "./workspace",
        settings: Settings | None = None,
        *,
        reader: MachineReader | None = None,
    ) -> None:
        self.workspace_root = Path(workspace_root)
        self.workspace_root.mkdir(parents=True, exist_ok=True)
        given = settings or Settings.load()
        self._shell_enabled = given.hive_shell_enabled
        self._skills = tools(given.model_copy(update={"hive_workspace": str(workspace_root)}))
        self._reader = reader or PsutilReader()

    async def execute(self, skill_name: str, method_name: str, parameters: dict[str, Any] | None = None) -> Any:
        """The result of one method of a skill, as JSON data.

        Raises `InvalidTask` for an unknown skill, method or parameter (naming what there is), and what the skill itself
        raises: nothing is told by a text that looks like a result.
        """
        methods = METHODS.get(skill_name)
        if methods is None:
            raise InvalidTask(f"there is no skill {skill_name!r:.60}; there are {', '.join(METHODS)}")
        name = methods.get(method_name)
        if name is None:
            raise InvalidTask(f"{skill_name} has no method {method_name!r:.60}; it has {', '.join(methods)}")
        skill = self._skills.get(name)
        assert skill is not None
        return await call(skill, {} if parameters is None else parameters)

    def get_capabilities(self) -> dict[str, Any]:
        """What this node can do.

        `skills` (names that work here: the shell only if it is enabled), `methods` (skill to names), `cpu_cores`,
        `memory_mb` (MiB), `has_gpu`, `has_docker` (whether its client is installed) and `platform`.
        """
        machine = self._reader.read()
        usable = {
            name: list(methods) for name, methods in METHODS.items() if name != "ShellSkill" or self._shell_enabled
        }
        return {
            "skills": list(usable),
            "methods": usable,
            "cpu_cores": max(1, int(machine.cpu_count)),
            "memory_mb": machine.memory_total_bytes // _MIB,
            "has_gpu": machine.gpu,
            "has_docker": shutil.which("docker") is not None,
            "platform": platform.system().lower(),
        }
