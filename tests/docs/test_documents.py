"""What the documents say of the code is compared with the code: tables, diagram, names, messages, paths, links."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from functools import cache

import pytest

from tests.docs import api, env_file, picture, tables
from tests.docs.markdown import anchors, blocks, documents, links, prose, rows, text_of
from tests.tidy.calls import dotted
from tests.tidy.floors import imports
from tests.tidy.source import ROOT, Source, product_sources
from venom_core.config import Settings
from venom_core.domain.lifecycle import diagram

_FOLDERS = "venom_core|venom_spore|tests|scripts|docs|benchmarks|chaos|requirements"
_PATH = re.compile(rf"`((?:\./)?(?:{_FOLDERS})/[\w./-]*|[\w.-]+\.(?:md|toml|yml|example))`")
_SETTING = re.compile(r"\b(?:HIVE|REDIS|NEXUS|VENOM)_[A-Z_]*[A-Z]\b")
# Files that a document has its reader write, or that belong to another program.
FOREIGN_FILES = {"redis.conf", "docker-compose.override.yml"}


def test_the_diagram_is_the_table_of_transitions() -> None:
    drawn = [block.text.rstrip() for block in blocks("docs/concepts.md") if block.language == "mermaid"]
    assert drawn == [diagram()]


@pytest.mark.parametrize("document", tables.TABLES)
def test_a_document_says_what_the_code_says(document: str) -> None:
    text = text_of(document)
    assert tables.renewed(document, text) == text, "run: python -m tests.docs.tables"


def test_every_setting_stands_in_one_table_with_its_default_and_meaning() -> None:
    assert sorted(rows("docs/configuration.md", "`[A-Z_]+`")) == sorted(tables.setting_rows())


def test_the_example_of_an_env_file_is_made_from_the_settings() -> None:
    made = env_file.rendered(tables.docstrings())
    assert env_file.FILE.read_text(encoding="utf-8") == made, "run: python -m tests.docs.tables"


def test_the_reference_is_made_from_the_code() -> None:
    assert api.PAGE.read_text(encoding="utf-8") == api.rendered(), "run: python -m tests.docs.tables"


def test_whatever_is_public_says_what_it_does() -> None:
    for _, path, names in api.PUBLIC:
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        for name in names:
            thing = getattr(module, name)
            silent = [member for member, found in vars(thing).items() if callable(found) and not member.startswith("_")
                      and not inspect.getdoc(found)] if inspect.isclass(thing) else []  # fmt: skip
            assert inspect.getdoc(thing)
            assert silent == []


def test_the_checklist_is_that_of_the_documents_item_by_item() -> None:
    asked = re.findall(r"^- \[ \] (.+)$", (ROOT / "tests/seed/the_hive_en.md").read_text("utf-8"), re.MULTILINE)
    before = text_of("docs/security.md").partition("## The checklist")[2].partition("\n### ")[0]
    listed = [row.split(" | ")[0].removeprefix("| ") for row in before.splitlines() if row.startswith("| ")][1:]
    assert len(listed) == 10
    assert listed == asked[:10]


@pytest.mark.parametrize("document", documents())
def test_every_name_of_a_setting_exists(document: str) -> None:
    names = {name.lower() for name in _SETTING.findall(text_of(document))}
    assert names - set(Settings.model_fields) == set()


@pytest.mark.parametrize("document", documents())
def test_every_path_exists(document: str) -> None:
    named = set(_PATH.findall(text_of(document))) - FOREIGN_FILES
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", documents())
def test_every_link_leads_somewhere(document: str) -> None:
    broken = []
    for link in links(document):
        if link.startswith(("https:", "http:")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        name = target.resolve().relative_to(ROOT).as_posix()
        if not target.exists() or (anchor and anchor not in anchors(name)):
            broken.append(link)
    assert broken == []


def test_every_document_is_named_in_the_index() -> None:
    named = {f"docs/{link}" for link in links("docs/index.md")}
    # Of the measurements there may be none yet: whoever measures writes them.
    assert set(documents()) - {"README.md", "docs/index.md", "docs/benchmarks.md"} - named == set()


@cache
def _texts() -> list[str]:
    """Every text in the product's code; an f-string by its parts."""
    constants = (
        node for source in product_sources() for node in ast.walk(source.tree) if isinstance(node, ast.Constant)
    )
    return [node.value for node in constants if isinstance(node.value, str)]


def _messages() -> list[str]:
    """The first cells of the tables of errors, and every other message with a gap."""
    text = prose("docs/troubleshooting.md")
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE) + re.findall(r"`(… [^`]+)`", text)


@pytest.mark.parametrize("message", _messages())
def test_a_message_of_the_troubleshooting_page_is_one_of_the_code(message: str) -> None:
    parts = [part for part in message.replace("\n", " ").split("…") if part.strip(" :;.,'`()")]
    assert parts
    assert [part for part in parts if not any(part.strip(" '") in text for text in _texts())] == []


ASKED_FOR = ("redis", "psutil", "pydantic", "httpx", "cryptography", "arq", "semantic-kernel")


@cache
def _package_rows() -> dict[str, tuple[str, list[str], list[str]]]:
    """Of each package in the README's table: where it is used, the files named there, and the tests."""
    found = {}
    for line in text_of("README.md").splitlines():
        if re.match(r"\| [a-z-]+ \| (always|extra)", line):
            _, package, _, where, tests, _ = (cell.strip() for cell in line.split("|"))
            found[package] = where, re.findall(r"`([\w/]+\.py)`", where), re.findall(r"`([\w/]+\.py)`", tests)
    return found


def _imports(path: str, module: str) -> bool:
    """Whether a file imports a module, or something out of it; by name too, as what may be absent is imported."""
    source = Source(path, (ROOT / path).read_text(encoding="utf-8"))
    by_name = [
        node.args[0].value
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and dotted(node.func) in {"importlib.import_module", "pytest.importorskip"}
        and isinstance(node.args[0], ast.Constant)
    ]
    found = [*(name for _, name in imports(source)), *map(str, by_name)]
    return any(name == module or name.startswith(f"{module}.") for name in found)


def test_the_readme_names_the_packages_that_were_asked_for() -> None:
    assert set(_package_rows()) == set(ASKED_FOR)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f'"{name}' in project for name in ASKED_FOR)


@pytest.mark.parametrize("package", ASKED_FOR)
def test_the_readme_is_honest_about_where_a_package_is_used_and_which_test_proves_it(package: str) -> None:
    where, files, tests = _package_rows()[package]
    module = package.replace("-", "_")
    of_ours = {source.path for source in product_sources() if _imports(source.path, module)}
    if "nowhere yet" in where:
        assert not of_ours
        assert all(_imports(test, module) for test in tests)
        return
    assert tests
    if "duck typing" in where:
        assert not of_ours
        assert all(_imports(test, module) for test in tests)
    else:
        assert any(_imports(path, module) for path in files)
    # A test proves a package by using it, or what is built on it.
    built = [module, *(path.removesuffix(".py").replace("/", ".") for path in files)]
    assert [test for test in tests if not any(_imports(test, name) for name in built)] == []


def test_the_picture_shows_what_a_run_printed_and_that_run_was_a_good_one() -> None:
    said = picture.RUN.read_text(encoding="utf-8")
    assert picture.PICTURE.read_text(encoding="utf-8") == picture.draw(said), "run: python -m tests.docs.picture"
    assert re.search(r"^All [\d,]+ files are in the result exactly once\.$", said, re.MULTILINE)
    assert re.search(r"^Recovered: .* started again on ", said, re.MULTILINE)
