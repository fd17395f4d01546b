"""`venom demo`: the quickstart."""

from __future__ import annotations

from pathlib import Path

import click

from venom_core.demo.quickstart import run_quickstart
from venom_core.demo.scene import SAMPLE_S, Wishes
from venom_core.errors import InputError


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="Scan all installed packages, not only a sample.")
@click.option(
    "--sample",
    "sample_s",
    type=click.FloatRange(1),
    default=SAMPLE_S,
    show_default=True,
    metavar="S",
    help="Seconds the sample is worth.",
)
@click.option("--ota", is_flag=True, help="Kill nobody: update the Spores meanwhile, and roll a bad release back.")
@click.pass_context
def demo(context: click.Context, path: Path | None, everything: bool, sample_s: float, ota: bool) -> None:
    """Scan the Python files under PATH (default: installed packages) with three Spores; one is killed half-way."""
    try:
        code = run_quickstart(Wishes(path, everything, sample_s, ota))
    except InputError as fault:
        click.echo(f"venom: {fault}", err=True)
        code = 2
    context.exit(code)
