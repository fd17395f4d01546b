"""The catalogue of lines in a requirements file: what an installer would do for them is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.requirements import parse_requirements, read_requirements

A, B = "a1" * 32, "b2" * 32
HASH = f"--hash=sha256:{A}"


def test_pins_are_read_in_any_usual_writing(tmp_path: Path) -> None:
    text = f"""# made by hand
    H11 == 0.16.0 {HASH}   # why not
Acme_Lib[fast,big]==1.0.0 \\
    --hash=sha256:{A} \\
    --hash sha256:{B.upper()}
    # via h11

idna==3.7 --hash=sha256:{B} \\"""
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    acme, h11, idna = read_requirements(path)
    assert (acme.name, acme.version, acme.hashes, acme.extras) == (
        "acme-lib",
        "1.0.0",
        frozenset({A, B}),
        frozenset({"fast", "big"}),
    )
    assert (h11.name, h11.version, h11.extras) == ("h11", "0.16.0", frozenset())
    assert idna.line == f"idna==3.7 --hash=sha256:{B}"


URL = "https://example.org"
BAD: list[tuple[str, Code]] = [
    (f"h11==0.16.0 --hash=md5:{'0' * 32}", Code.LOCK_UNHASHED),
    ("h11==0.16.0", Code.LOCK_UNHASHED),
    (f"h11==0.16.0 --hash=sha512:{'0' * 128}", Code.LOCK_UNHASHED),
    (f"h11==0.16.0 {HASH} --hash=md5:{'0' * 32}", Code.LOCK_UNHASHED),
    ("h11==0.16.0 --hash=sha256:abc", Code.LOCK_UNHASHED),
    (f"h11>=0.1 {HASH}", Code.LOCK_UNPINNED),
    (f"h11 {HASH}", Code.LOCK_UNPINNED),
    (f"h11==0.16.* {HASH}", Code.LOCK_UNPINNED),
    (f"h11===0.16.0 {HASH}", Code.LOCK_UNPINNED),
    (f"h11==0.16.0,!=0.15 {HASH}", Code.LOCK_UNPINNED),
    (f"./dist/h11-0.16.0.tar.gz {HASH}", Code.LOCK_SDIST),
    (f"h11-0.16.0.tar.gz {HASH}", Code.LOCK_SDIST),
    (f"h11-0.16.0.zip {HASH}", Code.LOCK_SDIST),
    (f"file:///srv/h11-0.16.0.tar.gz {HASH}", Code.LOCK_SDIST),
    (f"h11 @ file:///srv/h11-0.16.0.tar.gz {HASH}", Code.LOCK_SDIST),
    (f"h11 @ file:///srv/h11-0.16.0.tar.gz#sha256={A}", Code.LOCK_SDIST),
    (f"h11 @ file:///srv/h11-0.16.0-py3-none-any.whl {HASH}", Code.LOCK_URL),
    (f"file:///srv/h11-0.16.0-py3-none-any.whl {HASH}", Code.LOCK_URL),
    (f"file:h11-0.16.0-py3-none-any.whl {HASH}", Code.LOCK_URL),
    (f"h11-0.16.0-py3-none-any.whl {HASH}", Code.LOCK_URL),
    (f"h11 @ {URL}/h11-0.16.0-py3-none-any.whl {HASH}", Code.LOCK_URL),
    (f"h11@ {URL}/h11-0.16.0-py3-none-any.whl", Code.LOCK_URL),
    (f"{URL}/h11-0.16.0-py3-none-any.whl", Code.LOCK_URL),
    (f"h11 @ somewhere {HASH}", Code.LOCK_URL),
    (f"h11@somewhere {HASH}", Code.LOCK_URL),
    ("-e .", Code.LOCK_EDITABLE),
    ("--editable=src/h11", Code.LOCK_EDITABLE),
    (f"./h11 {HASH}", Code.LOCK_EDITABLE),
    (f"src/h11 {HASH}", Code.LOCK_EDITABLE),
    (f"..\\h11 {HASH}", Code.LOCK_EDITABLE),
    (f"src\\h11 {HASH}", Code.LOCK_EDITABLE),
    (f"~/h11 {HASH}", Code.LOCK_EDITABLE),
    (". ", Code.LOCK_EDITABLE),
    (f"git+{URL}/h11", Code.LOCK_VCS),
    (f"h11 @ git+{URL}/h11@main {HASH}", Code.LOCK_VCS),
    (f"-e git+ssh://git@example.org/h11#egg=h11 {HASH}", Code.LOCK_VCS),
    (f"hg+{URL}/h11", Code.LOCK_VCS),
    (f"GIT+{URL}/h11", Code.LOCK_VCS),
    (f"-r {URL}/more.txt", Code.LOCK_INCLUDE),
    ("-rmore.txt", Code.LOCK_INCLUDE),
    (f"-c {URL}/more.txt", Code.LOCK_INCLUDE),
    ("--requirement=more.txt", Code.LOCK_INCLUDE),
    ("--constraint more.txt", Code.LOCK_INCLUDE),
    (f"--find-links={URL}", Code.LOCK_OPTION),
    (f"-f {URL}", Code.LOCK_OPTION),
    (f"--index-url={URL}", Code.LOCK_OPTION),
    (f"-i {URL}", Code.LOCK_OPTION),
    (f"--extra-index-url={URL}", Code.LOCK_OPTION),
    ("--trusted-host example.org", Code.LOCK_OPTION),
    ("--pre", Code.LOCK_OPTION),
    ("--no-binary :all:", Code.LOCK_OPTION),
    ("--no-index", Code.LOCK_OPTION),
    ("--require-hashes", Code.LOCK_OPTION),
    ("--use-feature=x", Code.LOCK_OPTION),
    (f"h11==0.16.0 {HASH} --config-settings=a=b", Code.LOCK_OPTION),
    (f'h11==0.16.0 --global-option="x" {HASH}', Code.LOCK_OPTION),
    (f"h11==0.16.0 -e . {HASH}", Code.LOCK_OPTION),
    (f"h11==${{VERSION}} {HASH}", Code.LOCK_OPTION),
    ("${HOME}", Code.LOCK_OPTION),
    (f"h11==0.16.0\x1b[2J {HASH}", Code.LOCK_OPTION),
    (f"h11==0.16.0; python_version < '3' {HASH}", Code.LOCK_MARKER),
    (f"h11==0.16.0 ; os_name == 'posix' {HASH}", Code.LOCK_MARKER),
    (f"h11==0.16.0; {'(' * 50_000} {HASH}", Code.LOCK_BAD),
    (f"h11==0.16.0 0.17 {HASH}", Code.LOCK_BAD),
    (f"h11=0.16.0 {HASH}", Code.LOCK_BAD),
    (f"h11=={'9' * 5000} {HASH}", Code.LOCK_UNPINNED),
    (f"é==1.0 {HASH}", Code.LOCK_BAD),
    (f"h11==0.16.0 {HASH}\nH11==0.16.0 {HASH}", Code.LOCK_BAD),
    ("x" * 100_001, Code.LOCK_BAD),
    ("x\\\n" * 50_001, Code.LOCK_BAD),
    ("\n".join(f"a{number}==1 {HASH}" for number in range(1001)), Code.LOCK_BAD),
]


@pytest.mark.parametrize(("line", "code"), BAD)
def test_a_line_that_is_no_pin_is_refused_by_name(line: str, code: Code) -> None:
    with pytest.raises(UpdateRefused) as refused:
        parse_requirements(f"{line}\n")
    assert refused.value.code is code, refused.value
    assert str(refused.value).isprintable()
    assert " line 1 " in str(refused.value) or "\n" in line


def test_the_line_is_named_by_its_number() -> None:
    with pytest.raises(UpdateRefused, match=r"LOCK_OPTION: line 4 of the requirements \('--pre'\) is refused"):
        parse_requirements(f"# one\nh11==0.16.0 \\\n  {HASH}\n--pre\n")


def test_a_file_is_text_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"h11==0.16.0 \xff")
    with pytest.raises(UpdateRefused, match=r"LOCK_BAD: .* is not UTF-8"):
        read_requirements(path)
    path.write_bytes(b"#" * 5_000_000)
    with pytest.raises(UpdateRefused, match=r"LOCK_BAD: .* more than 4194304 bytes"):
        read_requirements(path)
    with pytest.raises(UpdateRefused, match="LOCAL_FAULT"):
        read_requirements(tmp_path / "none.txt")


WORDS = st.sampled_from(
    [
        "h11",
        "==",
        "1.0",
        HASH,
        "--pre",
        "-r",
        "@",
        URL,
        "git+",
        ";",
        "os_name",
        "'x'",
        "\\",
        "\n",
        "#",
        " ",
        "-e",
        "./a",
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=12).map(" ".join), st.lists(WORDS).map("".join)))
def test_whatever_is_in_a_file_it_is_refused_or_a_pin_that_reads_as_itself(text: str) -> None:
    try:
        pins = parse_requirements(text)
    except UpdateRefused as refused:
        assert refused.code.startswith("LOCK_")  # noqa: PT017 - either outcome is right, each has its own check
        return
    assert all(parse_requirements(pin.line)[0].line == pin.line for pin in pins)
