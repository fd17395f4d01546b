"""Skills: the functions a Spore has installed and may run. A message names one; it never carries one.

skills = SkillSet()

@skills.skill
async def fetch(url: str) -> str: ...               # runs in the Spore's event loop

@skills.skill("resize")
def resize(width: int, height: int = 100) -> str: ...       # runs in a thread

@skills.skill("render", process=True, memory_mb=512)
def render(ctx: TaskContext, scene: str) -> str: ...        # runs in a child process that can be killed
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from venom_core.domain.task_id import check_type
from venom_core.errors import InvalidSkill, InvalidTask
from venom_spore.arguments import Binder, bind

MEMORY_MB_MIN = 32
Mode = Literal["async", "thread", "process"]
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Skill:
    """One installed function and how to run it. `origin` is `pkg.module:attr` of its SkillSet, once loaded.

    `is_plain`: its coroutine runs in the Spore's event loop and asks for nothing but its arguments.
    """

    name: str
    function: Callable[..., Any]
    mode: Mode
    binder: Binder
    memory_mb: int | None = None
    origin: str = ""
    is_plain: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_plain", self.mode == "async" and not self.wants_context)

    @property
    def wants_context(self) -> bool:
        """Whether the function takes a `TaskContext` before the payload's arguments."""
        return self.binder.wants_context

    @property
    def is_async(self) -> bool:
        """Whether calling the function gives a coroutine (also true of an `async def` that runs in a child)."""
        return inspect.iscoroutinefunction(self.function)


class SkillSet:
    """Skills by name. Iterating gives the skills in the order they were added."""

    def __init__(self) -> None:
        self._skills: dict[str, Skill] = {}

    @overload
    def skill(self, name: Function) -> Function: ...

    @overload
    def skill(
        self, name: str | None = None, *, process: bool = False, memory_mb: int | None = None
    ) -> Callable[[Function], Function]: ...

    def skill(self, name: Any = None, *, process: bool = False, memory_mb: int | None = None) -> Any:
        """Add a function under its own name or under `name`; returns the function unchanged.

        `process=True` runs it in a child process, for work that burns CPU or must be killable, whatever it
        does. It runs as the Spore's own user and sees its environment: no wall for secrets. `memory_mb` limits that
        child's memory in MiB. Raises `InvalidSkill`.
        """
        if name is not None and not isinstance(name, str):
            return self._add(_function_name(name), name, process=False, memory_mb=None)

        def decorate(function: Function) -> Function:
            chosen = _function_name(function) if name is None else name
            return self._add(chosen, function, process=process, memory_mb=memory_mb)

        return decorate

    def names(self) -> list[str]:
        """The names of all skills, in the order they were added."""
        return list(self._skills)

    def get(self, name: str) -> Skill | None:
        """The skill of this name, or None."""
        return self._skills.get(name)

    def include(self, other: SkillSet) -> None:
        """Take over all skills of another set; raises `InvalidSkill` if a name is taken and then takes none."""
        for skill in other:
            self._refuse_taken(skill)
        self._skills.update(other._skills)

    def located(self, origin: str = "") -> SkillSet:
        """The same skills, each with its `origin`; raises `InvalidSkill` for a process skill no child could import.

        Sets that `load_skills` made have their origins already. A set handed over as a value is looked for
        among the attributes of the modules its functions come from.
        """
        found = SkillSet()
        for skill in self:
            place = origin or skill.origin or _find_origin(skill)
            found._skills[skill.name] = replace(skill, origin=place)
        return found

    def __iter__(self) -> Iterator[Skill]:
        return iter(tuple(self._skills.values()))

    def __len__(self) -> int:
        return len(self._skills)

    def __contains__(self, name: object) -> bool:
        return name in self._skills

    def __repr__(self) -> str:
        return f"SkillSet({', '.join(self._skills)})"

    def _add(self, name: str, function: Function, *, process: bool, memory_mb: int | None) -> Function:
        skill = _build(name, function, process=process, memory_mb=memory_mb)
        self._refuse_taken(skill)
        self._skills[name] = skill
        return function

    def _refuse_taken(self, skill: Skill) -> None:
        known = self._skills.get(skill.name)
        if known is not None and known.function is not skill.function:
            raise InvalidSkill(
                f"skill {skill.name!r} exists twice: {_place(known.function)} and {_place(skill.function)}; rename one"
            )
        if known is not None:
            raise InvalidSkill(f"skill {skill.name!r} ({_place(skill.function)}) is added twice; drop one of them")


def load_skills(origins: str) -> SkillSet:
    """The skills of `pkg.module:attr[,pkg2.module:attr]` in one set, each with its origin filled in.

    The current folder is put on `sys.path`, as for other workers. Raises `InvalidSkill`.
    """
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    together = SkillSet()
    for origin in origins.split(","):
        if origin.strip():
            together.include(_load(origin.strip()))
    if not len(together):
        raise InvalidSkill("no skills were named; give pkg.module:attr of a SkillSet, such as myapp.tasks:skills")
    return together


def _load(origin: str) -> SkillSet:
    module_name, _, attribute = origin.partition(":")
    if not module_name or not attribute.isidentifier() or module_name.endswith(".py") or "/" in module_name:
        raise InvalidSkill(f"{origin!r} does not look like pkg.module:attr, such as myapp.tasks:skills")
    module = _import(module_name)
    missing = object()
    found = getattr(module, attribute, missing)
    if found is missing:
        near = [name for name, value in vars(module).items() if isinstance(value, SkillSet)]
        hint = f"; it has {', '.join(sorted(near))}" if near else ""
        raise InvalidSkill(f"module {module_name!r} has no attribute {attribute!r}{hint}")
    if not isinstance(found, SkillSet):
        raise InvalidSkill(f"{origin!r} is of type {type(found).__name__}, not a SkillSet")
    if not len(found):
        raise InvalidSkill(f"{origin!r} holds no skills; add one with @{attribute}.skill")
    return found.located(origin)


def _import(module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise InvalidSkill(
                f"there is no module {error.name!r} in {str(Path.cwd())!r} or installed in this environment"
            ) from error
        raise InvalidSkill(f"importing {module_name!r} failed: {error}") from error
    except (Exception, SystemExit) as error:  # somebody else's module may raise anything; it is named and chained
        raise InvalidSkill(f"importing {module_name!r} failed: {type(error).__name__}: {error}") from error


def _build(name: str, function: Callable[..., Any], *, process: bool, memory_mb: int | None) -> Skill:
    try:
        check_type(name)
    except InvalidTask as error:
        raise InvalidSkill(str(error).replace("a task type", "the name of a skill")) from None
    if not inspect.isroutine(function):
        raise InvalidSkill(f"skill {name!r} must be a function, not {_place(function)}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidSkill(f"skill {name!r} is a generator; return a list, or hand out parts with ctx.emit()")
    if memory_mb is not None and not process:
        raise InvalidSkill(f"skill {name!r} has memory_mb, which needs process=True: only a process can be limited")
    if memory_mb is not None and (type(memory_mb) is not int or memory_mb < MEMORY_MB_MIN):
        raise InvalidSkill(
            f"skill {name!r} has memory_mb={memory_mb!r}; give a whole number of MiB from {MEMORY_MB_MIN}"
        )
    mode: Mode = "process" if process else "async" if inspect.iscoroutinefunction(function) else "thread"
    return Skill(name, function, mode, bind(name, function), memory_mb)


def _function_name(function: object) -> str:
    name = getattr(function, "__name__", None)
    if not callable(function) or not isinstance(name, str):
        raise InvalidSkill(f"a skill is a function, or give its name as text; this is {type(function).__name__}")
    return name


def _find_origin(skill: Skill) -> str:
    module_name = getattr(skill.function, "__module__", None) or ""
    module = sys.modules.get(module_name)
    attributes = vars(module) if module is not None and module_name != "__main__" else {}
    for attribute, value in attributes.items():
        if isinstance(value, SkillSet) and (known := value.get(skill.name)) and known.function is skill.function:
            return f"{module_name}:{attribute}"
    if skill.mode == "process":
        raise InvalidSkill(
            f"process skill {skill.name!r} ({_place(skill.function)}) cannot be imported by a child process; "
            "put it and its SkillSet at the top level of a module other than __main__"
        )
    return ""


def _place(function: object) -> str:
    name = getattr(function, "__qualname__", None)
    return f"{getattr(function, '__module__', '?')}.{name}" if name else type(function).__name__
