"""A few seconds of a storm with real processes: clean with the scripts as they are, and not with a bug in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos import __main__ as command
from chaos import mutants
from chaos.events import Event, read
from chaos.memory import BURST
from chaos.mix import Plan, chunks
from chaos.scenarios import PARTITIONS, SCENARIOS
from chaos.server import StormServer
from chaos.storm import NAMESPACE, Scale, Scenario, Storm, storm
from tests.hives import until
from venom_core.infrastructure.keys import Keyspace

SMALL = Scale("test", tasks=300, seconds=2.5)


def test_a_storm_in_which_spores_die_is_clean(tmp_path: Path) -> None:
    verdict = storm(SCENARIOS["spores_killed"], SMALL, tmp_path / "storm")
    assert verdict.sentences == []
    assert verdict.figures["tasks"] == 300 + sum(BURST.values())
    assert verdict.figures["blows"] > 2


def test_a_storm_in_which_hand_written_loops_die_and_dead_letters_are_put_back_in_line_is_clean(
    tmp_path: Path,
) -> None:
    verdict = storm(SCENARIOS["consumers_killed"], SMALL, tmp_path / "storm")
    assert verdict.sentences == []
    events = [event for path in (tmp_path / "storm").glob("*.jsonl") for event in read(path)]
    assert any(event.what == "ok" and event.text == "pending" for event in events)
    assert {event.lane for event in events if event.what == "hello"} >= {"consumer", "spore", "caller"}


def test_a_storm_over_four_partitions_in_which_callers_of_runs_die_is_clean(tmp_path: Path) -> None:
    scenario = replace(SCENARIOS["callers_killed"], partitions=PARTITIONS)
    verdict = storm(scenario, replace(SMALL, tasks=1_200), tmp_path / "storm")
    assert verdict.sentences == []
    assert verdict.figures["runs"] >= 4
    events = [event for event in read(tmp_path / "storm" / "conductor.jsonl") if event.what == "memory"]
    assert [event.text for event in events] == ["before", "after"]
    assert {key.partition("}")[0] for key in events[0].ids} == {f"{{storm:{number}" for number in range(PARTITIONS)}


def test_a_storm_finds_a_bug_that_every_process_has(tmp_path: Path) -> None:
    mutant = {mutants.MUTANT: "crash_uncounted"}
    # All slots are taken when a Spore dies, so some of its tasks are taken back.
    scenario = replace(SCENARIOS["spores_killed"], environment=mutant, mix={"long": 1000})
    verdict = storm(scenario, replace(SMALL, seconds=3.5), tmp_path / "storm")
    assert verdict.figures["taken back"] > 0
    assert set(verdict.broken) == mutants.MUTANTS["crash_uncounted"].rules


def test_a_storm_finds_what_goes_on_after_its_spore_stood_still(tmp_path: Path) -> None:
    folder = tmp_path / "storm"

    async def one_spore_stopped_in_the_middle(storm: Storm) -> None:
        """Until what it ran was taken from it, and would have come to its end had nothing held it."""
        await until(lambda: bool(said("start")))
        first, space = said("start")[0], Keyspace(NAMESPACE, 1)
        victim = storm.fleet.nodes[first.text]
        epoch = storm.client.hget(space.key(0, "names").decode(), victim.name) or b""
        storm.fleet.freeze(victim)
        await until(lambda: storm.client.zscore(space.key(0, "lease"), epoch) is None)
        await until(lambda: any(end.token == first.token for end in said("end")))
        storm.fleet.thaw(victim)

    def said(what: str) -> list[Event]:
        found = (event for path in folder.glob("body-*") for event in read(path))
        return sorted((event for event in found if event.what == what), key=lambda event: event.at)

    mutant, mix = {mutants.MUTANT: mutants.NEVER_IN_DOUBT}, {"lasting_child": 10**6}
    scenario = Scenario("stopped", "", one_spore_stopped_in_the_middle, spores=2, environment=mutant, mix=mix)
    verdict = storm(scenario, replace(SMALL, tasks=4, seconds=0.1), folder)
    assert set(verdict.broken) == {"zombie_ran_on"}


def test_the_same_plan_makes_the_same_chunks_and_all_of_its_tasks() -> None:
    plan = Plan("c0", "seed", 200, 3.0, {"brief": 2, "nap": 1}, {"host_killer": 2})
    made = list(chunks(plan))
    assert made == list(chunks(plan))
    assert sum(len(chunk.ids) for chunk in made) == 200
    assert len({task_id for chunk in made for task_id in chunk.ids}) == 200
    assert [chunk.recipe.task_type for chunk in made].count("host_killer") == 2
    assert [chunk.at_s for chunk in made] == sorted(chunk.at_s for chunk in made)


@pytest.mark.parametrize("fsync", ["always", "everysec", "no"])
def test_a_server_killed_without_losing_power_has_all_it_said_a_while_ago(short_dir: Path, fsync: str) -> None:
    server = StormServer(short_dir, fsync)
    client = server.client()
    client.set("kept", "1")
    client.close()
    window = server.kill()
    assert (window is None) == (fsync != "everysec")
    server.start_again()
    client = server.client()
    assert client.get("kept") == b"1"
    client.close()
    server.close()


def test_a_power_cut_takes_the_last_writes_and_names_the_window(short_dir: Path) -> None:
    server = StormServer(short_dir, "everysec")
    client = server.client()
    client.set("lost", "1")
    since, until = server.cut_power(3600)
    assert since < until
    server.start_again()
    assert client.get("lost") is None
    client.close()
    server.close()


def test_the_command_prints_a_line_a_storm_and_fails_when_one_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(command, "SHORT_S", 1.0)
    arguments = ["chaos", "--short", "--tasks", "100", "--seed", "7", "--only", "fair"]
    monkeypatch.setattr("sys.argv", arguments)
    assert command.main() == 0
    assert list(tmp_path.glob("chaos-*")) == []
    monkeypatch.setitem(SCENARIOS, "fair", replace(SCENARIOS["fair"], environment={mutants.MUTANT: "end_uncounted"}))
    assert command.main() == 1
    said = capsys.readouterr().out
    assert said.count("seed 7, 100 tasks") == 2
    assert "clean  fair" in said
    assert "BROKEN fair" in said
    assert "counters: say" in said
    assert "again: ./chaos/run --seed 7 --short --only fair" in said
    assert len(list(tmp_path.glob("chaos-*/fair/conductor.jsonl"))) == 1
