"""`venom server`: the embedded server alone, in the background."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import click

from venom_core.commands.frame import Commands, redis_url_option, settings_at
from venom_core.commands.kept_secrets import TOKEN, find_secret
from venom_core.config import Settings
from venom_core.errors import InputError
from venom_core.infrastructure.embedded import EmbeddedServer, ServerOptions, ensure_server, find_server
from venom_core.infrastructure.message_broker import MessageBroker

data_option = click.option(
    "--data", type=click.Path(path_type=Path), help="Folder of its files (default: ~/.local/share/venom-hive)."
)


def default_data() -> Path:
    """Where the server keeps its files if nobody says so."""
    return Path.home() / ".local" / "share" / "venom-hive"


def named_url(settings: Settings, folder: Path, *, given: bool) -> str | None:
    """The server that is named by REDIS_URL, unless an earlier line to export put our own there; None = ours."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    own = find_server(folder)
    if url and not given and (url.startswith(f"unix://{folder}/") or (own is not None and own.url == url)):
        return None
    return url


@click.group(cls=Commands)
def server() -> None:
    """The embedded server alone, in the background; `venom up` starts a whole hive."""


@server.command()
@data_option
@click.option("--port", type=click.IntRange(1, 65535), help="Listen on this port of 127.0.0.1, with a password.")
@redis_url_option
def start(data: Path | None, port: int | None, redis_url: str | None) -> None:
    """Start it, or find the running one, and print what to export.

    Without --port it listens on a socket that only you can enter. If REDIS_URL or --redis-url names a server,
    that one is used and nothing is started; --data and --port win over REDIS_URL.
    """
    settings = settings_at(redis_url)
    folder = (data or default_data()).absolute()
    url = named_url(settings, folder, given=bool(redis_url)) if redis_url or not (data or port) else None
    options = ServerOptions(loopback=port is not None, port=port or 0)
    running = ensure_server(folder, url=url, server_binary=settings.venom_redis_server, options=options)
    if port is not None and not running.url.endswith(f":{port}/0"):
        raise InputError(
            f"A server runs in {folder} already, elsewhere than at port {port}; stop it with: venom server stop"
        )
    token = None if running.pid is None else find_secret(folder, TOKEN)
    asyncio.run(_check(running, token))
    click.echo(_what_is_up(running, folder), err=True)
    click.echo(f"export REDIS_URL={shlex.quote(running.url)}")
    if token:
        click.echo(f"export NEXUS_SHARED_TOKEN={shlex.quote(token)}")


async def _check(running: EmbeddedServer, token: str | None) -> None:
    """A server that answers and is fit for a hive; raises what `MessageBroker.open` raises."""
    async with MessageBroker(settings_at(running.url, **({"nexus_shared_token": token} if token else {}))):
        pass


def _what_is_up(running: EmbeddedServer, folder: Path) -> str:
    if running.pid is None:
        return "# The server of REDIS_URL answers; nothing was started."
    started = "started" if running.started_here else "runs already"
    where = "" if folder == default_data() else f" --data {shlex.quote(str(folder))}"
    return f"# The server {started}: process {running.pid}, files in {folder}. Stop it with: venom server stop{where}"


@server.command()
@data_option
def stop(data: Path | None) -> None:
    """Stop it; its files stay, and so does what they hold."""
    folder = data or default_data()
    running = find_server(folder)
    if running is None:
        click.echo(f"No server runs in {folder}.")
        return
    running.stop()
    click.echo(f"Stopped the server in {folder} (process {running.pid}).")
