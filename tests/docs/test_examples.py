"""Every example of the documents is run as it stands there, on a real server with real processes."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from tests.docs.commands import ELSEWHERE, RUN, commands
from tests.docs.markdown import Block, blocks, documents
from tests.docs.stage import Stage, environment_of
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker

# What a block may be. `text` is output or an error message, `dotenv` the file of that name, and
# `yaml` an override of the compose file, which tests/stacks/test_overrides.py holds against a real Compose.
LANGUAGES = {"python", "bash", "text", "mermaid", "dotenv", "yaml"}
EVERY = [block for document in documents() for block in blocks(document)]


def _examples() -> list[tuple[str, list[Block]]]:
    """The blocks that do something, by document and example; output goes with the block before it."""
    found: dict[str, list[Block]] = {}
    for document, listed in groupby(EVERY, key=lambda block: block.document):
        latest = ""
        for block in listed:
            if not block.is_output:
                latest = f"{document}: {block.example}"
            if block.is_output or block.language in {"python", "bash"}:
                found.setdefault(latest, []).append(block)
    return list(found.items())


EXAMPLES = _examples()


@pytest.mark.parametrize("example", [listed for _, listed in EXAMPLES], ids=[name for name, _ in EXAMPLES])
async def test_an_example_does_what_it_says(
    example: list[Block], settings: Settings, broker: MessageBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", settings.store_url())
    monkeypatch.setenv("HIVE_NAMESPACE", settings.hive_namespace)
    monkeypatch.chdir(tmp_path)
    environment = environment_of(settings.store_url(), settings.hive_namespace)
    stage = Stage(tmp_path, environment, broker, monkeypatch.setenv)
    try:
        for block in example:
            await stage.play(block)
    finally:
        await stage.close()


def test_every_block_says_what_it_is() -> None:
    assert [block.place for block in EVERY if block.language not in LANGUAGES] == []


def test_a_command_is_run_or_its_kind_is_listed_with_a_reason() -> None:
    strange = [
        f"{block.place}: {' '.join(command.words)}"
        for block in EVERY
        if block.language == "bash"
        for command in commands(block.text)
        if command.words[0] not in RUN and command.elsewhere is None
    ]
    assert strange == []


def test_no_kind_of_command_is_listed_that_no_document_uses() -> None:
    used = {id(c.elsewhere) for block in EVERY if block.language == "bash" for c in commands(block.text)}
    assert [kind for kind, listed in ELSEWHERE.items() if id(listed) not in used] == []


@pytest.mark.parametrize("block", [b for b in EVERY if b.language == "dotenv"], ids=lambda block: block.place)
def test_a_file_of_settings_is_accepted(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(block.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Settings.load()
