"""Taste that can be executed: each rule looks at every file and lists what breaks it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable

import pytest

from tests.tidy import calls, floors, shape, store, words
from tests.tidy.source import ROOT, Source, product_sources, python_sources, sources
from venom_core.infrastructure.keys import KEYS

Check = Callable[[Source], list[str]]

LUA = "venom_core/infrastructure/lua/"


def _none(faults: Iterable[str]) -> None:
    found = list(faults)
    assert not found, "\n" + "\n".join(found)


def _over(files: Iterable[Source], check: Check) -> None:
    _none(fault for source in files for fault in check(source))


@pytest.mark.parametrize("check", [words.registry_addresses, words.machine_paths, words.leftovers, shape.long_files])
def test_no_file_breaks(check: Check) -> None:
    _over(sources(), check)


@pytest.mark.parametrize(
    "check",
    [
        shape.long_functions,
        shape.deep_functions,
        shape.wide_constructors,
        floors.imports_in_functions,
        calls.pickles,
        calls.blocking_sleeps,
        calls.hopeful_sleeps,
        words.vague_names,
        words.bare_suppressions,
        words.bare_skips,
    ],
)
def test_no_python_file_breaks(check: Check) -> None:
    _over(python_sources(), check)


@pytest.mark.parametrize(
    "check",
    [
        floors.climbing_imports,
        floors.foreign_imports,
        floors.company_of_the_alone,
        calls.prints,
        calls.clock_reads,
        calls.environment_reads,
        calls.raw_redis_commands,
    ],
)
def test_no_product_module_breaks(check: Check) -> None:
    _over(product_sources(), check)


def test_imports_form_no_circle() -> None:
    _none(floors.circles(product_sources()))


def test_the_worker_reaches_no_heavy_package() -> None:
    _none(floors.heavy_worker_imports(product_sources()))


def test_medians_stay_small() -> None:
    file_lines, function_lines = shape.medians(product_sources())
    assert file_lines <= shape.FILE_LINES_MEDIAN
    assert function_lines <= shape.FUNCTION_LINES_MEDIAN


def test_every_key_says_what_it_holds_and_how_it_leaves() -> None:
    _none(store.nameless_ends(KEYS))
    assert len({spec.name for spec in KEYS}) == len(KEYS)


def test_every_script_declares_the_keys_it_touches() -> None:
    files = {source.path.removeprefix(LUA): source for source in sources() if source.path.startswith(LUA)}
    library = {name[4:-4]: source.text for name, source in files.items() if name.startswith("lib/")}
    scripts = [source for name, source in files.items() if "/" not in name]
    _none(store.undeclared_keys(scripts, library, frozenset(spec.name for spec in KEYS if ":" not in spec.name)))


@pytest.mark.parametrize(
    "script", sorted(path.name for path in (ROOT / "scripts").iterdir() if path.is_file() and not path.suffix)
)
def test_a_script_is_plain_sh_executable_and_stops_at_an_error(script: str) -> None:
    path = ROOT / "scripts" / script
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\n")
    assert os.access(path, os.X_OK)
    assert script == "bootstrap" or "\nset -eu\n" in text
    assert subprocess.run(["sh", "-n", path], check=False).returncode == 0
