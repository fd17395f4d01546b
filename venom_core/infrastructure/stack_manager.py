"""`StackManager`: containers that belong together, deployed from one compose file through `docker compose`.

A stack is a folder below `<workspace_root>/stacks` with its compose file and the name of its project. Every
method answers instead of raising: what is missing or refused comes back as one sentence. The password of the
default stack goes from the settings to compose by the environment, and never into an answer or a log.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.errors import InvalidSetting, StackError
from venom_core.infrastructure.compose import Compose, read_rows

log = logging.getLogger("venom.stacks")

COMPOSE_BYTES_MAX = 1_048_576
LOG_LINES_MAX = 10_000
DEPLOY_TIMEOUT_S, CHANGE_TIMEOUT_S, LOOK_TIMEOUT_S = 900.0, 180.0, 60.0
DEFAULT_STACK = "venom-hive"
# Of the file that a whole hive is deployed from, only the store that listens on this machine.
DEFAULT_SERVICE = "redis-dev"
COMPOSE_FILE, PROJECT_FILE = "docker-compose.yml", "project"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# The compose file hands the password to the server in a quoted line of its settings.
_UNFIT_IN_PASSWORD = re.compile(r'["\\\x00-\x1f\x7f]')
# A look at a stack or its end needs no password, but compose wants the variable for reading the file.
_ANY_PASSWORD = "not-needed"  # noqa: S105 - it is none


class _Stack(NamedTuple):
    """One stack: its folder, and its project's name."""

    name: str
    project: str
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / COMPOSE_FILE

    def arguments(self, *rest: str) -> list[str]:
        return ["--file", str(self.file), "--project-name", self.project, *rest]


class StackManager:
    """Deploys, looks at and destroys stacks; its methods block, so call them in a thread from an event loop."""

    def __init__(
        self,
        workspace_root: str | Path | None = None,
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Nothing is run or created yet.

        `workspace_root`: folder of the stacks (default: ~/.local/share/venom-hive). `timeout_s`: for every
        command of docker (default: 900 s for a deployment, 180 s for an end, 60 s for a look).
        """
        self.workspace_root = Path(workspace_root or Path.home() / ".local" / "share" / "venom-hive").absolute()
        self.stacks_dir = self.workspace_root / "stacks"
        self._settings = settings
        self._compose = Compose(clock or Clock())
        self._timeout_s = timeout_s

    def deploy_stack(self, compose_content: str, stack_name: str, project_name: str | None = None) -> tuple[bool, str]:
        """Start a stack from the text of a compose file (YAML, at most 1 MiB), or bring a running one up to it.

        A file that compose refuses changes nothing.
        """
        return self._answer(lambda: self._deploy(compose_content, stack_name, project_name, {}))

    def deploy_default_hive_stack(self) -> tuple[bool, str]:
        """Start the store of a hive on this machine; REDIS_PASSWORD must be set, REDIS_PORT may be."""
        return self._answer(self._deploy_default)

    def destroy_stack(
        self,
        stack_name: str,
        project_name: str | None = None,
        remove_volumes: bool = False,
        cleanup_directory: bool = False,
    ) -> tuple[bool, str]:
        """Stop a stack and remove its containers and networks; its data only with `remove_volumes`.

        `cleanup_directory` also forgets its compose file.
        """
        return self._answer(
            lambda: self._destroy(stack_name, project_name, volumes=remove_volumes, folder=cleanup_directory)
        )

    def get_service_logs(
        self, stack_name: str, service: str, project_name: str | None = None, tail: int = 100
    ) -> tuple[bool, str]:
        """The last `tail` lines (1 to 10,000; at most 1 MiB) that a service printed."""
        return self._answer(lambda: self._logs(stack_name, service, project_name, tail))

    def get_stack_status(self, stack_name: str, project_name: str | None = None) -> tuple[bool, dict[str, Any]]:
        """What runs of a stack: `{stack_name, project, status, services, details}`, or `{error: sentence}`.

        `status` is running (all of it), degraded (some of it) or stopped; `services` are
        `{service, container, state, health, exit_code}`.
        """
        found: dict[str, Any] = {}

        def look() -> str:
            found.update(self._status(stack_name, project_name))
            return ""

        known, said = self._answer(look)
        return known, found if known else {"error": said}

    def get_running_stacks(self) -> list[dict[str, Any]]:
        """Stacks of this workspace of which something runs: `{name, project, path, compose_file, status}`.

        Empty too when docker cannot be asked; the log says why.
        """
        found: list[dict[str, Any]] = []

        def look() -> str:
            found.extend(self._running())
            return ""

        known, said = self._answer(look)
        if not known:
            log.warning("cannot list the running stacks: %s", said)
        return found

    # ------------------------------------------------------------------------------------------------- deeds

    def _deploy(self, content: Any, name: Any, project: Any, variables: dict[str, str], *services: str) -> str:
        data = _checked_content(content)
        stack = self._stack(name, project or name)
        fresh = not stack.folder.exists()
        stack.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, draft_name = tempfile.mkstemp(suffix=".yml", prefix=".draft-", dir=stack.folder)
        draft = Path(draft_name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            checked = ["--file", draft_name, "--project-name", stack.project, "config", "--quiet"]
            self._run(checked, stack.folder, LOOK_TIMEOUT_S, variables)
            draft.replace(stack.file)
        finally:
            draft.unlink(missing_ok=True)
            if fresh and not stack.file.exists():
                with suppress(OSError):
                    stack.folder.rmdir()
        (stack.folder / PROJECT_FILE).write_text(stack.project, encoding="utf-8")
        wanted = stack.arguments("up", "--detach", "--remove-orphans", *services)
        self._run(wanted, stack.folder, DEPLOY_TIMEOUT_S, variables)
        log.info("deployed stack %s as project %s", stack.name, stack.project)
        return f"Stack {stack.name} is deployed (project {stack.project}, {stack.file})."

    def _deploy_default(self) -> str:
        settings = self._loaded()
        password = settings.redis_password.get_secret_value() if settings.redis_password else ""
        if not password:
            raise StackError(
                "the default stack needs a password for its store; set REDIS_PASSWORD in the environment or in .env"
            )
        if _UNFIT_IN_PASSWORD.search(password):
            raise StackError('REDIS_PASSWORD holds ", \\ or a control character, which the store cannot be given')
        content = files("venom_core.infrastructure").joinpath(COMPOSE_FILE).read_text(encoding="utf-8")
        variables = {"REDIS_PASSWORD": password, "REDIS_PORT": str(settings.redis_port)}
        done = self._deploy(content, DEFAULT_STACK, DEFAULT_STACK, variables, DEFAULT_SERVICE)
        return f"{done} Its store listens on 127.0.0.1:{settings.redis_port} and wants your REDIS_PASSWORD."

    def _destroy(self, name: Any, project: Any, *, volumes: bool, folder: bool) -> str:
        stack = self._known(name, project)
        options = ["--remove-orphans", *(["--volumes"] if volumes else [])]
        # What a profile switched on is ended as well.
        self._run(stack.arguments("--profile", "*", "down", *options), stack.folder, CHANGE_TIMEOUT_S)
        if folder:
            shutil.rmtree(stack.folder)
        log.info("destroyed stack %s of project %s", stack.name, stack.project)
        kept = "its volumes are gone too" if volumes else "its volumes are kept"
        return f"Stack {stack.name} is destroyed, {kept}{', and its folder is removed' if folder else ''}."

    def _logs(self, name: Any, service: Any, project: Any, tail: Any) -> str:
        stack = self._known(name, project)
        if not isinstance(service, str) or not _SERVICE.fullmatch(service):
            raise StackError(f"a service's name is 1 to 128 letters, digits, '.', '_' or '-', not {service!r:.60}")
        if type(tail) is not int or not 1 <= tail <= LOG_LINES_MAX:
            raise StackError(f"tail is a number of lines from 1 to {LOG_LINES_MAX:,}, not {tail!r:.60}")
        wanted = stack.arguments("logs", "--no-color", "--no-log-prefix", "--tail", str(tail), service)
        return self._run(wanted, stack.folder, LOOK_TIMEOUT_S)

    def _status(self, name: Any, project: Any) -> dict[str, Any]:
        stack = self._known(name, project)
        rows = read_rows(self._run(stack.arguments("ps", "--all", "--format", "json"), stack.folder, LOOK_TIMEOUT_S))
        services = [
            {
                "service": str(row.get("Service", "")),
                "container": str(row.get("Name", "")),
                "state": str(row.get("State", "")),
                "health": str(row.get("Health", "")),
                "exit_code": row.get("ExitCode"),
            }
            for row in rows
        ]
        up = sum(service["state"] == "running" for service in services)
        return {
            "stack_name": stack.name,
            "project": stack.project,
            "status": "stopped" if not up else "running" if up == len(services) else "degraded",
            "services": services,
            "details": "\n".join(f"{service['service']}: {service['state']}" for service in services),
        }

    def _running(self) -> list[dict[str, Any]]:
        if not self.stacks_dir.is_dir():
            return []
        rows = read_rows(self._run(["ls", "--format", "json"], self.stacks_dir, LOOK_TIMEOUT_S))
        ours = {str(self.stacks_dir / name / COMPOSE_FILE): name for name in self._names()}
        return [
            {
                "name": ours[file],
                "project": str(row.get("Name", "")),
                "path": str(Path(file).parent),
                "compose_file": file,
                "status": str(row.get("Status", "")),
            }
            for row in rows
            for file in str(row.get("ConfigFiles", "")).split(",")
            if file in ours
        ]

    # ------------------------------------------------------------------------------------------------- shared

    def _run(
        self, arguments: list[str], folder: Path, timeout_s: float, variables: dict[str, str] | None = None
    ) -> str:
        """What compose printed, without the hive's secrets; so is the `StackError` it raises."""
        settings = self._loaded()
        if variables is None:
            given = settings.redis_password
            variables = {"REDIS_PASSWORD": given.get_secret_value() if given else _ANY_PASSWORD}
        within_s = self._timeout_s or timeout_s
        try:
            printed = self._compose.run(arguments, folder=folder, timeout_s=within_s, variables=variables)
        except StackError as fault:
            raise StackError(_without_secrets(str(fault), settings)) from None
        return _without_secrets(printed, settings)

    def _loaded(self) -> Settings:
        """The settings given, or those of the environment and `.env` as they are now."""
        return self._settings or Settings.load()

    def _stack(self, name: Any, project: Any) -> _Stack:
        for what, given in (("stack", name), ("project", project)):
            if not isinstance(given, str) or not _NAME.fullmatch(given):
                raise StackError(
                    f"a {what}'s name is 1 to 63 of a-z, 0-9, '_' and '-', beginning with a letter or digit, "
                    f"not {given!r:.60}"
                )
        folder = self.stacks_dir / name
        if folder.is_symlink():
            raise StackError(f"{folder} is a symbolic link; a stack has a folder of its own")
        return _Stack(name, project, folder)

    def _known(self, name: Any, project: Any) -> _Stack:
        """A stack that was deployed, under the project given or the one of its last deployment."""
        stack = self._stack(name, project or name)
        if not stack.file.is_file():
            there = ", ".join(self._names()) or "none"
            raise StackError(f"there is no stack {name!r} in {self.stacks_dir}; there are: {there}")
        if project:
            return stack
        with suppress(FileNotFoundError):
            return self._stack(name, (stack.folder / PROJECT_FILE).read_text(encoding="utf-8", errors="replace"))
        return stack

    def _names(self) -> list[str]:
        if not self.stacks_dir.is_dir():
            return []
        return sorted(folder.name for folder in self.stacks_dir.iterdir() if (folder / COMPOSE_FILE).is_file())

    def _answer(self, deed: Callable[[], str]) -> tuple[bool, str]:
        """What the deed says, or why it failed."""
        try:
            return True, deed()
        except (StackError, InvalidSetting) as fault:
            return False, str(fault)
        except OSError as fault:
            return False, f"{fault.filename or self.stacks_dir}: {fault.strerror or fault}"


def _without_secrets(text: str, settings: Settings) -> str:
    """Text of docker's, which was given our environment and may say anything."""
    forms = {form for plain in settings.secrets() for form in (plain, quote(plain, safe=""), json.dumps(plain)[1:-1])}
    for form in sorted(forms, key=len, reverse=True):  # one may be the beginning of another
        text = text.replace(form, "***")
    return text


def _checked_content(content: Any) -> bytes:
    """A compose file's text as bytes; what it means is compose's to judge."""
    if not isinstance(content, str) or not content.strip():
        raise StackError(f"compose_content is the text of a compose file, not {content!r:.60}")
    try:
        data = content.encode()
    except UnicodeEncodeError:
        raise StackError("compose_content holds half a character, which no file can carry") from None
    if len(data) > COMPOSE_BYTES_MAX:
        raise StackError(f"compose_content has {len(data):,} bytes; at most {COMPOSE_BYTES_MAX:,} are allowed")
    return data
