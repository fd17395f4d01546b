"""The checker names the bug when one is put into a script, and finds nothing when none is."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos import mutants
from chaos.checker import Verdict, judge
from chaos.events import Recorder
from chaos.look import look
from tests.chaos.walk import Walker
from tests.servers import sync_client
from venom_core.config import Settings
from venom_core.infrastructure import scripts
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.redis_link import RedisLink


async def verdict_of_a_walk(settings: Settings, folder: Path, seed: int) -> Verdict:
    recorder = Recorder(folder / "conductor.jsonl")
    async with RedisLink(settings) as link:
        await Walker(link, settings.hive_namespace, recorder, seed).walk()
    client = sync_client(settings.store_url())
    look(client, Keyspace(settings.hive_namespace, 1), recorder)
    client.close()
    recorder.close()
    return judge(folder)


@pytest.mark.parametrize("seed", range(5))
async def test_a_walk_with_the_scripts_as_they_are_is_clean(settings: Settings, tmp_path: Path, seed: int) -> None:
    verdict = await verdict_of_a_walk(settings, tmp_path, seed)
    assert verdict.sentences == []
    assert verdict.figures["completed"] > 50
    assert verdict.figures["taken back"] > 5


@pytest.mark.parametrize("name", mutants.MUTANTS)
async def test_a_bug_in_a_script_is_caught_by_name(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    mutant = mutants.MUTANTS[name]
    monkeypatch.setattr(scripts, mutant.script, mutants.mutated(mutant))
    verdict = await verdict_of_a_walk(settings, tmp_path, seed=1)
    assert mutant.rules & verdict.broken.keys(), verdict.sentences


def test_a_bug_that_no_longer_fits_its_script_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = mutants.Mutant("SETTLE", "a line that the script does not have", "", frozenset())
    with pytest.raises(ValueError, match=r"settle\.lua does not say once"):
        mutants.mutated(gone)
