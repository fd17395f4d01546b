"""Why an update was refused: a stable code for programs and one sentence for people."""

from __future__ import annotations

from enum import StrEnum

from venom_core.errors import SecurityError


class Code(StrEnum):
    """What was wrong. A code never changes its meaning; docs/ota.md lists each with its cause and its test."""

    # The archive.
    ZIP_PATH = "ZIP_PATH"
    ZIP_TYPE = "ZIP_TYPE"
    ZIP_DUPLICATE = "ZIP_DUPLICATE"
    ZIP_CORRUPT = "ZIP_CORRUPT"
    ZIP_UNSUPPORTED = "ZIP_UNSUPPORTED"
    ZIP_BOMB = "ZIP_BOMB"
    ZIP_LIES = "ZIP_LIES"
    ZIP_OVERLAP = "ZIP_OVERLAP"
    ZIP_AMBIGUOUS = "ZIP_AMBIGUOUS"
    # What is signed.
    TOO_BIG = "TOO_BIG"
    WRONG_LENGTH = "WRONG_LENGTH"
    WRONG_HASH = "WRONG_HASH"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    EXPIRED = "EXPIRED"
    CLOCK_BACKWARDS = "CLOCK_BACKWARDS"
    ROLLBACK = "ROLLBACK"
    VERSION_REUSED = "VERSION_REUSED"
    NOT_SIGNED = "NOT_SIGNED"
    BAD_METADATA = "BAD_METADATA"
    PRIVATE = "PRIVATE"
    # Who it is for.
    NOT_FOR_THIS_NODE = "NOT_FOR_THIS_NODE"
    WRONG_PLATFORM = "WRONG_PLATFORM"
    WRONG_PYTHON = "WRONG_PYTHON"
    SPORE_TOO_OLD = "SPORE_TOO_OLD"
    KNOWN_BAD = "KNOWN_BAD"
    TOO_SOON = "TOO_SOON"
    # Dependencies.
    LOCK_URL = "LOCK_URL"
    LOCK_VCS = "LOCK_VCS"
    LOCK_EDITABLE = "LOCK_EDITABLE"
    LOCK_OPTION = "LOCK_OPTION"
    LOCK_INCLUDE = "LOCK_INCLUDE"
    LOCK_UNPINNED = "LOCK_UNPINNED"
    LOCK_UNHASHED = "LOCK_UNHASHED"
    LOCK_SDIST = "LOCK_SDIST"
    LOCK_MARKER = "LOCK_MARKER"
    LOCK_INCOMPLETE = "LOCK_INCOMPLETE"
    LOCK_BAD = "LOCK_BAD"
    BAD_WHEEL = "BAD_WHEEL"
    # The network.
    NOT_JOINED = "NOT_JOINED"
    BAD_URL = "BAD_URL"
    HOST_NOT_ALLOWED = "HOST_NOT_ALLOWED"
    INSECURE_URL = "INSECURE_URL"
    TLS = "TLS"
    REDIRECT = "REDIRECT"
    TOO_SLOW = "TOO_SLOW"
    BAD_ANSWER = "BAD_ANSWER"
    UNREACHABLE = "UNREACHABLE"
    # Hints and this machine.
    BAD_HINT = "BAD_HINT"
    BUSY = "BUSY"
    NO_SPACE = "NO_SPACE"
    LOCAL_FAULT = "LOCAL_FAULT"
    DOES_NOT_START = "DOES_NOT_START"


MESSAGE_CHARACTERS_MAX = 1000


class UpdateRefused(SecurityError):
    """An update was not taken and nothing was changed; `code` says why, the message says what to do.

    The message is one line without signs that nobody sees, whatever names and faults of others it quotes.
    """

    def __init__(self, code: Code, message: str) -> None:
        line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(message.split()))
        super().__init__(f"{code}: {line[:MESSAGE_CHARACTERS_MAX]}")
        self.code = code
