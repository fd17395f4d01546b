"""All built-in skills: `venom-spore` installs `skills` when it is given no others.

    venom-spore --skills venom_spore.builtin.skill_set:skills,myapp.tasks:skills

The settings are read once, here, and handed down.
"""

from __future__ import annotations

import logging
from pathlib import Path

from venom_core.config import Settings
from venom_spore.builtin.agent import Agent
from venom_spore.builtin.files import Files
from venom_spore.builtin.of_items import OfItems
from venom_spore.builtin.pages import Pages
from venom_spore.builtin.scan import Scan
from venom_spore.builtin.shell import Shell
from venom_spore.builtin.web import Web
from venom_spore.builtin.workspace import Workspace
from venom_spore.skills import SkillSet

# At INFO it tells every address that it asks, and an address may hold somebody's secret.
logging.getLogger("httpx").setLevel(logging.WARNING)


class _Parts:
    """What the skills are made of, under one set of settings."""

    def __init__(self, settings: Settings) -> None:
        self.web = Web(settings)
        self.pages = Pages(self.web)
        workspace = Workspace(Path(settings.hive_workspace), settings.hive_file_bytes_max)
        self.files = Files(workspace)
        self.scan = Scan(workspace)
        self.shell = Shell(workspace, enabled=settings.hive_shell_enabled)


def tools(settings: Settings) -> SkillSet:
    """The skills that do one plain thing each, for models and for `SkillExecutor`."""
    parts = _Parts(settings)
    made = SkillSet()
    made.skill(parts.web.fetch)
    made.skill(parts.pages.extract)
    made.skill(parts.pages.summarise)
    made.skill(parts.files.read_file)
    made.skill(parts.scan.scan_path)
    made.include(_common(parts))
    return made


def built_in(settings: Settings) -> SkillSet:
    """All skills as a Spore has them: they take items of a map-reduce too, and the agent skill is among them."""
    parts = _Parts(settings)
    made = SkillSet()
    items = OfItems(parts.web, parts.pages, parts.files, parts.scan)
    made.skill(items.fetch)
    made.skill(items.extract)
    made.skill(items.summarise)
    made.skill(items.read_file)
    made.skill(items.scan_path)
    made.include(_common(parts))
    agent = Agent(settings, tools(settings))
    made.skill(agent.map_task)
    made.skill(agent.parallel_task)
    return made


def _common(parts: _Parts) -> SkillSet:
    """The skills that are the same for both."""
    made = SkillSet()
    made.skill(parts.files.write_file)
    made.skill(parts.files.list_files)
    made.skill(parts.shell.shell)
    return made


skills = built_in(Settings.load())
