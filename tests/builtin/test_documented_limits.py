"""The numbers that the page on built-in skills gives are those of the code."""

from __future__ import annotations

import pytest

from tests.tidy.source import ROOT
from venom_spore.builtin import agent_tools, chat, files, page_reader, pages, scan, shell, summary, web, workspace

PAGE = " ".join((ROOT / "docs/built-in-skills.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    "words",
    [
        f"at most {('', 'one', 'two', 'three', 'four', 'five')[web.REDIRECTS_MAX]} redirects",
        f"limited to {pages.READING_S_MAX:g} s and a gibibyte, four at a time",
        f"looks at {scan.ENTRIES_MAX:,} entries, searches {scan.SEARCHED_BYTES_MAX >> 20} MiB",
        f"lists {scan.MATCHES_MAX} matches",
        f"no deeper than {workspace.PATH_PARTS_MAX} steps",
        f"Of each output {shell.OUTPUT_BYTES_MAX:,} bytes are kept",
        f"{chat.ANSWER_BYTES_MAX >> 20} MiB",
        f"{chat.CALLS_MAX}; {agent_tools.ANSWER_CHARS_MAX:,} characters",
    ],
)
def test_the_page_names_the_limit(words: str) -> None:
    assert words in PAGE


def test_the_descriptions_of_the_skills_name_their_limits() -> None:
    assert f"{files.LISTED_MAX:,} entries" in str(files.Files.list_files.__doc__)
    assert f"1 to {pages.SENTENCES_MAX}" in str(pages.Pages.summarise.__doc__)
    assert f"{shell.OUTPUT_BYTES_MAX:,} bytes" in str(shell.Shell.shell.__doc__)
    assert f"{page_reader.TEXT_CHARS_MAX:,} characters" in str(page_reader.read.__doc__)
    assert f"first {summary.SENTENCES_READ_MAX}" in str(summary.summarise.__doc__)
    assert (page_reader.MEMORY_BYTES_MAX, pages.READERS_MAX, shell.TIMEOUT_S_MAX) == (1 << 30, 4, 3600)
