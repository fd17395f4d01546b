"""`venom up` and `venom down`: the embedded server."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import click

from venom_core.commands.frame import redis_url_option, settings_at
from venom_core.errors import InputError
from venom_core.infrastructure.embedded import EmbeddedServer, ServerOptions, ensure_server, find_server
from venom_core.infrastructure.message_broker import MessageBroker

data_option = click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of its files (default: ~/.local/share/venom-hive)."
)


def default_data() -> Path:
    """Where the server keeps its files if nobody says so."""
    return Path.home() / ".local" / "share" / "venom-hive"


@click.command()
@data_option
@click.option("--port", type=click.IntRange(1, 65535), help="Listen on this port of 127.0.0.1, with a password.")
@redis_url_option
def up(data: Path | None, port: int | None, redis_url: str | None) -> None:
    """Start the embedded server, or find the running one, and print the line to export.

    Without --port it listens on a socket that only you can enter. If REDIS_URL or --redis-url names a server,
    that one is used and nothing is started; --data and --port win over REDIS_URL.
    """
    settings = settings_at(redis_url)
    named = settings.redis_url if redis_url or not (data or port) else None
    folder = data or default_data()
    options = ServerOptions(loopback=port is not None, port=port or 0)
    url = named.get_secret_value() if named else None
    if url and not redis_url and url.startswith(f"unix://{folder}/"):
        url = None  # The line that an earlier `venom up` had exported names the server that is ours to start.
    server = ensure_server(folder, url=url, server_binary=settings.venom_redis_server, options=options)
    if port is not None and not server.url.endswith(f":{port}/0"):
        raise InputError(f"A server runs in {folder} already, elsewhere than at port {port}; stop it with: venom down")
    asyncio.run(_check(server))
    click.echo(_what_is_up(server, folder), err=True)
    click.echo(f"export REDIS_URL={shlex.quote(server.url)}")


async def _check(server: EmbeddedServer) -> None:
    """A server that answers and is fit for a hive; raises what `MessageBroker.open` raises."""
    async with MessageBroker(settings_at(server.url)):
        pass


def _what_is_up(server: EmbeddedServer, folder: Path) -> str:
    if server.pid is None:
        return "# The server of REDIS_URL answers; nothing was started."
    started = "started" if server.started_here else "runs already"
    where = "" if folder == default_data() else f" --data {shlex.quote(str(folder))}"
    return f"# The server {started}: process {server.pid}, files in {folder}. Stop it with: venom down{where}"


@click.command()
@data_option
def down(data: Path | None) -> None:
    """Stop the embedded server; its files stay, and so does what they hold."""
    folder = data or default_data()
    server = find_server(folder)
    if server is None:
        click.echo(f"No server runs in {folder}.")
        return
    server.stop()
    click.echo(f"Stopped the server in {folder} (process {server.pid}).")
