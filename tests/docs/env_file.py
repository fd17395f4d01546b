"""`.env.example`, made from the settings: defaults and docstrings in the order of docs/configuration.md.

Written by python -m tests.docs.tables
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from tests.docs.markdown import text_of
from tests.tidy.source import ROOT
from venom_core.config import Settings

FILE = ROOT / ".env.example"
PAGE = "docs/configuration.md"
WIDTH = 120

# What most people look at first; all else is commented out, which means the same.
OPEN = frozenset({
    "ENABLE_HIVE", "HIVE_NAMESPACE", "REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD",
    "HIVE_HIGH_PRIORITY_QUEUE", "HIVE_BACKGROUND_QUEUE", "HIVE_BROADCAST_CHANNEL",
    "HIVE_TASK_TIMEOUT", "HIVE_MAX_RETRIES", "HIVE_ZOMBIE_TASK_TIMEOUT", "HIVE_RESULT_TTL",
})  # fmt: skip

HEAD = """\
# Copy this file to .env and change what you need; what is set in the environment wins over it. Every line shows the
# default, and a line left out means the same. An empty value counts as not given; an unknown HIVE_* name is refused.
# Docker Compose reads .env, too: a value with a $ in it stands in single quotes.
# A password or a token is made with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"
# This file is made from the settings: python -m tests.docs.tables
"""


def sections() -> Iterator[tuple[str, list[str]]]:
    """The headings of the configuration page that have settings, with the names of these."""
    for part in text_of(PAGE).split("\n## ")[1:]:
        names = re.findall(r"^\| `([A-Z_]+)` \|", part, re.MULTILINE)
        if names:
            yield part.partition("\n")[0], names


def rendered(meanings: dict[str, str]) -> str:
    """The whole file; `meanings` are the docstrings of the settings by their names in lower case."""
    lines = [HEAD]
    for heading, names in sections():
        lines.append(f"# --- {heading} {'-' * (WIDTH - len(heading) - 7)}")
        for name in names:
            lines += textwrap.wrap(meanings[name.lower()], WIDTH, initial_indent="# ", subsequent_indent="# ")
            lines.append(f"{'' if name in OPEN else '#'}{name}={_default(name)}")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _default(name: str) -> str:
    default = Settings.model_fields[name.lower()].default
    if default is None or default is PydanticUndefined or isinstance(default, SecretStr):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
