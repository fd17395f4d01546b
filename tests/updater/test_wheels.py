"""Dependencies: from within a package, or by their hash, each loaded once; and what is refused."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.ota.hand_wheels import make_wheel
from tests.updater.releasing import Home, Releaser
from tests.updater.test_look import run_in
from tests.updater.test_refusals import refused
from venom_core.ota.refusal import Code
from venom_core.ota.tuf_names import Targets
from venom_core.ota.verifying import Signed
from venom_spore.updater.wheel_cache import UNUSED_S_MAX


def wheel(folder: Path, name: str, version: str, text: str, *requires: str) -> Path:
    return make_wheel(folder, name, version, requires=requires, change={f"{name}.py": text.encode()})


def write_pins(path: Path, *wheels: Path) -> Path:
    """A requirements file that pins these wheels by their hash."""
    lines = []
    for each in wheels:
        name, version = each.name.split("-")[:2]
        lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(each.read_bytes()).hexdigest()}\n")
    path.write_text("".join(lines))
    return path


class Wheelhouse:
    """Two wheels, of which one needs the other, and releases that are locked to them."""

    def __init__(self, folder: Path, releaser: Releaser) -> None:
        self.folder, self._releaser = folder, releaser
        noise = os.urandom(50_000).hex()
        self.wheels = {
            "alpha": wheel(folder, "alpha", "1.0", "import beta\nNAME = 'alpha 1 with ' + beta.NAME\n", "beta>=2"),
            "beta": wheel(folder, "beta", "2.0", f"NAME = 'beta 2'\nNOISE = {noise!r}\n"),
        }

    def release(self, version: str, **more: Any) -> Signed:
        pins = write_pins(self.folder.parent / f"pins-{version}.txt", *self.wheels.values())
        text = f"import alpha\nVERSION = {version!r} + ' of ' + alpha.NAME\n\ndef healthy():\n    return True\n"
        return self._releaser.release(
            version, {"our_skills.py": text}, requirements=pins, wheelhouse=self.folder, **more
        )


@pytest.fixture
def wheelhouse(tmp_path: Path, releaser: Releaser) -> Wheelhouse:
    return Wheelhouse(tmp_path / "wheelhouse", releaser)


def said_by(home: Home, release: str) -> str:
    return run_in(home, release, "import our_skills; print(our_skills.VERSION)")


def test_wheels_are_loaded_by_their_hash_and_only_what_is_missing(home: Home, wheelhouse: Wheelhouse) -> None:
    sizes = {name: path.stat().st_size for name, path in wheelhouse.wheels.items()}
    first = wheelhouse.release("1.0.0", check="our_skills:healthy")
    outcome = home.look()
    assert outcome.moved == first.length + sum(sizes.values())
    assert said_by(home, outcome.release) == "1.0.0 of alpha 1 with beta 2"
    assert len(list(home.layout.wheels.iterdir())) == 2
    home.commit()
    wheelhouse.wheels["alpha"].unlink()
    wheelhouse.wheels["alpha"] = wheel(wheelhouse.folder, "alpha", "1.1", "NAME = 'alpha 1.1 alone'\n")
    second = wheelhouse.release("2.0.0")
    outcome = home.look()
    assert outcome.moved == second.length + wheelhouse.wheels["alpha"].stat().st_size < sizes["beta"]
    assert said_by(home, outcome.release) == "2.0.0 of alpha 1.1 alone"
    assert len(list(home.layout.wheels.iterdir())) == 3


def test_a_package_that_brings_its_wheels_needs_nothing_else(home: Home, wheelhouse: Wheelhouse) -> None:
    signed = wheelhouse.release("1.0.0", embed_wheels=True)
    outcome = home.look()
    assert outcome.moved == signed.length
    assert said_by(home, outcome.release) == "1.0.0 of alpha 1 with beta 2"
    assert list(home.layout.wheels.iterdir()) == []
    assert not (home.layout.release(outcome.release) / "wheels").exists()


def test_a_wheel_of_the_cache_that_was_altered_is_loaded_again(home: Home, wheelhouse: Wheelhouse) -> None:
    wheelhouse.release("1.0.0")
    home.look()
    home.commit()
    for path in home.layout.wheels.iterdir():
        path.write_bytes(bytes(path.stat().st_size))
    second = wheelhouse.release("2.0.0")
    outcome = home.look()
    assert outcome.moved == second.length + sum(path.stat().st_size for path in wheelhouse.wheels.values())
    assert said_by(home, outcome.release) == "2.0.0 of alpha 1 with beta 2"


def test_a_wheel_that_is_locked_but_not_signed(home: Home, wheelhouse: Wheelhouse, releaser: Releaser) -> None:
    wheelhouse.release("1.0.0")
    repository = releaser.repository
    targets = repository.files.read(Targets).signed
    del targets.targets[f"wheels/{wheelhouse.wheels['beta'].name}"]
    repository._write_targets(targets)
    repository.publish()
    words = refused(home, home.look, Code.NOT_SIGNED)
    assert "is locked by the package, but not signed" in words


def test_a_wheel_that_was_altered_where_it_is_served(home: Home, wheelhouse: Wheelhouse, releaser: Releaser) -> None:
    wheelhouse.release("1.0.0")
    [served] = (releaser.repository.targets_folder / "wheels").glob("*beta*")
    served.write_bytes(bytes(served.stat().st_size))
    assert home.look().code is Code.WRONG_HASH
    # The other wheel, which is right, stays in the cache: it is signed, and the next look needs it.
    assert len(list(home.layout.wheels.iterdir())) == 1
    assert list(home.layout.staging.iterdir()) == []
    assert [path.name for path in home.layout.releases.iterdir()] == ["0-base"]


def test_a_wheel_larger_than_this_node_takes(home: Home, wheelhouse: Wheelhouse) -> None:
    wheelhouse.release("1.0.0")
    words = refused(home, lambda: home.look(hive_ota_package_bytes_max=20_000), Code.TOO_BIG)
    assert words.startswith("TOO_BIG: beta-2.0")


def test_wheels_that_nobody_needs_any_more_are_removed(home: Home, wheelhouse: Wheelhouse) -> None:
    old = home.layout.wheels / "old.whl"
    old.touch()
    os.utime(old, (1_000_000_000, 1_000_000_000))
    assert UNUSED_S_MAX < 1e9
    wheelhouse.release("1.0.0")
    assert home.look()
    assert not old.exists()
    assert len(list(home.layout.wheels.iterdir())) == 2
