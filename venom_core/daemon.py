"""What every daemon of the hive does before it starts: settings from its options, logging, the hive's switch."""

from __future__ import annotations

from venom_core import log_format
from venom_core.config import Settings
from venom_core.errors import InvalidSetting


def prepare(redis_url: str | None, log_level: str, what: str, log_format_name: str = "") -> Settings:
    """Settings with logging set up; empty options give way to the environment.

    Raises `InvalidSetting`, also when the hive is switched off; `what` names the daemon in that sentence.
    """
    given = {"redis_url": redis_url, "hive_log_level": log_level, "hive_log_format": log_format_name}
    try:
        settings = Settings.load(**{name: value for name, value in given.items() if value})
    except InvalidSetting:
        if log_format_name == log_format.JSON:
            log_format.install(log_format.JSON, "INFO")  # who reads JSON is to read this, too
        raise
    log_format.install(settings.hive_log_format, settings.hive_log_level, settings.secrets())
    if not settings.enable_hive:
        raise InvalidSetting(f"the hive is switched off; set ENABLE_HIVE=true to start {what}")
    return settings
