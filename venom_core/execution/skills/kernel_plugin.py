"""What semantic-kernel looks for in a plugin, set without importing it: half a gigabyte that most do not need.

`Kernel.add_plugin` takes every method that carries these attributes. Parameters are described where they stand:
`Annotated[type, "what it is"]`; those without such a text are not offered to a model.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from types import NoneType
from typing import Annotated, Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


def kernel_function(description: str) -> Callable[[Method], Method]:
    """Mark a method as a function that a kernel, and the model behind it, may call; it returns text."""

    def mark(method: Method) -> Method:
        attributes = {
            "": True,
            "name": method.__name__,
            "description": description,
            "streaming": False,
            "parameters": _parameters(method),
            "return_type": "str",
            "return_type_object": str,
            "return_description": "JSON text",
            "return_required": True,
        }
        for name, value in attributes.items():
            setattr(method, f"__kernel_function_{name}{'__' if name else '_'}", value)
        return method

    return mark


def _parameters(method: Callable[..., Any]) -> list[dict[str, Any]]:
    hints = typing.get_type_hints(method, include_extras=True)
    return [
        _describe(parameter, hints[parameter.name])
        for parameter in inspect.signature(method).parameters.values()
        if typing.get_origin(hints.get(parameter.name)) is Annotated
    ]


def _describe(parameter: inspect.Parameter, hint: Any) -> dict[str, Any]:
    kind, description = typing.get_args(hint)[:2]
    choices = [choice for choice in typing.get_args(kind) or (kind,) if choice is not NoneType]
    required = parameter.default is inspect.Parameter.empty
    return {
        "name": parameter.name,
        "description": description,
        "is_required": required,
        "default_value": None if required else parameter.default,
        "type_": choices[0].__name__,
        # A kernel would press a value into this type: text for a list makes Python's notation of it, not JSON.
        "type_object": choices[0] if len(choices) == 1 else None,
    }
