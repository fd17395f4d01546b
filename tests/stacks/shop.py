"""The stack that these tests deploy."""

from __future__ import annotations

from pathlib import Path

from venom_core.infrastructure.stack_manager import StackManager

PASSWORD = "s3cret & quoted 'twice'"
FILE = "services:\n  web:\n    image: busybox\n"


def file_of(manager: StackManager, name: str = "shop") -> Path:
    return manager.stacks_dir / name / "docker-compose.yml"
