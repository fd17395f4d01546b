"""`venom up`: a whole hive in one terminal, and the line that brings a second machine into it."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import click
from rich.console import Console
from rich.text import Text

from venom_core.commands.addresses import ALL_NETWORKS, check_bind, own_addresses, shown_to_others
from venom_core.commands.children import Children
from venom_core.commands.frame import FAILED, OK, redis_url_option, settings_at
from venom_core.commands.kept_secrets import CHARACTERS_MIN, PASSWORD, TOKEN, find_secret, keep_secret
from venom_core.commands.only_one import only_one
from venom_core.commands.screen import console, several
from venom_core.commands.server import data_option, default_data, named_url
from venom_core.commands.server_keeper import ServerKeeper
from venom_core.config import Settings, child_environment
from venom_core.demo.path_text import printable
from venom_core.domain.node import NodeState, check_name
from venom_core.errors import InputError, StoreUnavailable, VenomError
from venom_core.event_loop import end_tasks, overlook
from venom_core.infrastructure.embedded import EmbeddedServer, ServerOptions, ensure_server
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.redis_address import REDIS_PORT, parse_address
from venom_spore.main import BUILT_IN
from venom_spore.skills import load_skills

SPORES_MAX = 64
LOOK_S = 0.1
LOOPBACK = frozenset({"127.0.0.1", "::1", "-::1"})
COLOURS = ("cyan", "magenta", "green", "blue")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to run; `address` is how other machines call the server, `token` what they need as well."""

    spores: int
    skills: str
    prefix: str
    folder: Path
    url: str | None
    options: ServerOptions
    address: str = ""
    token: str | None = field(default=None, repr=False)


@click.command()
@click.option("--spores", type=click.IntRange(1, SPORES_MAX), default=1, show_default=True, help="How many Spores.")
@click.option(
    "--skills", default=BUILT_IN, metavar="pkg.module:skills", help="What they can do (default: the built-in skills)."
)
@click.option(
    "--name", "prefix", default="spore", show_default=True, help="What they are called, with a number behind."
)
@data_option
@click.option("--bind", metavar="ADDR", help="Let other machines reach the server at this address of this machine.")
@click.option("--port", type=click.IntRange(1, 65535), help=f"Port for --bind (default: {REDIS_PORT}).")
@click.option(ALL_NETWORKS, "all_networks", is_flag=True, help="Allow --bind of 0.0.0.0 or of a public address.")
@redis_url_option
@click.pass_context
def up(
    context: click.Context,
    spores: int,
    skills: str,
    prefix: str,
    data: Path | None,
    bind: str | None,
    port: int | None,
    all_networks: bool,
    redis_url: str | None,
) -> None:
    """Start a hive here: the embedded server, a Nexus and Spores, until Ctrl-C ends them all.

    A second Ctrl-C does not wait for running tasks. If REDIS_URL or --redis-url names a server, that one is used.
    """
    settings = settings_at(redis_url)
    folder = (data or default_data()).absolute()
    check_name(prefix)
    if bind is None:
        if port or all_networks:
            raise click.UsageError(f"--port and {ALL_NETWORKS} go with --bind.")
        url = named_url(settings, folder, given=bool(redis_url)) if redis_url or not data else None
        token = None if url or settings.nexus_shared_token else find_secret(folder, TOKEN)
        wanted = Wanted(spores, skills, prefix, folder, url, ServerOptions(), token=token)
    elif redis_url:
        raise click.UsageError("--bind is for a server that is started here; leave --redis-url out.")
    else:
        wanted = _open_to_others(settings, folder, bind, port or REDIS_PORT, all_networks, (spores, skills, prefix))
    load_skills(wanted.skills)  # a slip of the pen is told before anything is started
    # At a server that is named by its address there may be as many as there are names.
    with only_one(folder) if wanted.url is None else nullcontext():
        binary = settings.venom_redis_server
        server = ensure_server(folder, url=wanted.url, server_binary=binary, options=wanted.options)
        keeper = ServerKeeper(server, wanted.options, binary)
        try:
            code = asyncio.run(_Household(wanted, settings, keeper).run())
        finally:
            keeper.stop()
    context.exit(code)


def _open_to_others(
    settings: Settings, folder: Path, bind: str, port: int, all_networks: bool, nodes: tuple[int, str, str]
) -> Wanted:
    """A server with a strong password on an address of this machine, and a token for the hive."""
    own = own_addresses()
    address = check_bind(bind, own, all_networks=all_networks)
    password = settings.redis_password.get_secret_value() if settings.redis_password else ""
    if password and len(password) < CHARACTERS_MIN:
        raise InputError(
            f"REDIS_PASSWORD has {len(password)} characters, and a server that others reach needs {CHARACTERS_MIN}; "
            "leave it out, and a strong one is made"
        )
    token = settings.nexus_shared_token.get_secret_value() if settings.nexus_shared_token else ""
    options = ServerOptions(bind=str(address), port=port, password=password or keep_secret(folder, PASSWORD))
    token = token or keep_secret(folder, TOKEN)
    return Wanted(*nodes, folder, None, options, shown_to_others(address, own), token)


class _Household:
    """The processes of one `venom up`, from start to end."""

    def __init__(self, wanted: Wanted, settings: Settings, keeper: ServerKeeper) -> None:
        server = keeper.server
        if wanted.address and not server.url.endswith(f":{wanted.options.port}/0"):
            raise InputError(
                f"A server runs in {wanted.folder} already, and not at port {wanted.options.port}; stop it with: "
                "venom server stop"
            )
        self._wanted, self._keeper = wanted, keeper
        secret = {"nexus_shared_token": wanted.token} if wanted.token else {}
        self._settings = settings_at(server.url, **secret)
        self._given = settings
        self._screen = console()
        self._stopped, self._forced = asyncio.Event(), asyncio.Event()
        self._given_up = False
        self._children = Children(self._environment(), self._say, ready=keeper.ready)

    @property
    def _server(self) -> EmbeddedServer:
        return self._keeper.server

    def _environment(self) -> Mapping[str, str]:
        extra = {"REDIS_URL": self._server.url, "PYTHONUNBUFFERED": "1"}
        return child_environment(**extra, **({"NEXUS_SHARED_TOKEN": self._wanted.token} if self._wanted.token else {}))

    async def run(self) -> int:
        """Start, wait for Ctrl-C or until nothing is left, end all; the exit code."""
        code = await self._run()
        return FAILED if self._given_up else code

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        stopped = asyncio.create_task(self._stopped.wait())
        work = asyncio.create_task(self._work())
        kept = asyncio.create_task(self._keep_server())
        try:
            await asyncio.wait([stopped, work, kept], return_when=asyncio.FIRST_COMPLETED)
            if kept.done():
                kept.result()
                overlook(work)  # what fails without a server has been told with it
                return FAILED
            if work.done():
                work.result()
                self._print("Nothing runs any more.")
        except VenomError as fault:
            _complain(fault)
            return FAILED
        else:
            return OK
        finally:
            if self._stopped.is_set():
                seconds = self._given.hive_drain_timeout
                self._print(f"Stopping: running tasks have {seconds:g} s to end; Ctrl-C again does not wait for them.")
            # First, so that nothing is started any more while all are told to leave.
            await end_tasks(work)
            await self._children.close(self._forced)
            # Last, so that what is handed back on leaving has a server.
            await end_tasks(stopped, kept)
            await self._keeper.close()
            self._print("All ended." if self._server.started_here else "All ended; the server runs on.")

    def _on_signal(self) -> None:
        if self._stopped.is_set():
            self._forced.set()
        self._stopped.set()

    async def _keep_server(self) -> None:
        """Until there is no server and none to be had: nobody can hand anything back then, so nobody is waited for."""
        try:
            await self._keeper.keep(self._say)
        except VenomError as fault:
            _complain(fault)
            self._given_up = True
            self._forced.set()

    async def _work(self) -> None:
        """Start everything, say how to go on, and wait until nothing is left."""
        wanted = self._wanted
        async with MessageBroker(self._settings) as broker:
            if self._server.pid:
                await self._check_reach(broker)
            names = [f"{wanted.prefix}-{number}" for number in range(1, wanted.spores + 1)]
            await self._children.start(f"{wanted.prefix}-nexus", "venom_core.nexus", "--name", f"{wanted.prefix}-nexus")
            for name in names:
                command = ("venom_spore.main", "--name", name, "--skills", wanted.skills)
                await self._children.start(name, *command, own=self._audit_of(name))
            ends = asyncio.create_task(self._children.ended())
            try:
                skills = await self._until_online(broker, set(names), ends)
                self._announce(skills)
                await ends
            finally:
                await end_tasks(ends)

    def _audit_of(self, name: str) -> Mapping[str, str]:
        """The file that HIVE_AUDIT_FILE names is that of the Nexus; a Spore has one of its own beside it."""
        named = self._given.hive_audit_file
        return {"HIVE_AUDIT_FILE": str(audit_beside(Path(named), name))} if named else {}

    async def _check_reach(self, broker: MessageBroker) -> None:
        """A server that ran already may listen elsewhere than is wanted, or to more than anybody knows."""
        found = await broker.hive.link.command("CONFIG", "GET", "bind", "port")
        facts = dict(zip(found[::2], found[1::2], strict=True))
        addresses = facts[b"bind"].decode().split() if facts[b"port"] != b"0" else []
        wanted = self._wanted.options
        given = parse_address(self._server.url).password
        if self._wanted.address and (addresses != [wanted.bind] or given != wanted.password):
            raise InputError(
                f"A server runs in {self._wanted.folder} already, at {' '.join(addresses)} and perhaps with another "
                "password; stop it with: venom server stop"
            )
        if not self._wanted.address and any(address not in LOOPBACK for address in addresses):
            self._print(f"The server that runs already is open to other machines, at {' '.join(addresses)}.")

    async def _until_online(self, broker: MessageBroker, names: set[str], ends: asyncio.Task[None]) -> list[str]:
        """The skills of the Spores, once all are online; nothing if they have ended before."""
        while not ends.done():
            nodes = {node.profile.name: node.profile for node in await self._nodes(broker) if node.online}
            if names <= nodes.keys():
                return sorted({skill for name in names for skill in nodes[name].skills})
            await asyncio.wait([ends], timeout=LOOK_S)
        ends.result()
        return []

    async def _nodes(self, broker: MessageBroker) -> list[NodeState]:
        """The nodes of the hive; none while a server that is looked after is away."""
        try:
            return await broker.hive.nodes.all()
        except StoreUnavailable:
            if not self._server.started_here:
                raise
            return []

    def _announce(self, skills: list[str]) -> None:
        wanted, server = self._wanted, self._server
        where = f"process {server.pid}, files in {wanted.folder}" if server.pid else "the one of REDIS_URL"
        spores = several(wanted.spores, "Spore")
        self._print(f"The hive is up: server ({where}), a Nexus, {spores} with the skills {', '.join(skills)}.")
        if server.pid:
            place = "" if wanted.folder == default_data() else f" --data {shlex.quote(str(wanted.folder))}"
            self._print(f'In another terminal: eval "$(venom server start{place})", then venom --help.')
        if wanted.address:
            for line in _invitation(wanted, self._given):
                self._print(line)
        self._print("Ctrl-C ends it all.")

    def _print(self, line: str) -> None:
        self._screen.print(Text(line, style="bold"), soft_wrap=True)

    def _say(self, name: str, line: str) -> None:
        _echo(self._screen, name, line)


def audit_beside(path: Path, name: str) -> Path:
    """The audit of one Spore beside that of the Nexus: of audit.jsonl and spore-1, audit-spore-1.jsonl."""
    return path.with_name(f"{path.stem}-{name}{path.suffix}")


def _complain(fault: VenomError) -> None:
    click.echo(f"venom: {printable(str(fault))}", err=True)


def _echo(screen: Console, name: str, line: str) -> None:
    """A line of a process, its name in front in a colour of its own."""
    colour = COLOURS[sum(name.encode()) % len(COLOURS)]
    text = printable(line.replace("\t", "    "))
    screen.print(Text.assemble((f"{name} | ", colour), text), soft_wrap=True)


def _invitation(wanted: Wanted, settings: Settings) -> list[str]:
    """What to paste on the next machine. In front of the command, where no list of processes shows it."""
    host = f"[{wanted.address}]" if ":" in wanted.address else wanted.address
    url = f"redis://:{quote(wanted.options.password, safe='')}@{host}:{wanted.options.port}/0"
    given = {"REDIS_URL": url, "NEXUS_SHARED_TOKEN": wanted.token or ""}
    if settings.hive_namespace != "venom":
        given["HIVE_NAMESPACE"] = settings.hive_namespace
    words = [f"{name}={shlex.quote(value)}" for name, value in given.items()]
    return [
        "On the next machine, where the same skills are installed, paste this one line:",
        " ".join([*words, "venom-spore", "--skills", shlex.quote(wanted.skills)]),
        "It holds the hive's secrets: whoever has them can give it work. Trusted networks only until TLS is set up:",
        f"nothing is encrypted on the wire. Let a firewall admit only your machines to port {wanted.options.port}.",
    ]
