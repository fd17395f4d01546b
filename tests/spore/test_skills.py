"""Skills are registered by name, run the way their kind asks for, and found again by whoever must import them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.spore import child_skills
from venom_core.errors import InvalidSkill
from venom_spore.context import TaskContext
from venom_spore.skills import Skill, SkillSet, load_skills

ORIGIN = "tests.spore.child_skills:skills"


def work(a: int = 1) -> int:
    return a


async def work_async(ctx: TaskContext) -> str:
    return ctx.task_id


def parts() -> Iterator[int]:
    yield 1


async def parts_async() -> AsyncIterator[int]:
    yield 1


class Worker:
    """Something that is no function but has methods."""

    def work(self, a: int) -> int:
        return a

    def __call__(self) -> int:
        return 1


@pytest.fixture
def skills() -> SkillSet:
    return SkillSet()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty, with imports from it undone afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    for name in ("shop", "shop.tasks"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def got(skills: SkillSet, name: str) -> Skill:
    skill = skills.get(name)
    assert skill is not None
    return skill


def test_each_kind_of_function_runs_in_its_own_way(skills: SkillSet) -> None:
    assert skills.skill(work) is work
    assert skills.skill()(work_async) is work_async
    assert skills.skill("heavy", process=True, memory_mb=64)(work) is work
    assert skills.skill("heavy_async", process=True)(work_async) is work_async
    assert [(skill.name, skill.mode, skill.is_async, skill.wants_context, skill.memory_mb) for skill in skills] == [
        ("work", "thread", False, False, None),
        ("work_async", "async", True, True, None),
        ("heavy", "process", False, False, 64),
        ("heavy_async", "process", True, True, None),
    ]


def test_a_set_knows_its_skills(skills: SkillSet) -> None:
    skills.skill(work)
    skills.skill("again")(Worker().work)
    assert skills.names() == ["work", "again"]
    assert (len(skills), "work" in skills, "rest" in skills, skills.get("rest")) == (2, True, False, None)
    assert repr(skills) == "SkillSet(work, again)"
    assert got(skills, "again").binder.names == ("a",)


def test_without_a_name_a_skill_is_called_like_its_function(skills: SkillSet) -> None:
    with pytest.raises(InvalidSkill, match="a skill is a function, or give its name as text; this is Worker"):
        skills.skill(Worker())


@pytest.mark.parametrize("name", ["", "a b", "a\n", "ä", "x" * 129, "a/b"])
def test_a_name_is_short_and_plain(skills: SkillSet, name: str) -> None:
    with pytest.raises(InvalidSkill, match="the name of a skill is 1 to 128 letters, digits"):
        skills.skill(name)(work)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (parts, "skill 'x' is a generator; return a list, or hand out parts with ctx.emit"),
        (parts_async, "is a generator"),
        (Worker, "must be a function, not .*Worker"),
        (Worker(), "must be a function, not Worker"),
        (3, "must be a function, not int"),
    ],
)
def test_what_is_no_function_is_refused(skills: SkillSet, function: Any, message: str) -> None:
    with pytest.raises(InvalidSkill, match=message):
        skills.skill("x")(function)
    assert len(skills) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_mb": 512}, "memory_mb, which needs process=True"),
        ({"process": True, "memory_mb": 1}, "memory_mb=1; give a whole number of MiB from 32"),
        ({"process": True, "memory_mb": 64.5}, r"memory_mb=64\.5; give a whole number"),
        ({"process": True, "memory_mb": True}, "memory_mb=True; give a whole number"),
    ],
)
def test_an_absurd_memory_limit_is_refused(skills: SkillSet, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSkill, match=message):
        skills.skill("x", **options)(work)


def test_a_name_is_taken_once(skills: SkillSet) -> None:
    skills.skill("x")(work)
    with pytest.raises(InvalidSkill, match=r"skill 'x' exists twice: .*work and .*work_async; rename one"):
        skills.skill("x")(work_async)
    with pytest.raises(InvalidSkill, match=r"skill 'x' .*work. is added twice; drop one of them"):
        skills.skill("x")(work)
    assert got(skills, "x").function is work


def test_a_set_takes_over_another_whole_or_not_at_all(skills: SkillSet) -> None:
    other = SkillSet()
    other.skill("a")(work)
    other.skill("b")(work)
    skills.skill("b")(work_async)
    with pytest.raises(InvalidSkill, match="skill 'b' exists twice"):
        skills.include(other)
    assert skills.names() == ["b"]
    mine = SkillSet()
    mine.include(other)
    assert mine.names() == ["a", "b"]


def test_loading_fills_in_where_each_skill_comes_from() -> None:
    loaded = load_skills(f" {ORIGIN} ,")
    assert {skill.origin for skill in loaded} == {ORIGIN}
    assert got(child_skills.skills, "add").origin == ""
    assert got(loaded.located(), "add").origin == ORIGIN


def test_several_sets_are_loaded_into_one(folder: Path) -> None:
    (folder / "shop.py").write_text(
        "from venom_spore.skills import SkillSet\nskills, more = SkillSet(), SkillSet()\n"
        "@skills.skill\ndef sell(): ...\n@more.skill\ndef buy(): ...\n"
    )
    loaded = load_skills("shop:skills,shop:more")
    assert {skill.name: skill.origin for skill in loaded} == {"sell": "shop:skills", "buy": "shop:more"}
    assert sys.path[0] == str(folder)
    with pytest.raises(InvalidSkill, match=r"skill 'sell' .shop.sell. is added twice"):
        load_skills("shop:skills,shop:skills")


@pytest.mark.parametrize(
    ("origin", "source", "message"),
    [
        ("", "", "no skills were named; give pkg.module:attr"),
        (" , ", "", "no skills were named"),
        ("shop", "", "'shop' does not look like pkg.module:attr"),
        ("shop.py:skills", "", "'shop.py:skills' does not look like"),
        ("./shop:skills", "", "does not look like"),
        ("shop:a.b", "", "does not look like"),
        (":skills", "", "does not look like"),
        ("no_such_shop:skills", "", "there is no module 'no_such_shop' in"),
        ("shop.tasks:skills", "", "there is no module 'shop.tasks' in"),
        ("shop:skills", "import no_such_thing", "importing 'shop' failed: No module named 'no_such_thing'"),
        ("shop:skills", "from os import no_such", "importing 'shop' failed: ImportError: cannot import name 'no_such'"),
        ("shop:skills", "1 / 0", "importing 'shop' failed: ZeroDivisionError: division by zero"),
        ("shop:skills", "1 +", "importing 'shop' failed: SyntaxError"),
        ("shop:skills", "import sys; sys.exit(3)", "importing 'shop' failed: SystemExit: 3"),
        ("shop:skills", "x = 1", "module 'shop' has no attribute 'skills'$"),
        (
            "shop:skill",
            "from venom_spore.skills import SkillSet; skills = SkillSet()",
            "module 'shop' has no attribute 'skill'; it has skills$",
        ),
        ("shop:skills", "skills = []", "'shop:skills' is of type list, not a SkillSet"),
        (
            "shop:skills",
            "from venom_spore.skills import SkillSet; skills = SkillSet()",
            "'shop:skills' holds no skills; add one with @skills.skill",
        ),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_sentence(folder: Path, origin: str, source: str, message: str) -> None:
    (folder / "shop.py").write_text(source)
    with pytest.raises(InvalidSkill, match=message) as caught:
        load_skills(origin)
    assert "\n" not in str(caught.value)


def test_a_set_handed_over_as_a_value_is_found_in_its_module(skills: SkillSet) -> None:
    assert {skill.origin for skill in child_skills.skills.located()} == {ORIGIN}
    skills.skill(work)
    assert got(skills.located(), "work").origin == ""


def test_a_process_skill_that_no_child_could_import_is_refused(
    skills: SkillSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inner() -> None: ...

    skills.skill("inner", process=True)(inner)
    with pytest.raises(
        InvalidSkill, match=r"process skill 'inner' .*inner. cannot be imported by a child process; put it"
    ):
        skills.located()

    def in_main() -> Callable[..., Any]:
        monkeypatch.setattr(inner, "__module__", "__main__")
        monkeypatch.setattr(sys.modules["__main__"], "found", skills, raising=False)
        return inner

    assert in_main().__module__ == "__main__"
    with pytest.raises(InvalidSkill, match="at the top level of a module other than __main__"):
        skills.located()
