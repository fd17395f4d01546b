"""The keys of a repository on this machine: found by id, opened when something is to be signed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import SecretStr

from venom_core.errors import InputError
from venom_core.ota.key_files import KeyFile, check_passphrase, key_files, make_key, signer_of
from venom_core.ota.roles import OFFLINE, Role, folder_of, shown
from venom_core.ota.stretching import COST
from venom_core.ota.tuf_names import CryptoSigner

RETIRED = "retired"
Passphrase = str | SecretStr | Callable[[], str] | None
"""The passphrase of the offline keys, or what asks for it when it is first needed."""


class KeyStore:
    """The folders `keys` and `online` of a repository, and further ones with keys that were brought along."""

    def __init__(
        self, home: Path, passphrase: Passphrase = None, further: Iterable[Path] = (), cost: int = COST
    ) -> None:
        self._home = home
        self._passphrase = passphrase
        self._further = tuple(further)
        self._cost = cost

    def files(self) -> list[KeyFile]:
        """Every key of which a public half is here, by file name; a private half may lie elsewhere."""
        folders = (self._home / "keys", self._home / "online", *self._further)
        found = [file for folder in folders for file in key_files(folder)]
        return sorted(found, key=lambda file: (file.path.name, not file.is_here))

    def make(self, role: Role, now_ms: int) -> KeyFile:
        """A new key of a role, offline ones encrypted; `InputError` without a passphrase for them."""
        passphrase = check_passphrase(self._asked()) if role in OFFLINE else None
        path = self._home / folder_of(role) / f"{shown(role)}-{secrets.token_hex(4)}.pem"
        return make_key(path, role, now_ms, passphrase, self._cost)

    def forget(self, file: KeyFile) -> None:
        """Remove a key that was made in vain."""
        file.path.unlink()
        file.path.with_suffix(".public.json").unlink()

    def signers(self, keyids: Iterable[str]) -> list[CryptoSigner]:
        """What signs with those of these keys that are here; `InputError` if one cannot be opened."""
        here = {file.half.keyid: file for file in self.files() if file.is_here}
        wanted = [here[keyid] for keyid in dict.fromkeys(keyids) if keyid in here]
        return [signer_of(file, self._asked() if file.half.role in OFFLINE else None) for file in wanted]

    def retire(self, keyids: Iterable[str]) -> None:
        """Put keys that count for nothing any more out of the way, into the folder `retired`."""
        gone = set(keyids)
        for file in self.files():
            if file.half.keyid in gone:
                folder = self._home / RETIRED
                folder.mkdir(mode=0o700, exist_ok=True)
                for path in (file.path, file.path.with_suffix(".public.json")):
                    if path.exists():
                        path.replace(folder / path.name)

    def _asked(self) -> str:
        given = self._passphrase() if callable(self._passphrase) else self._passphrase
        if isinstance(given, SecretStr):
            given = given.get_secret_value()
        if not given:
            raise InputError("the offline keys need their passphrase; give it in HIVE_OTA_PASSPHRASE")
        self._passphrase = given
        return given
