"""The plugin's marks without the package: what they say, and that nothing heavy is imported for them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Annotated, Any

from venom_core.execution.skills.kernel_plugin import kernel_function
from venom_core.execution.skills.parallel_skill import ParallelSkill


class Plugin:
    """One marked method with every kind of parameter."""

    @kernel_function("Does it.")
    async def act(
        self,
        text: Annotated[str, "A text."],
        either: Annotated[str | list[Any], "Text or list."],
        number: Annotated[float, "A number."] = 3,
        *,
        name: Annotated[str | None, "Maybe a name."] = None,
        inner: int = 1,
        **rest: Any,
    ) -> str:
        return text


def attribute(name: str) -> Any:
    return getattr(Plugin.act, f"__kernel_function_{name}__")


def test_the_marks_are_those_a_kernel_looks_for() -> None:
    assert getattr(Plugin.act, "__kernel_function__") is True  # noqa: B009 - a name in quotes is not mangled
    assert (attribute("name"), attribute("description")) == ("act", "Does it.")
    assert (attribute("streaming"), attribute("return_type"), attribute("return_type_object")) == (False, "str", str)
    assert (attribute("return_description"), attribute("return_required")) == ("JSON text", True)


def test_parameters_with_a_text_are_described_and_the_others_are_not_offered() -> None:
    described = {parameter["name"]: parameter for parameter in attribute("parameters")}
    assert list(described) == ["text", "either", "number", "name"]
    assert described["text"] == {
        "name": "text",
        "description": "A text.",
        "is_required": True,
        "default_value": None,
        "type_": "str",
        "type_object": str,
    }
    # Pressed into `str`, a list would become Python's notation of it, which is no JSON.
    assert (described["either"]["type_"], described["either"]["type_object"]) == ("str", None)
    assert (described["number"]["default_value"], described["number"]["type_object"]) == (3, float)
    assert (described["name"]["is_required"], described["name"]["type_object"]) == (False, str)


def test_the_functions_of_the_skill_are_marked() -> None:
    marked = [name for name in vars(ParallelSkill) if hasattr(getattr(ParallelSkill, name), "__kernel_function__")]
    assert marked == [
        "map_reduce", "parallel_execute", "get_task_status", "get_run_status", "resume", "retry_failed", "cancel",
    ]  # fmt: skip


def test_importing_the_skill_loads_neither_the_kernel_nor_anything_of_its_size() -> None:
    code = (
        "import sys, json; import venom_core.execution.skills.parallel_skill; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout))
    assert "venom_core" in loaded
    assert not loaded & {"semantic_kernel", "openai", "numpy", "scipy", "arq", "fastapi", "uvicorn", "rich"}
