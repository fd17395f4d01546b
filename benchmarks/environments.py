"""An environment of its own for each side that cannot share ours, made from a file that pins everything by hash."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

STAMP = "made-from"


def environment_of(folder: Path, lock: Path) -> Path:
    """The interpreter of an environment that holds what a lock file pins; made anew when the file has changed."""
    python = folder / "bin" / "python"
    if _is_made(folder, lock):
        return python
    print(f"making the environment {folder.name} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes"]
    subprocess.run([*install, "-r", str(lock)], check=True)
    (folder / STAMP).write_text(_mark(lock))
    return python


def node_modules_of(folder: Path, source: Path) -> Path:
    """The folder of Node packages that `package-lock.json` in `source` pins by hash."""
    lock = source / "package-lock.json"
    if not _is_made(folder, lock):
        print(f"making the environment {folder.name} ...", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, folder / name)
        # Not `ci`: it wants the optional packages of every platform in the lock, which not every registry gives.
        install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(install, cwd=folder, check=True)
        (folder / STAMP).write_text(_mark(lock))
    return folder / "node_modules"


def _is_made(folder: Path, lock: Path) -> bool:
    stamp = folder / STAMP
    return stamp.exists() and stamp.read_text() == _mark(lock)


def _mark(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()
