"""What a Spore believes: it asks the repository it joined, verifies every word, and never goes back."""

from __future__ import annotations

from pathlib import Path

import msgspec

from venom_core.clock import Clock, to_utc
from venom_core.ota.fetcher import Fetcher, Patience
from venom_core.ota.floors import read_floor, write_floor
from venom_core.ota.joining import FLOOR, METADATA, ROOT, fingerprint_of, read_joined
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.verifying import Judge, Signed, SizeLimits, Standing, in_words
from venom_core.ota.whole_files import only_one

__all__ = ["Signed", "Trust"]


class Trust:
    """The repository that a folder `trust` follows. `joined` says which, and where its files are."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock | None = None,
        limits: SizeLimits | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Raises `UpdateRefused` NOT_JOINED or LOCAL_FAULT."""
        self.folder = folder
        self.joined = read_joined(folder)
        self._clock = clock or Clock()
        self._limits = limits
        self._patience = patience

    @property
    def base_url(self) -> str:
        """The address that was joined, without a slash at its end."""
        return self.joined.url

    @property
    def app(self) -> str:
        """The app whose releases this Spore follows."""
        return self.joined.app

    @property
    def app_floor(self) -> str:
        """The least version of the app that may be installed, empty at first; `UpdateRefused` LOCAL_FAULT."""
        return read_floor(self.folder / FLOOR).app_version

    def raise_app_floor(self, version: str) -> None:
        """Keep the version that was committed; the caller has judged that it is not below the floor, or may be."""
        path = self.folder / FLOOR
        write_floor(path, msgspec.structs.replace(read_floor(path), app_version=version))

    def target_url(self, signed: Signed) -> str:
        """Where the bytes of a signed file are served."""
        return self.joined.target_url(signed)

    def refresh(self) -> tuple[Signed, ...]:
        """Ask, verify, raise the floor; gives everything that is signed at this moment, of all apps, by name.

        Blocks, for as long as `Patience` says a file. What is refused changes nothing but python-tuf's own folder.

        Raises:
            UpdateRefused: with the code of whatever is wrong; BUSY if another process is at it.
        """
        with in_words(), only_one(self.folder) as alone:
            if not alone:
                raise UpdateRefused(
                    Code.BUSY, "another process of this Spore looks for updates; it is tried again later"
                )
            return self._refresh()

    def _refresh(self) -> tuple[Signed, ...]:
        floor = read_floor(self.folder / FLOOR)
        now_ms = self._clock.now_ms()
        standing, signed = self._look(floor.check_clock(now_ms))
        raised = floor.raised(standing, signed, now_ms)
        if raised != floor:
            write_floor(self.folder / FLOOR, raised)
        return signed

    def _look(self, judged_ms: int) -> tuple[Standing, tuple[Signed, ...]]:
        metadata = self.folder / METADATA
        metadata.mkdir(mode=0o700, exist_ok=True)
        root, url, moment = self._first_root(), self.joined.metadata_url, to_utc(judged_ms)
        with Fetcher(self.joined.trusted(), self._patience) as fetcher, in_words():
            judge = Judge(metadata, url, fetcher, bootstrap=root, moment=moment, limits=self._limits)
            judge.refresh()
            return judge.standing(), judge.signed()

    def _first_root(self) -> bytes:
        root = (self.folder / ROOT).read_bytes()
        if fingerprint_of(root) != self.joined.fingerprint:
            sentence = f"{self.folder / ROOT} is not the root that was joined; remove {self.folder} and join again"
            raise UpdateRefused(Code.LOCAL_FAULT, sentence)
        return root
