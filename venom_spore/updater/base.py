"""What was installed by hand, which every release has behind it: also when a release's own code runs the updater.

A worker may call `apply_update`. Its own packages are those of a release that will be removed one day, and its version
of this project is whatever that release brought; neither may find its way into the next one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from venom_core import __version__
from venom_core.ota.environment import base_site_packages
from venom_core.ota.refusal import Code, UpdateRefused
from venom_spore.launcher.layout import Layout
from venom_spore.launcher.releases import BASE, read_complete

ANSWERS_S = 60.0
_ASKED = (
    "import json, sysconfig, venom_core;"
    "print(json.dumps({'site': sysconfig.get_path('purelib'), 'spore': venom_core.__version__}))"
)


@dataclass(frozen=True, slots=True)
class Base:
    """Where its packages are, and which version of this project it is."""

    site: Path
    spore: str


def base_of(layout: Layout) -> Base:
    """The base of a home folder: this process's own environment, unless that belongs to a release.

    Raises `UpdateRefused` LOCAL_FAULT if its interpreter does not answer.
    """
    if not Path(sys.prefix).resolve().is_relative_to(layout.releases.resolve()):
        return Base(base_site_packages(), __version__)
    found = read_complete(layout.release(BASE))
    try:
        if found is None:
            raise ValueError("it is not complete")
        done = subprocess.run(  # noqa: S603 - the interpreter that the launcher wrote down for itself
            [found.python, "-I", "-c", _ASKED], capture_output=True, text=True, timeout=ANSWERS_S, check=True
        )
        told = json.loads(done.stdout)
        return Base(Path(told["site"]), str(told["spore"]))
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as fault:
        words = f"the environment that was installed by hand does not answer ({fault}); start its venom-launcher"
        raise UpdateRefused(Code.LOCAL_FAULT, words) from None
