"""The names of python-tuf that are used here, behind one door: who has not installed it is told how to.

python-tuf comes with the extra `ota`. Whatever needs it imports its names from here, so that a hive without signed
updates goes without it, and the first command that needs it ends with one sentence.
"""

from __future__ import annotations

from venom_core.errors import MissingExtra

try:
    from securesystemslib.signer import CryptoSigner as CryptoSigner
    from securesystemslib.signer import SSlibKey as SSlibKey
    from tuf.api.exceptions import BadVersionNumberError as BadVersionNumberError
    from tuf.api.exceptions import DownloadError as DownloadError
    from tuf.api.exceptions import DownloadHTTPError as DownloadHTTPError
    from tuf.api.exceptions import DownloadLengthMismatchError as DownloadLengthMismatchError
    from tuf.api.exceptions import ExpiredMetadataError as ExpiredMetadataError
    from tuf.api.exceptions import LengthOrHashMismatchError as LengthOrHashMismatchError
    from tuf.api.exceptions import RepositoryError as RepositoryError
    from tuf.api.exceptions import UnsignedMetadataError as UnsignedMetadataError
    from tuf.api.metadata import Key as Key
    from tuf.api.metadata import Metadata as Metadata
    from tuf.api.metadata import MetaFile as MetaFile
    from tuf.api.metadata import Role as Role
    from tuf.api.metadata import Root as Root
    from tuf.api.metadata import Snapshot as Snapshot
    from tuf.api.metadata import TargetFile as TargetFile
    from tuf.api.metadata import Targets as Targets
    from tuf.api.metadata import Timestamp as Timestamp
    from tuf.api.serialization.json import JSONSerializer as JSONSerializer
    from tuf.ngclient import FetcherInterface as FetcherInterface
    from tuf.ngclient import Updater as Updater
    from tuf.ngclient import UpdaterConfig as UpdaterConfig
except ImportError as fault:
    raise MissingExtra(
        f"signed updates need a package that is missing ({fault.name}); in the clone, run: pip install '.[ota]'"
    ) from None
