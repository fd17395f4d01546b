"""`lock.json` as a node reads it: every entry one wheel by name, version, file and hash; nothing else gets past."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.tags import Tag, parse_tag

from venom_core.ota.lock import Lock, LockedWheel, choose_wheels, read_lock, write_lock
from venom_core.ota.refusal import Code, UpdateRefused

SHA = "ab" * 32


def entry(name: str = "acme", version: str = "1.0", tag: str = "py3-none-any", **changed: Any) -> LockedWheel:
    file = f"{name.replace('-', '_')}-{version}-{tag}.whl"
    return LockedWheel(**{"name": name, "version": version, "file": file, "sha256": SHA, "size": 9, **changed})


def _refused(text: bytes) -> UpdateRefused:
    with pytest.raises(UpdateRefused) as refused:
        read_lock(text)
    assert str(refused.value).isprintable()
    return refused.value


def test_a_lock_is_read_as_it_was_written_in_any_order() -> None:
    wheels = (entry("idna", "3.7"), entry("acme-lib", "1.0rc1"), entry("idna", "3.7", "cp311-cp311-linux_x86_64"))
    text = write_lock(Lock(wheels=wheels))
    assert text == write_lock(Lock(wheels=wheels[::-1]))
    assert [wheel.file for wheel in read_lock(text).wheels] == [
        "acme_lib-1.0rc1-py3-none-any.whl",
        "idna-3.7-cp311-cp311-linux_x86_64.whl",
        "idna-3.7-py3-none-any.whl",
    ]


BAD: list[tuple[dict[str, Any], Code]] = [
    ({"file": "https://example.org/acme-1.0-py3-none-any.whl"}, Code.LOCK_URL),
    ({"file": "file:acme-1.0-py3-none-any.whl"}, Code.LOCK_URL),
    ({"file": "git+https://example.org/acme"}, Code.LOCK_VCS),
    ({"version": "git+ssh://example.org/acme@main"}, Code.LOCK_VCS),
    ({"name": "hg+http://example.org/acme"}, Code.LOCK_VCS),
    ({"file": "-e ."}, Code.LOCK_EDITABLE),
    ({"file": "./acme"}, Code.LOCK_EDITABLE),
    ({"file": "/srv/acme-1.0-py3-none-any.whl"}, Code.LOCK_EDITABLE),
    ({"file": "acme-1.0.tar.gz"}, Code.LOCK_SDIST),
    ({"file": "acme-1.0.zip"}, Code.LOCK_SDIST),
    ({"sha256": ""}, Code.LOCK_UNHASHED),
    ({"sha256": "ab" * 16}, Code.LOCK_UNHASHED),
    ({"sha256": "AB" * 32}, Code.LOCK_UNHASHED),
    ({"version": ">=1.0"}, Code.LOCK_UNPINNED),
    ({"version": "1.*"}, Code.LOCK_UNPINNED),
    ({"version": ""}, Code.LOCK_UNPINNED),
    ({"version": "01.0"}, Code.LOCK_UNPINNED),
    ({"version": "9" * 5000}, Code.LOCK_UNPINNED),
    ({"file": "acme-1.0-py3-none-any.whl --pre"}, Code.LOCK_BAD),
    ({"file": "../acme-1.0-py3-none-any.whl"}, Code.LOCK_EDITABLE),
    ({"file": "a/acme-1.0-py3-none-any.whl"}, Code.LOCK_BAD),
    ({"file": "acme-1.0-any.whl"}, Code.LOCK_BAD),
    ({"file": "acme-1.1-py3-none-any.whl"}, Code.LOCK_BAD),
    ({"file": "other-1.0-py3-none-any.whl"}, Code.LOCK_BAD),
    ({"file": "acme-1.0-py3-none-" + "a" * 200 + ".whl"}, Code.LOCK_BAD),
    ({"file": "acme-1.0-py3-none-a*y.whl"}, Code.LOCK_BAD),
    ({"name": "Acme"}, Code.LOCK_BAD),
    ({"name": "acme; os_name == 'posix'"}, Code.LOCK_BAD),
    ({"size": 0}, Code.LOCK_BAD),
]


@pytest.mark.parametrize(("change", "code"), BAD)
def test_an_entry_that_is_no_wheel_is_refused_by_name(change: dict[str, Any], code: Code) -> None:
    assert _refused(write_lock(Lock(wheels=(entry(**change),)))).code is code


ENTRY = {"file": "acme-1.0-py3-none-any.whl", "name": "acme", "sha256": SHA, "size": 9, "version": "1.0"}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 60_000,
        b"{" * 1_100_000,
        b'{"schema": 1}',
        b'{"schema": 2, "wheels": []}',
        b'{"schema": 1, "wheels": [], "wheels": []}',
        b'{"schema": true, "wheels": []}',
        json.dumps({"schema": 1, "wheels": [{**ENTRY, "url": "x"}]}).encode(),
        json.dumps({"schema": 1, "wheels": [{**ENTRY, "marker": "os_name == 'nt'"}]}).encode(),
        json.dumps({"schema": 1, "wheels": [{**ENTRY, "size": 9.0}]}).encode(),
        json.dumps({"schema": 1, "wheels": [{**ENTRY, "size": "9"}]}).encode(),
        json.dumps({"schema": 1, "wheels": [ENTRY]}).encode(),
        write_lock(Lock(wheels=(entry(), entry()))),
        write_lock(Lock(wheels=(entry(), entry(version="1.1")))),
        write_lock(Lock(wheels=(entry(), entry(file="Acme-1.0-py3-none-any.whl")))),
        write_lock(Lock(wheels=tuple(entry(f"a{number}") for number in range(1001)))),
    ],
)
def test_what_is_not_in_the_one_form_is_no_lock(text: bytes) -> None:
    assert _refused(text).code is Code.LOCK_BAD


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_byte_is_refused_or_is_another_lock_in_the_one_form(data: st.DataObject) -> None:
    text = write_lock(Lock(wheels=(entry(), entry("idna", "3.7"))))
    place, change = data.draw(st.integers(0, len(text) - 1)), data.draw(st.integers(1, 255))
    damaged = text[:place] + bytes([text[place] ^ change]) + text[place + 1 :]
    try:
        assert write_lock(read_lock(damaged)) == damaged
    except UpdateRefused as refused:
        assert refused.code.startswith("LOCK_")  # noqa: PT017 - either outcome is right, each has its own check


TAGS = [Tag("cp311", "cp311", "linux_x86_64"), Tag("cp311", "abi3", "linux_x86_64"), *parse_tag("py3-none-any")]


def test_of_each_name_the_wheel_that_fits_best_is_taken() -> None:
    lock = Lock(
        wheels=(
            entry("acme"),
            entry("acme", tag="cp311-cp311-linux_x86_64"),
            entry("acme", tag="cp311-cp311-win_amd64"),
            entry("idna", "3.7", tag="py2.py3-none-any"),
            entry("idna", "3.7", tag="cp311-abi3-win_amd64"),
        )
    )
    assert [wheel.file for wheel in choose_wheels(lock, TAGS)] == [
        "acme-1.0-cp311-cp311-linux_x86_64.whl",
        "idna-3.7-py2.py3-none-any.whl",
    ]
    assert choose_wheels(Lock(), TAGS) == ()


def test_the_order_of_the_wheels_does_not_count() -> None:
    best, plain = entry(tag="cp311-cp311-linux_x86_64"), entry()
    assert choose_wheels(Lock(wheels=(best, plain)), TAGS) == choose_wheels(Lock(wheels=(plain, best)), TAGS) == (best,)


def test_a_lock_up_to_the_limits_is_read_and_what_is_above_is_said() -> None:
    most = Lock(wheels=tuple(entry(f"a{number}", size=1) for number in range(1000)))
    assert len(read_lock(write_lock(most)).wheels) == 1000
    assert "more than 1048576 bytes" in str(_refused(b" " * 1_048_577))
    assert "has schema 2 with 0 wheels" in str(_refused(b'{"schema": 2, "wheels": []}'))


def test_a_name_without_a_wheel_for_this_machine_is_said() -> None:
    lock = Lock(wheels=(entry("acme", tag="cp311-cp311-win_amd64"), entry("idna")))
    with pytest.raises(UpdateRefused, match="LOCK_INCOMPLETE: no wheel of acme"):
        choose_wheels(lock, TAGS)
