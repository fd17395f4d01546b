"""Every attack on signed metadata: by which code it is to be refused, and how it is mounted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.ota.forge import Change, Forge
from tests.ota.households import Household
from venom_core.ota.refusal import Code
from venom_core.ota.verifying import ROLES

Attack = Callable[[Household, Forge], object]


def grown(name: str, bytes_more: int) -> Attack:
    def attack(household: Household, forge: Forge) -> None:
        household.server.plan(name, lambda answer: answer.say(200, b" " * bytes_more))

    return attack


def replaced(role: str, old: bytes, new: bytes) -> Attack:
    """Change the bytes of a new version of a file after it was signed, and nothing else."""

    def attack(_: Household, forge: Forge) -> None:
        path = forge.change(role, lambda signed: None)
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new, 1))

    return attack


def cut(role: str) -> Attack:
    def attack(_: Household, forge: Forge) -> None:
        path = forge.change(role, lambda signed: None)
        path.write_bytes(path.read_bytes()[:-1])

    return attack


def text_of(role: str, data: bytes) -> Attack:
    """Serve these bytes as the newest of a role, named by whatever names it."""

    def attack(_: Household, forge: Forge) -> None:
        version = forge.signed(role)["version"] + 1
        path = forge.folder / ("timestamp.json" if role == "timestamp" else f"{version}.{role}.json")
        path.write_bytes(data)
        forge.follow(role, path, version)

    return attack


def signed_as(role: str, change: Change, by: str | None = None) -> Attack:
    """A change that is signed as it should be, or by the keys of another role."""
    return lambda _, forge: forge.change(role, change, None if by is None else forge.keys_of(by))


def signed_by_nobody(role: str) -> Attack:
    return lambda _, forge: forge.change(role, lambda signed: None, ())


def nothing(_: dict[str, Any]) -> None:
    """No change but the version."""


def put(*path: str, value: Any) -> Change:
    """Set one value, however deep."""

    def change(signed: dict[str, Any]) -> None:
        *above, last = path
        here: Any = signed
        for name in above:
            here = here[name]
        here[last] = value

    return change


def expired(role: str) -> Attack:
    return signed_as(role, put("expires", value="2027-01-15T07:59:59Z"))


def with_the_key_before(role: str) -> Attack:
    """The key that was replaced signs on."""

    def attack(household: Household, forge: Forge) -> None:
        old = forge.keys_of(role)
        household.repository.rotate(role)
        household.refresh()
        forge.change(role, nothing, old)

    return attack


def with_few_root_keys(household: Household, forge: Forge) -> None:
    forge.change("root", nothing, forge.keys_of("root")[:1])


def with_one_root_key_twice(household: Household, forge: Forge) -> None:
    one = forge.keys_of("root")[0]
    forge.change("root", nothing, [one, one])


def one_key_under_two_ids(household: Household, forge: Forge) -> None:
    """A root that asks for two keys of the snapshot, and lists one key as two."""

    def change(signed: dict[str, Any]) -> None:
        [keyid] = signed["roles"]["snapshot"]["keyids"]
        signed["keys"]["f" * 64] = signed["keys"][keyid]
        signed["roles"]["snapshot"]["keyids"].append("f" * 64)

    forge.change("root", change)


def as_another_file(served: str, wanted: str) -> Attack:
    """An honest file of one role under the name of another."""

    def attack(household: Household, forge: Forge) -> None:
        text_of(wanted, forge.path_of(served).read_bytes())(household, forge)

    return attack


def without_targets(household: Household, forge: Forge) -> None:
    forge.change("snapshot", lambda signed: signed["meta"].pop("targets.json"))


def older(role: str) -> Attack:
    """Everything is signed anew, with a lower version of one role."""

    def attack(household: Household, forge: Forge) -> None:
        for _ in range(3):
            forge.change(role, nothing)
        household.refresh()
        signed = forge.signed(role)
        signed["version"] -= 1
        name = "timestamp.json" if role == "timestamp" else f"{signed['version']}.{role}.json"
        forge.write(forge.folder / name, signed, forge.keys_of(role))
        forge.follow(role, forge.folder / name, signed["version"])

    return attack


def root_that_skips(household: Household, forge: Forge) -> None:
    path = forge.change("root", put("version", value=3))
    path.rename(path.with_name("2.root.json"))


def other_content(household: Household, forge: Forge) -> None:
    forge.change("targets", put("targets", "packages/tasks-1.0.0.zip", "hashes", "sha256", value="0" * 64))


LISTING = ("targets", "packages/tasks-1.0.0.zip", "custom")
SPEC = b'"spec_version"'
DEEP = b"[" * 16_000
NESTED: list[Any] = []
for _ in range(40):
    NESTED = [NESTED]
LOOP = b'{"signed":' + b'{"a":' * 400 + b"1" + b"}" * 400 + b',"signatures":[]}'

ATTACKS: dict[str, tuple[Code, Attack]] = {
    # Length and hash.
    "root larger than its limit": (Code.TOO_BIG, grown("2.root.json", 512_001)),
    "timestamp larger than its limit": (Code.TOO_BIG, grown("timestamp.json", 16_385)),
    "snapshot longer than signed": (Code.TOO_BIG, replaced("snapshot", b"}", b"} ")),
    "targets longer than signed": (Code.TOO_BIG, replaced("targets", b"}", b"} ")),
    "snapshot shorter than signed": (Code.BAD_METADATA, cut("snapshot")),
    "targets whose blank is gone": (Code.WRONG_LENGTH, replaced("targets", b": ", b":")),
    "snapshot with other bytes": (Code.WRONG_HASH, replaced("snapshot", b'"1.0.31"', b'"1.0.30"')),
    "targets with other bytes": (Code.WRONG_HASH, replaced("targets", b'"files": 2', b'"files": 3')),
    # Signatures.
    "root signed by fewer than must": (Code.BAD_SIGNATURE, with_few_root_keys),
    "root signed twice by one key": (Code.BAD_METADATA, with_one_root_key_twice),
    "one key under two ids": (Code.BAD_METADATA, one_key_under_two_ids),
    "timestamp changed after it was signed": (Code.BAD_SIGNATURE, replaced("timestamp", b'"length": ', b'"length": 1')),
    **{f"{role} signed by nobody": (Code.BAD_SIGNATURE, signed_by_nobody(role)) for role in ROLES},
    **{
        f"{role} signed by the keys of {by}": (Code.BAD_SIGNATURE, signed_as(role, nothing, by))
        for role, by in (("root", "targets"), ("targets", "snapshot"), ("snapshot", "timestamp"), ("timestamp", "root"))
    },
    **{
        f"{role} signed by a key that was replaced": (Code.BAD_SIGNATURE, with_the_key_before(role))
        for role in ("targets", "snapshot", "timestamp")
    },
    **{
        f"a {served} served as the {wanted}": (Code.BAD_METADATA, as_another_file(served, wanted))
        for served, wanted in (
            ("snapshot", "timestamp"), ("targets", "timestamp"), ("timestamp", "snapshot"), ("root", "targets"),
            ("targets", "root"),
        )
    },
    # Time.
    **{f"{role} expired": (Code.EXPIRED, expired(role)) for role in ROLES},
    "signed the day after tomorrow": (
        Code.CLOCK_BACKWARDS, signed_as("timestamp", put("issued", value="2027-01-16T09:00:00+00:00")),
    ),
    "signed at no time": (Code.BAD_METADATA, signed_as("timestamp", put("issued", value="soon"))),
    # Versions.
    **{f"{role} older": (Code.ROLLBACK, older(role)) for role in ("timestamp", "snapshot", "targets")},
    "root that skips a version": (Code.ROLLBACK, root_that_skips),
    "snapshot without the targets": (Code.BAD_METADATA, without_targets),
    "a version with other content": (Code.VERSION_REUSED, other_content),
    # Form.
    **{
        f"{role}: {what}": (Code.BAD_METADATA, text_of(role, data))
        for role in ("root", "timestamp", "snapshot", "targets")
        for what, data in {
            "empty": b"",
            "no JSON": b"<html>sign in</html>",
            "a list": b"[]",
            "nested deeply": DEEP,
            "nested more than allowed": LOOP,
            "not UTF-8": b'{"signed": "\xff"}',
            "a name twice": b'{"signatures":[],"signatures":[],"signed":{}}',
            "a number of 5,000 digits": b'{"signed":{"version":' + b"9" * 5_000 + b'},"signatures":[]}',
        }.items()
    },
    **{
        f"timestamp: version {value!r}": (Code.BAD_METADATA, signed_as("timestamp", put("version", value=value)))
        for value in (True, -1, 0, 2**60, "2", None)
    },
    **{
        f"timestamp: {text.decode()}": (Code.BAD_METADATA, replaced("timestamp", SPEC, b'"n": ' + text + b", " + SPEC))
        for text in (b"NaN", b"Infinity", b"-Infinity", b"1.5", b"1e999", b'"\\ud800"')
    },
    "timestamp: a name twice, else as signed": (
        Code.BAD_METADATA, replaced("timestamp", b'{"signed"', b'{"signatures": [], "signed"'),
    ),
    "timestamp: nested too deeply, and signed": (Code.BAD_METADATA, signed_as("timestamp", put("later", value=NESTED))),
    "a threshold of true": (Code.BAD_METADATA, signed_as("root", put("roles", "root", "threshold", value=True))),
    "a threshold of nobody": (Code.BAD_METADATA, signed_as("root", put("roles", "root", "threshold", value=0))),
    "a length of true": (
        Code.BAD_METADATA, signed_as("targets", put("targets", "packages/tasks-1.0.0.zip", "length", value=True)),
    ),
    "a specification of the future": (Code.BAD_METADATA, signed_as("targets", put("spec_version", value="2.0.0"))),
    "a time that is none": (Code.BAD_METADATA, signed_as("targets", put("expires", value="never"))),
    "a time that is a number": (Code.BAD_METADATA, signed_as("targets", put("expires", value=4_000_000_000))),
    # What a package says of itself.
    "no listing": (Code.BAD_METADATA, signed_as("targets", put(*LISTING, value=None))),
    "a schema of the future": (Code.BAD_METADATA, signed_as("targets", put(*LISTING, "manifest", "schema", value=2))),
    "a field that nobody knows": (Code.BAD_METADATA, signed_as("targets", put(*LISTING, "run", value="rm"))),
    "files as text": (Code.BAD_METADATA, signed_as("targets", put(*LISTING, "files", value="2"))),
    "files as true": (Code.BAD_METADATA, signed_as("targets", put(*LISTING, "files", value=True))),
    "another version than the name": (
        Code.BAD_METADATA, signed_as("targets", put(*LISTING, "manifest", "version", value="9.0")),
    ),
    **{
        f"a target {name!r}": (
            Code.BAD_METADATA,
            signed_as("targets", put("targets", name, value={"length": 1, "hashes": {"sha256": "0" * 64}})),
        )
        for name in ("evil", "../evil.whl", "wheels/../../evil.whl", "wheels/", "wheels/.pth", "bin/sh", "/etc/passwd")
    },
    "a hash of another kind": (
        Code.BAD_METADATA,
        signed_as("targets", put("targets", "wheels/a.whl", value={"length": 1, "hashes": {"sha512": "0" * 128}})),
    ),
}  # fmt: skip
