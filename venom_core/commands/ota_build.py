"""`venom ota build`: a package of files and folders. No key is needed, so that whoever builds need not be who signs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from venom_core.commands.ota_frame import part
from venom_core.config import Settings


def shelf_module() -> Any:
    """Where packages lie; MissingExtra without the extra `ota`."""
    part("tuf_names")
    return importlib.import_module("venom_core.core.ota_shelf")


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("version")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", type=click.Path(exists=True, path_type=Path))
@click.option("--app", default="tasks", show_default=True, help="Whose release it is; a Spore follows one app.")
@click.option("--description", default="", help="What is new.")
@click.option("--requirements", type=_FILE, help="Pinned and hashed lines of what it needs.")
@click.option("--wheelhouse", type=_FOLDER, help="Folder with those wheels (default: pip fetches them).")
@click.option("--embed-wheels", is_flag=True, help="Put them into the package, for nodes that reach nothing else.")
@click.option(
    "--check", default="", metavar="MODULE:FUNCTION", help="Must return true before a node keeps the release."
)
@click.option("--python", default=">=3.11", show_default=True, help="Which versions of Python may run it.")
@click.option("--platform", "platforms", multiple=True, metavar="TAG", help="Such as linux_x86_64 (default: any).")
@click.option("--min-spore", default="0", show_default=True, help="Least release of venom-hive on the node.")
def build(
    version: str,
    sources: tuple[Path, ...],
    app: str,
    description: str,
    requirements: Path | None,
    wheelhouse: Path | None,
    embed_wheels: bool,
    check: str,
    python: str,
    platforms: tuple[str, ...],
    min_spore: str,
) -> None:
    """Build the package VERSION of files and folders into HIVE_OTA_HOME: same sources, same bytes.

    On a node each SOURCE can be imported by its name.
    """
    if requirements is None and (wheelhouse is not None or embed_wheels):
        raise click.UsageError("--wheelhouse and --embed-wheels go with --requirements.")
    shelf = shelf_module()
    manifest = part("manifest").Manifest(
        app=app, version=version, description=description, platforms=platforms or ("any",), python=python,
        min_spore=min_spore, check=check,
    )  # fmt: skip
    needs = shelf.Dependencies(requirements, wheelhouse, embed_wheels) if requirements is not None else None
    made = shelf.Shelf(Path(Settings.load().hive_ota_home), "").build(manifest, sources, needs)
    click.echo(f"{made.path}  {made.size:,} bytes  sha256 {made.checksum}")
    for wheel in made.wheels:
        click.echo(f"{wheel}  {wheel.stat().st_size:,} bytes")
    for name in made.embedded:
        click.echo(f"{name}  in the package")
    beside = "" if app == "tasks" else f" --app {app}"
    click.echo(f"Sign it with: venom ota sign {version}{beside}", err=True)
