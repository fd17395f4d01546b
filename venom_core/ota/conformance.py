"""The client command that the public suite tuf-conformance drives: `python -m venom_core.ota.conformance`.

It is a Spore's way of looking (fetcher, plain JSON, floors), for a repository of any content and without a base address
that was joined. The suite is no package and none of it is kept here; docs/ota.md says how to run it by hand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from venom_core.clock import Clock, to_utc
from venom_core.ota.fetcher import Fetcher, trusted_roots
from venom_core.ota.floors import Floor, read_floor, write_floor
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.verifying import Judge, in_words

# What is ours, below the folder whose *.json files the suite takes for what is believed.
_OWN, _ROOT, _FLOOR = "own", "first_root.json", "floor.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one command of the suite: 0 if all of it worked, 1 if anything was refused."""
    given = _parser().parse_args(arguments)
    folder = Path(given.metadata_dir)
    try:
        with in_words():
            if given.command == "init":
                _init(folder, Path(given.trusted_root))
            else:
                names = given.target_name if given.command == "download" else ()
                _look(folder, given.metadata_url, names, Path(given.target_dir or "."), given.target_base_url)
    except UpdateRefused as fault:
        sys.stderr.write(f"{fault}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m venom_core.ota.conformance")
    for name in ("--metadata-url", "--target-dir", "--target-base-url"):
        parser.add_argument(name)
    parser.add_argument("--metadata-dir", required=True)
    parser.add_argument("--target-name", action="append", default=[])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init").add_argument("trusted_root")
    commands.add_parser("refresh")
    commands.add_parser("download")
    return parser


def _init(folder: Path, root: Path) -> None:
    data = root.read_bytes()
    (folder / _OWN).mkdir()
    (folder / _OWN / _ROOT).write_bytes(data)
    (folder / "root.json").write_bytes(data)
    write_floor(folder / _OWN / _FLOOR, Floor())


def _look(folder: Path, url: str, names: Sequence[str], into: Path, base: str) -> None:
    own = folder / _OWN
    moment = to_utc(Clock().now_ms())
    with Fetcher(trusted_roots()) as fetcher:
        judge = Judge(folder, url, fetcher, bootstrap=(own / _ROOT).read_bytes(), moment=moment)
        judge.refresh()
        # The suite sets the clock to and fro, so the time is left out of this floor.
        write_floor(own / _FLOOR, read_floor(own / _FLOOR).raised(judge.standing(), (), 0))
        for name in names:
            _download(judge, name, into / quote(name, safe=""), base)


def _download(judge: Judge, name: str, path: Path, base: str) -> None:
    found = judge.get_targetinfo(name)
    if found is None:
        raise UpdateRefused(Code.NOT_SIGNED, f"{name!a} is not signed")
    if judge.find_cached_target(found, str(path)) is None:
        judge.download_target(found, str(path), base)


if __name__ == "__main__":
    sys.exit(main())
