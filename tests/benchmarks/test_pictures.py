"""Pictures are well-formed, bring their own ground, and show what was measured."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pictures import GROUND, LEFT, PICTURES, RIGHT, WIDTH, bars, curves, link_to, write_pictures
from benchmarks.report import render_section
from benchmarks.section import Section

NUMBERS = st.floats(0, 1e9)
LABELS = st.text(st.characters(codec="ascii", categories=["L", "P", "S"]))
SVG = "{http://www.w3.org/2000/svg}"

PEERS = Section(
    "peers", "P", ["queue"], numbers={"arq": {"per_second": [2.0, 3.0, 9.0]}, "hive": {"per_second": [90.0]}}
)
BALANCE = Section("balance", "B", [""], numbers={"the hive": [11.0], "plain pull": [10.5]})
SOAK = Section("soak", "S", [""], numbers={"seconds": [0, 1, 2], "redis_mb": [1, 9, 1], "spore_mb": [50, 52, 51]})


def parsed(picture: str) -> ET.Element:
    root = ET.fromstring(picture)
    ground = root.find(f"{SVG}rect")
    assert ground is not None
    assert ground.get("fill") == GROUND
    return root


def texts(picture: str) -> list[str]:
    return [text.text or "" for text in parsed(picture).iter(f"{SVG}text")]


@given(st.lists(st.tuples(LABELS, NUMBERS), min_size=1, max_size=9))
def test_a_bar_is_as_long_as_its_number_and_within_the_picture(rows: list[tuple[str, float]]) -> None:
    root = parsed(bars("<Title> & more", rows, "hive"))
    widths = [float(bar.get("width", "")) for bar in root.iter(f"{SVG}rect")][1:]
    assert len(widths) == len(rows)
    assert all(1 <= width <= WIDTH - LEFT - RIGHT + 0.1 for width in widths)
    order = sorted(range(len(rows)), key=lambda place: rows[place][1])
    assert [widths[place] for place in order] == sorted(widths)


@given(st.lists(NUMBERS, min_size=2, max_size=50))
def test_a_curve_stays_within_its_axes(values: list[float]) -> None:
    root = parsed(curves("C", [float(place) for place in range(len(values))], [("a", values)], "MB", "s"))
    (line,) = root.iter(f"{SVG}polyline")
    points = [tuple(map(float, point.split(","))) for point in (line.get("points") or "").split(" ")]
    assert len(points) == len(values)
    _, _, width, height = map(float, (root.get("viewBox") or "").split())
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


def test_queues_are_drawn_by_their_medians_the_fastest_first() -> None:
    assert texts(PICTURES["peers"][1](PEERS))[1:] == ["hive", "90", "arq", "3"]


@pytest.mark.parametrize("section", [PEERS, BALANCE, SOAK], ids=lambda section: section.name)
def test_a_picture_is_written_beside_the_report_which_shows_it(section: Section, tmp_path: Path) -> None:
    write_pictures(tmp_path, [section, Section("drain", "no picture", [""])])
    (file,) = tmp_path.iterdir()
    parsed(file.read_text())
    section.rows = [["a"]]
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", render_section(section))
    assert shown == [file.name]


def test_a_measure_without_a_picture_shows_none() -> None:
    assert link_to(Section("drain", "D", [""])) == []
