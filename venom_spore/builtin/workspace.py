"""The one folder that the built-in skills may touch.

A path is walked step by step, each folder opened below the one before by its descriptor and never through a
symbolic link. So a link that is swapped in between the look and the opening leads nowhere, and there is no
moment at which a name is resolved by the system as a whole. `..` is refused in words before anything is opened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from venom_core.errors import Forbidden, InvalidTask, LimitReached

PATH_CHARS_MAX = 4096
PATH_PARTS_MAX = 64
# How a folder below is opened.
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe that nobody writes to is opened at once and then refused, instead of waiting for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Workspace:
    """A folder and all below it. Paths are relative to it, with `/`; `.` is the folder itself."""

    def __init__(self, root: Path, file_bytes_max: int) -> None:
        self.root = root.absolute()
        self._file_bytes_max = file_bytes_max

    def read(self, path: str) -> bytes:
        """The content of a file. Raises `InvalidTask`, `Forbidden`, `LimitReached`."""
        parts = self.parts(path)
        with self.folder(parts[:-1]) as folder, self._opened(parts, folder) as file:
            return self._content(path, file)

    def write(self, path: str, data: bytes) -> None:
        """Write a file as a whole or not at all; folders on the way are made. Raises like `read`."""
        parts = self.parts(path)
        if not parts:
            raise InvalidTask(f"{path!r:.80} is a folder, not a file")
        if len(data) > self._file_bytes_max:
            raise LimitReached(_too_large(path, self._file_bytes_max))
        with self.folder(parts[:-1], make=True) as folder:
            self._replace(parts, folder, data)

    @contextlib.contextmanager
    def folder(self, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        """A folder's descriptor, valid within the block. Raises `InvalidTask`, `Forbidden`."""
        with contextlib.ExitStack() as opened:
            here = self._open_root(make=make)
            opened.callback(os.close, here)
            for count, part in enumerate(parts, 1):
                if make:
                    _make(part, here, parts[:count])
                here = _step(part, here, parts[:count])
                opened.callback(os.close, here)
            yield here

    def size(self, parts: tuple[str, ...]) -> int | None:
        """Bytes of a file, None for a folder. Raises `InvalidTask` if it is neither or not there, and `Forbidden`."""
        if not parts:
            return None
        path = "/".join(parts)
        with self.folder(parts[:-1]) as folder, _told(path):
            found = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        kind = kind_of(found.st_mode)
        if kind == "link":
            raise Forbidden(_LINK % path)
        if kind == "special":
            raise InvalidTask(f"{path!r:.80} is neither a file nor a folder")
        return found.st_size if kind == "file" else None

    def parts(self, path: str) -> tuple[str, ...]:
        """The steps of a path from the root; an absolute one must lie in the workspace. Raises `Forbidden`."""
        if not path or "\0" in path or len(path) > PATH_CHARS_MAX:
            raise InvalidTask(f"a path is text of 1 to {PATH_CHARS_MAX} characters without NUL, not {path!r:.80}")
        pure = PurePosixPath(path)
        if pure.is_absolute():
            if not pure.is_relative_to(self.root):
                raise Forbidden(f"{path!r:.80} is outside of the workspace; give a path relative to it")
            pure = pure.relative_to(self.root)
        if ".." in pure.parts:
            raise Forbidden(f"{path!r:.80} has '..' in it, which could lead out of the workspace")
        if len(pure.parts) > PATH_PARTS_MAX:
            raise LimitReached(f"{path!r:.80} is more than {PATH_PARTS_MAX} folders deep")
        return pure.parts

    def _open_root(self, *, make: bool) -> int:
        try:
            if make:
                self.root.mkdir(parents=True, exist_ok=True)
            return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise InvalidTask("the workspace of this node is empty: nothing was written to it yet") from None
        except OSError as fault:
            raise Forbidden(f"the workspace of this node cannot be used: {fault.strerror} (HIVE_WORKSPACE)") from None

    @contextlib.contextmanager
    def _opened(self, parts: tuple[str, ...], folder: int) -> Iterator[int]:
        name = parts[-1] if parts else "."
        with _told("/".join(parts) or "."):
            file = os.open(name, _FILE, dir_fd=folder)
        try:
            yield file
        finally:
            os.close(file)

    def _content(self, path: str, file: int) -> bytes:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidTask(f"{path!r:.80} is a {kind_of(found.st_mode)}, not a file")
        with os.fdopen(file, "rb", closefd=False) as reader:
            data = reader.read(self._file_bytes_max + 1)
        if len(data) > self._file_bytes_max:
            raise LimitReached(_too_large(path, self._file_bytes_max))
        return data

    def _replace(self, parts: tuple[str, ...], folder: int, data: bytes) -> None:
        path, name = "/".join(parts), parts[-1]
        kind = _kind(name, folder)
        if kind not in ("", "file"):
            raise Forbidden(f"{path!r:.80} is a {kind}; only a file is replaced")
        part = f".{secrets.token_hex(8)}.part"
        try:
            with _told(path), os.fdopen(os.open(part, _NEW_FILE, 0o666, dir_fd=folder), "wb") as writer:
                writer.write(data)
            with _told(path):
                os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)
            raise


def _make(name: str, folder: int, parts: tuple[str, ...]) -> None:
    with _told("/".join(parts)), contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)


def _step(name: str, folder: int, parts: tuple[str, ...]) -> int:
    """The folder of this name below another one; a link or a file in its place is named as what it is."""
    path = "/".join(parts)
    with _told(path):
        try:
            return os.open(name, FOLDER, dir_fd=folder)
        except NotADirectoryError:
            if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                raise Forbidden(_LINK % path) from None
            raise InvalidTask(f"{path!r:.80} is not a folder") from None


_LINK = "%.80r is a symbolic link, and none is followed in the workspace"


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """What the system says about a path, as one sentence."""
    try:
        yield
    except FileNotFoundError:
        raise InvalidTask(f"there is no {path!r:.80} in the workspace") from None
    except OSError as fault:
        # A link that must not be followed is ELOOP.
        words = _LINK % path if fault.errno == errno.ELOOP else f"{path!r:.80} cannot be used: {fault.strerror}"
        raise Forbidden(words) from None


def kind_of(mode: int) -> str:
    """`file`, `folder`, `link` or `special` (a pipe, a socket, a device)."""
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    return kinds.get(stat.S_IFMT(mode), "special")


def readable(name: str) -> str:
    """A file name that is not UTF-8 cannot be sent as it is."""
    return name.encode("utf-8", "replace").decode()


def _kind(name: str, folder: int) -> str:
    """What stands there under this name; empty if nothing does."""
    try:
        return kind_of(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return ""


def _too_large(path: str, bytes_max: int) -> str:
    return f"{path!r:.80} is larger than {bytes_max:,} bytes (HIVE_FILE_BYTES_MAX)"
