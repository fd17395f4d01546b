"""`venom`: the command line. Its commands stand in `venom_core.commands`."""

from __future__ import annotations

import logging

import click

from venom_core import __version__
from venom_core.commands.dead import dead
from venom_core.commands.demo import demo
from venom_core.commands.frame import Commands
from venom_core.commands.hive import nodes, status
from venom_core.commands.server import down, up
from venom_core.commands.tasks import cancel, enqueue, retry, task


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="venom")
def main() -> None:
    """Use a Venom Hive from the command line."""
    logging.basicConfig(level=logging.ERROR, format="venom: %(message)s")


for command in (up, down, status, nodes, task, enqueue, cancel, retry, dead, demo):
    main.add_command(command)

if __name__ == "__main__":
    main()
