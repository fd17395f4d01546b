"""What all commands share: one sentence for an error, common options, a connected broker."""

from __future__ import annotations

import asyncio
import errno
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import click

from venom_core.commands.screen import Listing, keep_showing, print_listing
from venom_core.config import Settings
from venom_core.demo.path_text import printable
from venom_core.errors import InvalidSetting, InvalidTask, StoreUnavailable, VenomError
from venom_core.infrastructure.message_broker import MessageBroker

# Exit codes, beside click's own 2 for a command that is used wrongly and 130 for Ctrl-C.
OK, FAILED, NOT_YET = 0, 1, 3
WATCH_S = 2.0
DEBUG = "venom_core.debug"

BrokerWork = Callable[[MessageBroker], Awaitable[int]]
BrokerLook = Callable[[MessageBroker], Awaitable[Listing]]


def _remember_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[DEBUG] = True


def debug_option() -> click.Option:
    """`--debug`, which every command has."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=_remember_debug,
        help="Show the traceback of an error.",
    )


class Commands(click.Group):
    """Every error of ours is one sentence and exit code 1; click's own usage errors are 2."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """A command, with `--debug`."""
        if not isinstance(cmd, click.Group):
            cmd.params.append(debug_option())
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a traceback is shown only to who asked for it."""
        try:
            return super().invoke(ctx)
        except VenomError as fault:
            hint = (
                ' Find the one of this machine with: eval "$(venom server start)". Start a hive with: venom up'
                if isinstance(fault, StoreUnavailable) and "reached" in str(fault)
                else ""
            )
            self._fail(ctx, f"{fault}{hint}")
        except KeyboardInterrupt:
            ctx.exit(130)
        except (click.ClickException, click.exceptions.Exit, click.Abort, RecursionError):
            raise
        except Exception as fault:
            if isinstance(fault, OSError) and fault.errno == errno.EPIPE:
                raise  # click ends quietly when nobody reads any more
            self._fail(ctx, f"{type(fault).__name__}: {fault}; run it again with --debug and report what it shows")

    @staticmethod
    def _fail(ctx: click.Context, sentence: str) -> None:
        if ctx.meta.get(DEBUG):
            click.echo(traceback.format_exc(), err=True, nl=False)
        click.echo(f"venom: {printable(sentence)}", err=True)
        ctx.exit(FAILED)


redis_url_option = click.option("--redis-url", metavar="URL", help="Where the hive's Redis is (default: REDIS_URL).")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
watch_option = click.option(
    "--watch",
    is_flag=False,
    flag_value=str(WATCH_S),
    type=click.FloatRange(0.1, 3600),
    metavar="[S]",
    help=f"Show it again every S seconds ({WATCH_S:g}), until Ctrl-C.",
)
task_argument = click.argument("task_id", metavar="ID")


def listing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`, `--watch` and `--redis-url`, as `as_json`, `watch` and `redis_url`."""
    return json_option(watch_option(redis_url_option(command)))


def with_broker(redis_url: str | None, work: BrokerWork) -> None:
    """Connect, do the work, leave with its exit code."""

    async def connected() -> int:
        async with MessageBroker(settings_at(redis_url)) as broker:
            return await work(broker)

    click.get_current_context().exit(asyncio.run(connected()))


def show(look: BrokerLook, *, redis_url: str | None, as_json: bool, watch: float | None) -> None:
    """Print a listing, once or again and again."""

    async def work(broker: MessageBroker) -> int:
        if watch is None:
            print_listing(await look(broker), as_json=as_json)
        else:
            await keep_showing(lambda: look(broker), watch, as_json=as_json)
        return OK

    with_broker(redis_url, work)


def settings_at(redis_url: str | None, **overrides: Any) -> Settings:
    """The settings, with another address if one is given; `InvalidSetting` also if the hive is switched off."""
    settings = Settings.load(**({"redis_url": redis_url} if redis_url else {}), **overrides)
    if not settings.enable_hive:
        raise InvalidSetting("The hive is switched off; set ENABLE_HIVE=true to use it.")
    return settings


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone; where nobody can answer, `--yes` has to stand."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Nobody can answer here: repeat it with --yes.")
    click.confirm(question, abort=True, err=True)


def json_object(what: str, text: str | bytes) -> dict[str, Any]:
    """A JSON object in text; `InvalidTask`."""
    try:
        value = json.loads(text)
    except ValueError as fault:
        raise InvalidTask(f"{what} is not JSON: {fault}") from None
    except RecursionError:
        raise InvalidTask(f"{what} is nested too deeply") from None
    if not isinstance(value, dict):
        raise InvalidTask(f'{what} must be a JSON object such as {{"url": "x"}}, not {type(value).__name__}')
    return value


def pairs(words: tuple[str, ...]) -> dict[str, Any]:
    """`name=value` words as an object: a value that is JSON is what it says, everything else is text."""
    found: dict[str, Any] = {}
    for given in words:
        name, sign, value = given.partition("=")
        if not sign or not name:
            raise click.UsageError(f"An argument is name=value, such as url=https://a.org, not {given!r:.80}.")
        if name in found:
            raise click.UsageError(f"{name!r:.80} is given twice.")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text
