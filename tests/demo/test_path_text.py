from __future__ import annotations

import os
from pathlib import Path

import pytest

from venom_core.demo.path_text import from_wire, printable, to_wire

ODD = Path(os.fsdecode(b"/x/caf\xe9 100%.py"))


@pytest.mark.parametrize("path", [Path("/x/plain.py"), Path("/x/żółw 100%.py"), ODD])
def test_a_path_comes_out_of_a_message_as_it_went_in(path: Path) -> None:
    text = to_wire(path)
    text.encode()
    assert from_wire(text) == path


def test_an_ordinary_path_stays_readable() -> None:
    assert to_wire(Path("/x/żółw.py")) == "/x/żółw.py"


def test_a_name_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[31mb\nc\udce9") == r"a\x1b[31mb\nc\udce9"
    assert printable("żółw") == "żółw"
