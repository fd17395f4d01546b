"""`venom config`: which settings are in force, and where each comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from venom_core.commands.frame import json_option
from venom_core.commands.screen import Listing, print_listing
from venom_core.config import FAST_PROFILE, Settings

MASK = "********"


@click.command()
@click.option("--given", is_flag=True, help="Only what does not have its default.")
@json_option
def config(given: bool, as_json: bool) -> None:
    """Every setting, its value in force, and where it comes from; secrets are masked."""
    found = [line for line in in_force() if not given or line["from"] != "default"]
    rows = [(line["name"], "" if line["value"] is None else line["value"], line["from"]) for line in found]
    print_listing(Listing(found, ("setting", "value", "from"), rows, "Every setting has its default."), as_json=as_json)


def in_force() -> list[dict[str, Any]]:
    """{name, value, from} of every setting; `InvalidSetting`."""
    settings = Settings.load()
    environment = {name for name, value in EnvSettingsSource(Settings)().items() if value is not None}
    dotenv = set(DotEnvSettingsSource(Settings)())
    lines = []
    for name in Settings.model_fields:
        source = "default"
        if name in environment:
            source = "environment"
        elif name in dotenv:
            source = str(Path(".env").absolute())
        elif settings.hive_profile == "fast" and name in FAST_PROFILE:
            source = "HIVE_PROFILE=fast"
        lines.append({"name": name.upper(), "value": _shown(settings, getattr(settings, name)), "from": source})
    return lines


def _shown(settings: Settings, value: Any) -> Any:
    """A value that holds no secret; of an address everything but its passwords."""
    if not isinstance(value, SecretStr):
        return value
    text = value.get_secret_value()
    if value is not settings.redis_url:
        return MASK
    for secret in sorted(settings.secrets(), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
