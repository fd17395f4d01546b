"""All built-in skills: `venom-spore` installs `skills` when it is given no others.

    venom-spore --skills venom_spore.builtin.skill_set:skills,myapp.tasks:skills

The settings are read once, here, and handed down.
"""

from __future__ import annotations

from pathlib import Path

from venom_core.config import Settings
from venom_spore.builtin.agent import Agent
from venom_spore.builtin.files import Files
from venom_spore.builtin.pages import Pages
from venom_spore.builtin.scan import Scan
from venom_spore.builtin.shell import Shell
from venom_spore.builtin.web import Web
from venom_spore.builtin.workspace import Workspace
from venom_spore.skills import SkillSet


def tools(settings: Settings) -> SkillSet:
    """The skills that do one plain thing each, under these settings."""
    web = Web(settings)
    pages = Pages(web)
    workspace = Workspace(Path(settings.hive_workspace), settings.hive_file_bytes_max)
    files = Files(workspace)
    made = SkillSet()
    made.skill("fetch")(web.fetch)
    made.skill("extract")(pages.extract)
    made.skill("summarise")(pages.summarise)
    made.skill("read_file")(files.read_file)
    made.skill("write_file")(files.write_file)
    made.skill("list_files")(files.list_files)
    made.skill("scan_path")(Scan(workspace).scan_path)
    made.skill("shell")(Shell(workspace, enabled=settings.hive_shell_enabled).shell)
    return made


def built_in(settings: Settings) -> SkillSet:
    """The tools, and the agent skill that uses them."""
    made = tools(settings)
    agent = Agent(settings, tools(settings))
    made.skill("map_task")(agent.map_task)
    made.skill("parallel_task")(agent.parallel_task)
    return made


skills = built_in(Settings.load())
