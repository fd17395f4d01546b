"""Where an updater takes down what it did: the log, and the node's audit where one is kept."""

from __future__ import annotations

import logging
from typing import Any

from venom_spore.updater.run import Audit

log = logging.getLogger("venom.updater")


def audit_into(path: str, node: str) -> Audit:
    """Takes events down in the file `path`, if it is not empty, in the name of `node`."""

    def take_down(event: str, detail: dict[str, Any]) -> None:
        log.info("%s on %s: %s%s", event, node, detail, f" (kept in {path})" if path else "")

    return take_down
