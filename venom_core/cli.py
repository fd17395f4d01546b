"""`venom`: the command line. Its commands stand in `venom_core.commands`."""

from __future__ import annotations

import logging

import click

from venom_core import __version__
from venom_core.commands.audit import audit
from venom_core.commands.bench import bench
from venom_core.commands.completion import completion
from venom_core.commands.config import config
from venom_core.commands.demo import demo
from venom_core.commands.dlq import dlq
from venom_core.commands.doctor import doctor
from venom_core.commands.frame import Commands
from venom_core.commands.hive import broadcast, queues, status
from venom_core.commands.mapping import map_items
from venom_core.commands.nodes import node, nodes
from venom_core.commands.ota import ota
from venom_core.commands.server import server
from venom_core.commands.submit import submit
from venom_core.commands.tasks import explain, task
from venom_core.commands.top import top
from venom_core.commands.up import up


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="venom")
def main() -> None:
    """Use a Venom Hive from the command line."""
    logging.basicConfig(level=logging.ERROR, format="venom: %(message)s")
    # A setting that is not one was a slip of whoever reads this.
    logging.getLogger("venom.config").setLevel(logging.WARNING)


COMMANDS = (
    *(up, server, submit, map_items, task, explain, nodes, node, queues, dlq, status, broadcast),
    *(audit, top, doctor, bench, config, completion, demo, ota),
)
for command in COMMANDS:
    main.add_command(command)

if __name__ == "__main__":
    main()
