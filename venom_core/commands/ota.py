"""`venom ota`: sign new code, publish it, take it back; and have a Spore follow whoever signs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from venom_core.clock import Clock
from venom_core.commands.frame import Commands, json_option, redis_url_option
from venom_core.commands.ota_build import build, shelf_module
from venom_core.commands.ota_frame import keys_option, part, repository, tell_option, tell_spores
from venom_core.commands.ota_status import status
from venom_core.commands.screen import Listing, ago, print_listing, several
from venom_core.errors import InputError

ROLES = ("root", "release", "snapshot", "timestamp")
ID_CHARS_MIN, ID_SHOWN = 8, 12
_CA_BYTES_MAX = 65_536


@click.group(cls=Commands)
def ota() -> None:
    """Signed updates: new code reaches a Spore whole, or nothing changes."""


ota.add_command(build)
ota.add_command(status)


@ota.command()
@click.option("--root-keys", type=click.IntRange(1, 16), default=1, show_default=True, help="Keys of root to make.")
@click.option("--threshold", type=click.IntRange(1, 16), default=1, show_default=True, help="How many must sign.")
def init(root_keys: int, threshold: int) -> None:
    """Make keys and an empty repository in HIVE_OTA_HOME; prints the fingerprint that Spores join with."""
    made = repository(new=True)
    fingerprint = made.init(root_keys, threshold)
    click.echo(fingerprint)
    click.echo(
        f"Take {made.home / 'keys'} to a safe place. A Spore follows with: venom ota join URL {fingerprint}", err=True
    )


@ota.command()
@click.option("--new", "role", type=click.Choice(ROLES), help="Make one more key for this role.")
@keys_option
@json_option
def key(role: str | None, keys: tuple[Path, ...], as_json: bool) -> None:
    """List keys: role, id, how many must sign, age, and whether the private half is here."""
    opened = repository(keys)
    if role is not None:
        made = opened.add_key(role)
        click.echo(made)
        return
    found = part("overview").keys_of(opened, Clock().now_ms())
    rows = [
        (each.role, each.keyid[:ID_SHOWN], f"{each.threshold} of {each.count}", each.age(ago), each.place)
        for each in found
    ]
    data = {"fingerprint": opened.fingerprint(), "keys": [each.as_dict() for each in found]}
    title = f"fingerprint {opened.fingerprint()}"
    print_listing(
        Listing(data, ("role", "key", "must sign", "age", "private half"), rows, title=title), as_json=as_json
    )


@ota.command()
@click.argument("role", type=click.Choice(ROLES))
@click.option(
    "--key",
    "keyid",
    metavar="ID",
    help=f"Replace this key ({ID_CHARS_MIN} characters of its id are enough); else the oldest.",
)
@click.option("--threshold", type=click.IntRange(1, 16), help="Only set how many keys of the role must sign.")
@keys_option
def rotate(role: str, keyid: str | None, threshold: int | None, keys: tuple[Path, ...]) -> None:
    """Put a new key in the place of one of ROLE, sign anew what it signs, and publish; prints the new id."""
    if threshold is not None and keyid is not None:
        raise click.UsageError("Give --key or --threshold, not both.")
    opened = repository(keys)
    if threshold is not None:
        opened.set_threshold(role, threshold)
    else:
        click.echo(opened.rotate(role, _whole_id(opened.root().roles, keyid) if keyid else None))
    click.echo("Spores learn of it when they look next; nothing has to be joined again.", err=True)


def _whole_id(roles: dict[str, Any], start: str) -> str:
    found: set[str] = {keyid for role in roles.values() for keyid in role.keyids if keyid.startswith(start.lower())}
    if len(start) < ID_CHARS_MIN or len(found) != 1:
        raise InputError(f"{start:.80} names {several(len(found), 'key')}; see their ids with: venom ota key --json")
    return found.pop()


@ota.command()
@click.argument("files", nargs=-1, metavar="[VERSION|FILE]...")
@click.option("--app", default="tasks", show_default=True, help="Whose VERSION is meant.")
@click.option(
    "--node", "nodes", multiple=True, metavar="NAME", help="Only for this node; may be repeated (default: all)."
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only for nodes with this tag; may be repeated.")
@click.option(
    "--downgrade-from", multiple=True, metavar="VERSION", help="May replace this higher version; may be repeated."
)
@click.option(
    "--renew", type=click.Choice(("root", "release")), help="Sign this role anew, unchanged, before it expires."
)
@keys_option
def sign(
    files: tuple[str, ...],
    app: str,
    nodes: tuple[str, ...],
    tags: tuple[str, ...],
    downgrade_from: tuple[str, ...],
    renew: str | None,
    keys: tuple[Path, ...],
) -> None:
    """Sign packages (a VERSION that `venom ota build` made, or a FILE) and wheels; publish makes them known.

    With a package the wheels are signed that its lock names and `venom ota build` put beside it; a wheel (FILE.whl) is
    signed for whichever package names it.
    """
    if not files and renew is None:
        raise click.UsageError("Say what to sign: a version, a file, or --renew ROLE.")
    opened = repository(keys)
    if renew is not None:
        opened.renew(renew)
    for name in files:
        path = _file_of(opened.home, app, name)
        is_wheel = path.suffix == ".whl"
        for wheel in () if is_wheel else shelf_module().Shelf(opened.home, "").unsigned_wheels(path, opened.signed()):
            opened.add_wheel(wheel)
        done = opened.add_wheel(path) if is_wheel else opened.add_package(path, nodes or ("*",), tags, downgrade_from)
        click.echo(f"{done.name}  sha256 {done.sha256}")
    click.echo("Make it known with: venom ota publish", err=True)


def _file_of(home: Path, app: str, name: str) -> Path:
    built = home / "packages" / f"{app}-{name}.zip"
    for path in (Path(name), built):
        if path.is_file():
            return path
    raise InputError(f"{name:.200} is neither a file nor a version in {built.parent}; build it with: venom ota build")


@ota.command()
@click.option("--due", is_flag=True, help="Sign only what is half through its life, as a Nexus does every hour.")
@tell_option
@redis_url_option
@keys_option
def publish(due: bool, tell: bool, redis_url: str | None, keys: tuple[Path, ...]) -> None:
    """Make what was signed known to Spores: sign snapshot and timestamp anew. Run it daily where no Nexus does."""
    done = repository(keys).publish(due_only=due)
    for warning in done.warnings:
        click.echo(f"venom: {warning}", err=True)
    click.echo(f"signed anew: {', '.join(done.renewed) or 'nothing, as nothing was due'}")
    if tell:
        tell_spores(redis_url)


@ota.command()
@json_option
def verify(as_json: bool) -> None:
    """Verify the whole repository as a Spore would, files and all, and list what is signed."""
    opened = repository()
    checked = part("checking").check_repository(opened.files, opened.targets_folder)
    found = part("overview").roles_of(opened, checked)
    roles = ", ".join(f"{name} {role['version']} until {_day(role['expires'])}" for name, role in found.items())
    rows = [part("overview").row_of(each) for each in checked.signed]
    data = {
        "fingerprint": opened.fingerprint(),
        "roles": found,
        "signed": [part("overview").signed_as_dict(each) for each in checked.signed],
    }
    columns = ("app", "version", "for", "bytes", "sha256", "")
    print_listing(
        Listing(data, columns, rows, nothing=f"Verified: {roles}. Nothing is signed yet.", title=roles), as_json=as_json
    )


def _day(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d}"


@ota.command()
@click.argument("version")
@click.option("--app", default="tasks", show_default=True, help="The app of which it is a release.")
@tell_option
@redis_url_option
@keys_option
def rollback(version: str, app: str, tell: bool, redis_url: str | None, keys: tuple[Path, ...]) -> None:
    """Withdraw a release and publish that: Spores that run VERSION go back to what they ran before."""
    opened = repository(keys)
    if opened.is_withdrawn(version, app):
        words = "is withdrawn already; nothing changes"
    else:
        opened.withdraw(version, app)
        words = "is withdrawn; Spores that run it go back when they look next"
    # Only what is due: a damaged file of another release keeps no withdrawal back, and what was cut off is finished.
    opened.publish(due_only=True)
    click.echo(f"{app} {version} {words}")
    if tell:
        tell_spores(redis_url)


@ota.command()
@click.argument("url")
@click.argument("fingerprint")
@click.option(
    "--home", required=True, type=click.Path(file_okay=False, path_type=Path), help="The Spore's home folder."
)
@click.option("--app", default="tasks", show_default=True, help="The app whose releases this Spore follows.")
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The only certificate authority to believe (PEM).",
)
@click.option("--insecure", is_flag=True, help="Allow http:// to another machine, in a closed network.")
def join(url: str, fingerprint: str, home: Path, app: str, ca: Path | None, insecure: bool) -> None:
    """Have the Spore in --home follow the repository at URL, whose FINGERPRINT `venom ota init` printed."""
    text = ca.read_bytes()[:_CA_BYTES_MAX].decode("ascii", "replace") if ca else ""
    part("joining").join(home / "trust", url, fingerprint, app, ca=text, insecure=insecure)
    click.echo(f"{home / 'trust'} follows {app} at {url}")
    click.echo(f"Start the Spore with: venom-launcher --home {home}", err=True)
