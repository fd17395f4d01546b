"""Of a package only what is new is loaded; what cannot be taken apart is loaded whole."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.updater.releasing import Home, Releaser
from venom_core.ota.canonical_zip import END, write_zip
from venom_core.ota.refusal import Code, UpdateRefused
from venom_spore.updater.reuse import refill


def noise(seed: str, count: int = 20_000) -> bytes:
    return random.Random(seed).randbytes(count)


FILES = {f"app/m{number:02}.py": noise(str(number)) for number in range(20)}
OLD = write_zip(FILES)


class Server:
    """Gives ranges of one file and counts what it gave."""

    def __init__(self, data: bytes) -> None:
        self.data, self.moved, self.calls = data, 0, 0

    def load(self, first: int, last: int) -> bytes:
        piece = self.data[first:last]
        self.calls += 1
        self.moved += len(piece)
        return piece


def filled(tmp_path: Path, new: bytes, old: bytes = OLD) -> tuple[Server, bytes | None]:
    """What was loaded of `new` when `old` is here, and the part that came out."""
    server, before, part = Server(new), tmp_path / "before.zip", tmp_path / "x.part"
    before.write_bytes(old)
    part.unlink(missing_ok=True)
    done = refill(len(new), server.load, before, part)
    assert done == part.exists()
    return server, part.read_bytes() if done else None


def test_a_release_that_changes_one_file_moves_little_more_than_that_file(tmp_path: Path) -> None:
    new = write_zip({**FILES, "app/m07.py": noise("new")})
    server, part = filled(tmp_path, new)
    assert part == new
    assert server.moved < len(new) // 10
    assert server.calls <= 4


def test_files_that_came_and_went_do_not_matter(tmp_path: Path) -> None:
    files = {**FILES, "app/a_new_one.py": noise("a"), "lock.json": b"{}"}
    del files["app/m03.py"], files["app/m11.py"]
    new = write_zip(files)
    server, part = filled(tmp_path, new)
    assert part == new
    assert server.moved < len(new) // 5


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), changes=st.integers(0, 20))
def test_whatever_changed_the_part_is_the_new_package_or_there_is_none(
    seed: int, changes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(seed)
    files = dict(FILES)
    for _ in range(changes):
        name = f"app/{chance.choice('abm')}{chance.randrange(30):02}.py"
        if chance.random() < 0.3:
            files.pop(name, None)
        else:
            files[name] = chance.randbytes(chance.randrange(50_000))
    new = write_zip(files)
    _, part = filled(tmp_path_factory.mktemp("r"), new)
    assert part in (new, None)


def test_what_is_small_or_all_new_is_left_to_one_download(tmp_path: Path) -> None:
    assert filled(tmp_path, write_zip({"app/a.py": b"x"}))[0].calls == 0
    server, part = filled(tmp_path, write_zip({f"app/n{number}.py": noise(f"n{number}") for number in range(20)}))
    assert part is None
    assert server.moved < 10_000


def test_changes_in_too_many_places_are_left_to_one_download(tmp_path: Path) -> None:
    many = {f"app/m{number:03}.py": noise(str(number), 5_000) for number in range(400)}
    new = {
        name: noise(f"new{name}", 5_000) if number % 4 == 0 else data
        for number, (name, data) in enumerate(many.items())
    }
    assert filled(tmp_path, write_zip(new), write_zip(many))[1] is None


def test_without_a_package_before_or_with_a_part_of_an_earlier_try_nothing_is_done(tmp_path: Path) -> None:
    server, part = Server(OLD), tmp_path / "x.part"
    assert not refill(len(OLD), server.load, tmp_path / "none.zip", part)
    (tmp_path / "before.zip").write_bytes(OLD)
    part.write_bytes(b"already here")
    assert not refill(len(OLD), server.load, tmp_path / "before.zip", part)
    assert (server.calls, part.read_bytes()) == (0, b"already here")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: b"no zip at all" * 10_000,
        lambda data: data[: -END.size] + END.pack(b"PK\x05\x06", 0, 0, 20, 20, 9 << 20, 5, 0),
        lambda data: data[: -END.size] + END.pack(b"PK\x05\x06", 0, 0, 20, 20, 100, len(data) - END.size - 100, 0),
        lambda data: data[: -END.size] + data[-END.size :].replace(b"\x14\x00\x14\x00", b"\x13\x00\x13\x00"),
        lambda data: data.replace(b"PK\x01\x02", b"PK\x01\x03", 1),
    ],
)
@pytest.mark.parametrize("which", ["old", "new"])
def test_what_cannot_be_taken_apart_is_loaded_whole(
    tmp_path: Path, spoil: Callable[[bytes], bytes], which: str
) -> None:
    new = write_zip({**FILES, "app/m07.py": noise("new")})
    sent, kept = (spoil(new), OLD) if which == "new" else (new, spoil(OLD))
    _, part = filled(tmp_path, sent, kept)
    assert part is None


def test_a_server_that_gives_less_than_asked_for_or_refuses_leaves_no_part(tmp_path: Path) -> None:
    new = write_zip({**FILES, "app/m07.py": noise("new")})
    before, part, calls = tmp_path / "before.zip", tmp_path / "x.part", iter(range(100))
    before.write_bytes(OLD)

    def short(first: int, last: int) -> bytes:
        return new[first:last] if next(calls) < 2 else new[first : last - 1]

    def refusing(first: int, last: int) -> bytes:
        raise UpdateRefused(Code.BAD_ANSWER, "no ranges here")

    assert not refill(len(new), short, before, part)
    assert not refill(len(new), refusing, before, part)
    assert not part.exists()


def test_a_disk_that_is_full_is_not_taken_for_a_strange_package(tmp_path: Path) -> None:
    before = tmp_path / "before.zip"
    before.write_bytes(OLD)
    new = write_zip({**FILES, "app/m07.py": noise("new")})
    with pytest.raises(OSError, match="No such file"):
        refill(len(new), Server(new).load, before, tmp_path / "no folder" / "x.part")


def modules(changed: str = "") -> dict[str, str]:
    return {
        f"part{number}.py": f"TEXT = {noise(f'{number}{changed * (number == 3)}').hex()!r}\n" for number in range(8)
    }


def test_over_real_http_the_second_release_moves_the_module_that_changed(home: Home, releaser: Releaser) -> None:
    first = releaser.release("1.0.0", modules())
    assert home.look().moved == first.length
    home.commit()
    second = releaser.release("2.0.0", modules("changed"))
    outcome = home.look()
    assert outcome, outcome.words
    assert second.length > 100_000
    assert outcome.moved < second.length // 4
    assert (home.layout.release(outcome.release) / "app/part3.py").read_text() == modules("changed")["part3.py"]


def test_a_package_that_was_changed_on_this_disk_brings_nothing_in(home: Home, releaser: Releaser) -> None:
    releaser.release("1.0.0", modules())
    home.look()
    home.commit()
    kept = home.layout.current / "package.zip"
    data = bytearray(kept.read_bytes())
    data[len(data) // 2] ^= 1  # within a module that both have, by a record that still says so
    kept.write_bytes(data)
    second = releaser.release("2.0.0", modules("changed"))
    outcome = home.look()
    assert outcome, outcome.words
    assert outcome.moved > second.length  # the whole of it, after the hash said no
    assert (home.layout.release(outcome.release) / "app/part4.py").read_text() == modules()["part4.py"]
