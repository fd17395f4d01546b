"""What the commands of `venom ota` share: the folder of whoever signs, its passphrase, and the modules behind them.

Those modules need python-tuf, which is an extra and takes a tenth of a second to load: they are imported when the first
command asks for them, and a command without the extra ends with one sentence.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from venom_core.commands.frame import OK, with_broker
from venom_core.commands.screen import several
from venom_core.config import Settings
from venom_core.domain.order import UPDATE
from venom_core.errors import InputError
from venom_core.infrastructure.message_broker import MessageBroker

if TYPE_CHECKING:
    from venom_core.ota.repository import Repository

keys_option = click.option(
    "--keys",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="A further folder in which keys lie, such as a stick's; may be repeated.",
)

tell_option = click.option("--tell", is_flag=True, help="Then tell the Spores of the hive to look at once.")


def tell_spores(redis_url: str | None) -> None:
    """Tell every Spore to look for updates now; what it finds is decided by what is signed."""

    async def work(broker: MessageBroker) -> int:
        heard = await broker.broadcast_control(UPDATE, {})
        click.echo(f"{several(heard, 'listener')} heard it; only Spores whose venom-launcher has joined will look")
        return OK

    with_broker(redis_url, work)


def part(name: str) -> Any:
    """A module of `venom_core.ota` that needs the extra `ota`; MissingExtra without it."""
    return importlib.import_module(f"venom_core.ota.{name}")


def repository(keys: tuple[Path, ...] = (), *, new: bool = False) -> Repository:
    """The repository in HIVE_OTA_HOME; its passphrase is asked for when a key needs it, twice for a new one."""
    settings = Settings.load()
    given = settings.hive_ota_passphrase
    asks: Callable[[], str] = lambda: _asked(new=new)  # noqa: E731 - a partial would lose the keyword's type
    made: Repository = part("repository").Repository(Path(settings.hive_ota_home), given or asks, keys=keys)
    return made


def _asked(*, new: bool) -> str:
    if not sys.stdin.isatty():
        raise InputError("the offline keys need their passphrase, and nobody can be asked; give HIVE_OTA_PASSPHRASE")
    said: str = click.prompt("Passphrase of the offline keys", hide_input=True, confirmation_prompt=new, err=True)
    return said
