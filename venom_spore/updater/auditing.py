"""Where an updater takes down what it did: the debug log, and the node's hash-chained audit where one is kept."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from venom_core.audit_chain import AuditChain
from venom_core.errors import VenomError
from venom_spore.updater.run import Audit

log = logging.getLogger("venom.updater")

ACTOR = "updater"


def audit_into(path: str, node: str) -> Audit:
    """Takes events down in the chain at `path`, if it is not empty, in the name of `node`.

    A chain that takes nothing more (a full disk, a broken line) is told in the log, and holds nothing up.
    """
    chain = AuditChain(Path(path), node) if path else None

    def take_down(event: str, detail: dict[str, Any]) -> None:
        words = json.dumps(detail, sort_keys=True)
        log.debug("%s: %s", event, words)  # whoever looked says it in prose
        if chain is not None:
            try:
                chain.append(event, ACTOR, words)
            except (OSError, VenomError) as fault:
                log.error("the audit took nothing down: %s", fault)

    return take_down
