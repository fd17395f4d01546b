"""What every daemon of the hive does before it starts: settings from its options, logging, the hive's switch."""

from __future__ import annotations

import logging
import sys

from venom_core.config import Settings
from venom_core.errors import InvalidSetting


def prepare(redis_url: str | None, log_level: str, what: str) -> Settings:
    """Settings with logging set up; empty options give way to the environment.

    Raises `InvalidSetting`, also when the hive is switched off; `what` names the daemon in that sentence.
    """
    given = {"redis_url": redis_url, "hive_log_level": log_level}
    settings = Settings.load(**{name: value for name, value in given.items() if value})
    logging.basicConfig(
        level=settings.hive_log_level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    if not settings.enable_hive:
        raise InvalidSetting(f"the hive is switched off; set ENABLE_HIVE=true to start {what}")
    return settings
