"""The built-in skills as tools of a model: what they are called and take, and using one as the model asks.

A tool's arguments are checked as a task's payload is. What goes wrong is the tool's answer, in words, so that the
model can do better; only what is nobody's mistake but ours ends the item.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import typing
from typing import Any

import msgspec

from venom_core.domain import payload
from venom_core.errors import InvalidSetting, InvalidTask, VenomError
from venom_spore.skills import Skill, SkillSet

ANSWER_CHARS_MAX = 16_000
ARGUMENTS_BYTES_MAX = 1_048_576
NONE = "none"

log = logging.getLogger("venom.skills")


class Toolbox:
    """Some skills of a set, by their names with commas between them. Raises `InvalidSetting` for one there is not."""

    def __init__(self, skills: SkillSet, names: str) -> None:
        wanted = [name.strip() for name in names.split(",") if name.strip() and names.strip() != NONE]
        for name in wanted:
            if name not in skills:
                raise InvalidSetting(
                    f"HIVE_AGENT_TOOLS names {name!r:.60}; there are {', '.join(skills.names())}, or {NONE}"
                )
        self._skills = {name: skill for name in wanted if (skill := skills.get(name)) is not None}
        self.described = [_described(skill) for skill in self._skills.values()]

    async def use(self, name: str, arguments: str) -> str:
        """Use a tool; its result as JSON text, or what is wrong as a sentence."""
        skill = self._skills.get(name)
        if skill is None:
            return f"Error: there is no tool {name!r:.60}; there are {', '.join(self._skills) or 'none'}."
        try:
            result = await call(skill, _given(arguments))
            data = msgspec.json.encode(result).decode()
        except VenomError as fault:
            log.info("tool %s: %s", name, fault)
            return f"Error: {type(fault).__name__}: {fault}"
        if len(data) > ANSWER_CHARS_MAX:
            return f"{data[:ANSWER_CHARS_MAX]}… (cut: {len(data):,} characters, {ANSWER_CHARS_MAX:,} are shown)"
        return data


async def call(skill: Skill, arguments: dict[str, Any]) -> Any:
    """Call a skill that takes no context with these arguments, checked like a payload; a plain `def` in a thread."""
    args, kwargs = skill.binder.decode(payload.encode_payload(arguments, ARGUMENTS_BYTES_MAX, "arguments"))
    if skill.is_async:
        return await skill.function(*args, **kwargs)
    return await asyncio.to_thread(skill.function, *args, **kwargs)


def _given(arguments: str) -> dict[str, Any]:
    """The arguments that a model wrote; some write nothing where there are none."""
    try:
        found = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as fault:
        raise InvalidTask(f"the arguments are not JSON: {fault}") from None
    if not isinstance(found, dict):
        raise InvalidTask("the arguments must be a JSON object of names to values")
    return found


def _described(skill: Skill) -> dict[str, Any]:
    """A tool in the form of `/chat/completions`."""
    words = " ".join((skill.function.__doc__ or skill.name).split())
    return {
        "type": "function",
        "function": {"name": skill.name, "description": words, "parameters": _parameters(skill)},
    }


def _parameters(skill: Skill) -> dict[str, Any]:
    """The JSON schema of a skill's arguments."""
    hints = typing.get_type_hints(skill.function)
    fields: list[Any] = []
    for name, parameter in inspect.signature(skill.function).parameters.items():
        bare = parameter.default is inspect.Parameter.empty
        fields.append((name, hints[name]) if bare else (name, hints[name], parameter.default))
    shape = msgspec.defstruct("arguments", fields, kw_only=True, forbid_unknown_fields=True)
    _, parts = msgspec.json.schema_components([shape])
    schema: dict[str, Any] = parts["arguments"]
    return schema
