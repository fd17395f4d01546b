"""What all commands share: one sentence for an error, a connected broker, tables and JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from venom_core.config import Settings
from venom_core.demo.path_text import printable
from venom_core.errors import InvalidSetting, VenomError
from venom_core.infrastructure.message_broker import MessageBroker

# Wide enough that nothing is cut where nobody looks at a screen.
PIPE_COLUMNS = 1_000

BrokerWork = Callable[[MessageBroker], Awaitable[int]]


class Commands(click.Group):
    """Every error of ours is one sentence and exit code 1; click's own usage errors are 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, without a traceback for what went wrong on purpose."""
        try:
            return super().invoke(ctx)
        except VenomError as fault:
            click.echo(f"venom: {fault}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            ctx.exit(130)


redis_url_option = click.option("--redis-url", metavar="URL", help="Where the hive's Redis is (default: REDIS_URL).")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def with_broker(redis_url: str | None, work: BrokerWork) -> None:
    """Connect, do the work, leave with its exit code."""

    async def connected() -> int:
        async with MessageBroker(settings_at(redis_url)) as broker:
            return await work(broker)

    click.get_current_context().exit(asyncio.run(connected()))


def settings_at(redis_url: str | None) -> Settings:
    """The settings, with another address if one is given; `InvalidSetting` also if the hive is switched off."""
    settings = Settings.load(**({"redis_url": redis_url} if redis_url else {}))
    if not settings.enable_hive:
        raise InvalidSetting("The hive is switched off; set ENABLE_HIVE=true to use it.")
    return settings


def print_json(data: Any) -> None:
    """Print data as JSON."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns; whole, where it is not a screen."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPE_COLUMNS
    table = Table(*columns, box=None, padding=(0, 3, 0, 0), header_style="bold")
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    console.print(table)
