"""Wheels made by hand: sound ones, and such that are wrong in one thing."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from venom_core.ota.lock import LockedWheel
from venom_core.ota.wheels import lock_wheel

TAG = "py3-none-any"


def record_line(name: str, content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"{name},sha256={digest},{len(content)}"


def wheel_files(name: str, version: str, requires: Sequence[str] = (), python: str = "") -> dict[str, bytes]:
    """The files of a sound wheel with one module, without RECORD."""
    info = f"{name}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {need}" for need in requires] + ([f"Requires-Python: {python}"] if python else [])
    return {
        f"{name}.py": f"VERSION = {version!r}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/METADATA": "\n".join([*metadata, "", ""]).encode(),
    }


def make_wheel(
    folder: Path,
    name: str = "acme",
    version: str = "1.0",
    *,
    requires: Sequence[str] = (),
    python: str = "",
    tag: str = TAG,
    change: Mapping[str, bytes | None] | None = None,
    record: Mapping[str, str | None] | None = None,
) -> Path:
    """A wheel in `folder`; `change` puts files in, over or (None) out, `record` does so with lines of RECORD."""
    files = wheel_files(name, version, requires, python)
    for path, content in (change or {}).items():
        files.pop(path, None)
        files |= {path: content} if content is not None else {}
    info = f"{name}-{version}.dist-info"
    lines: dict[str, str | None] = {path: record_line(path, content) for path, content in files.items()}
    lines |= {f"{info}/RECORD": f"{info}/RECORD,,", **(record or {})}
    files.setdefault(f"{info}/RECORD", "".join(f"{line}\n" for line in lines.values() if line is not None).encode())
    wheel = folder / f"{name}-{version}-{tag}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as made:
        for path, content in files.items():
            made.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), content)
    return wheel


def locked(path: Path, **changed: object) -> LockedWheel:
    """What a lock says of it, with some of it changed."""
    known = lock_wheel(path)
    fields = {field: getattr(known, field) for field in known.__struct_fields__}
    return LockedWheel(**{**fields, **changed})
