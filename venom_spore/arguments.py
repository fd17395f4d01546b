"""Payload keys become typed arguments.

From a function's signature one msgpack decoder is built, once, at start-up. It checks types, missing
and extra keys while it decodes, in C, so that a checked call costs about as much as an unchecked one.
Types msgspec does not know (pydantic models, paths) go through one small hook; a hint that nothing can
check is refused when the skill is registered, not when the first task arrives.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import msgspec
from msgspec import inspect as hints

from venom_core.errors import InvalidSkill, InvalidTask
from venom_spore.context import TaskContext

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Decode = Callable[[bytes], Arguments]

_EMPTY_MAP = b"\x80"
_FIXED = (type(None), bool, int, float, str, bytes)
_PROBLEMS_MAX = 3
_TEXT_CHARS_MAX = 300
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_NAMED = (_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)
_split = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Binder:
    """How the payload of one skill becomes the arguments of its function.

    `decode(raw)` takes the msgpack bytes of a payload and returns `(args, kwargs)`, without the
    `TaskContext` that goes before `args` when `wants_context`. It raises `InvalidTask` naming the key
    that is bad, missing or unexpected.
    """

    names: tuple[str, ...]
    wants_context: bool
    decode: Decode
    takes_all: bool = False

    def choose(self, raw: bytes) -> bytes:
        """Of an offered payload those keys that the skill names; what is no payload is left for `decode` to refuse."""
        if self.takes_all:
            return raw
        try:
            offered = _split(raw)
        except _BAD:
            return raw
        chosen = {key: value for key, value in offered.items() if key in self.names}
        return raw if len(chosen) == len(offered) else msgspec.msgpack.encode(chosen)


def bind(name: str, function: Callable[..., Any]) -> Binder:
    """The binder of skill `name`; raises `InvalidSkill` for a signature or hint that cannot be served."""
    types = _resolve_hints(name, function)
    parameters = _parameters(name, function)
    wants_context = bool(parameters) and types.get(parameters[0].name) is TaskContext
    if wants_context:
        del parameters[0]
    for parameter in parameters:
        if types.get(parameter.name) is TaskContext:
            raise InvalidSkill(
                f"skill {name!r} takes its TaskContext as {parameter.name!r}; make it the first argument"
            )
    _refuse_unsupported(name, {p.name: types.get(p.name, Any) for p in parameters})
    named = [p for p in parameters if p.kind in _NAMED]
    reader = _Reader(name, named, types)
    extras = next((p for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD), None)
    decode = reader.decoder() if extras is None else reader.decoder_with_extras(types.get(extras.name, Any))
    return Binder(tuple(p.name for p in named), wants_context, decode, extras is not None)


def _resolve_hints(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise InvalidSkill(
            f"skill {name!r} has a type hint that cannot be resolved: {error}; import it where the module can see it "
            "at run time, not under TYPE_CHECKING or inside a function"
        ) from error
    except (TypeError, SyntaxError, AttributeError) as error:
        raise InvalidSkill(f"skill {name!r} has a type hint that cannot be read: {error}") from error


def _parameters(name: str, function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise InvalidSkill(f"skill {name!r} has no readable signature; wrap it in a plain function") from error
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise InvalidSkill(f"skill {name!r} takes {parameter.name!r} by position only, but payload keys are names")
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            raise InvalidSkill(f"skill {name!r} takes *{parameter.name}; use a list argument instead")
    return parameters


def _refuse_unsupported(name: str, types: dict[str, Any]) -> None:
    for parameter, hint in types.items():
        try:
            # The decoder refuses some hints that the description accepts, such as a union of two arrays.
            msgspec.msgpack.Decoder(hint, dec_hook=_convert)
            nodes = list(_walk(hints.type_info(hint), set()))
        except (TypeError, NameError, RuntimeError, ValueError) as error:
            raise InvalidSkill(f"skill {name!r} cannot check argument {parameter!r}: {error}") from error
        for node in nodes:
            if isinstance(node, hints.CustomType) and not _is_convertible(node.cls):
                raise InvalidSkill(
                    f"skill {name!r} cannot check argument {parameter!r}: {_show(node.cls)} is no JSON data"
                )
            if isinstance(node, hints.BytesType | hints.ByteArrayType | hints.MemoryViewType | hints.ExtType):
                raise InvalidSkill(
                    f"skill {name!r} asks for bytes in {parameter!r}; payloads are JSON, take base64 text"
                )


def _walk(node: object, seen: set[int]) -> Iterator[object]:
    """Every node of a type description, which may hold itself."""
    if isinstance(node, tuple):
        for part in node:
            yield from _walk(part, seen)
    elif isinstance(node, hints.Type | hints.Field) and id(node) not in seen:
        seen.add(id(node))
        yield node
        for field in node.__struct_fields__:
            yield from _walk(getattr(node, field), seen)


def _is_convertible(kind: Any) -> bool:
    return kind is object or hasattr(kind, "model_validate") or (isinstance(kind, type) and issubclass(kind, PurePath))


def _convert(kind: Any, value: Any) -> Any:
    """What msgspec does not know: pydantic models (by their shape, so that pydantic need not be loaded) and paths."""
    if kind is object:
        return value
    if not hasattr(kind, "model_validate"):
        if type(value) is not str:
            raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
        return kind(value)
    try:
        return kind.model_validate(value)
    except ValueError as error:
        raise ValueError(_condense(error)) from error


def _condense(error: ValueError) -> str:
    """The first few findings of a model's own validation on one line."""
    listed = getattr(error, "errors", None)
    if not callable(listed):
        return str(error)
    findings = [
        f"{'.'.join(str(step) for step in finding['loc'])}: {finding['msg']}".removeprefix(": ")
        for finding in listed()[:_PROBLEMS_MAX]
    ]
    return "; ".join(findings)


def _show(hint: Any) -> str:
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    return str(hint).replace("typing.", "")


class _Reader:
    """Builds the decode function of one skill and words its refusals."""

    def __init__(self, name: str, parameters: list[inspect.Parameter], types: dict[str, Any]) -> None:
        self.name = name
        self.parameters = parameters
        self.hints = {p.name: types.get(p.name, Any) for p in parameters}
        self.positional = sum(p.kind is _POSITIONAL for p in parameters)
        self.keywords = tuple(p.name for p in parameters[self.positional :])

    def decoder(self) -> Decode:
        """Decode for a function with a fixed set of arguments."""
        read = self._struct_decoder(forbid_extras=True)
        if not self.parameters:
            return self._for_none(read)
        if self.keywords:
            return self._for_keywords(read)
        as_tuple = msgspec.structs.astuple

        def decode(raw: bytes) -> Arguments:
            try:
                return as_tuple(read(raw)), {}
            except _BAD as error:
                raise self.refusal(error) from None

        return decode

    def decoder_with_extras(self, extra_hint: Any) -> Decode:
        """Decode for a function with `**kwargs`: keys it does not name are checked against its hint."""
        named = self._for_keywords(self._struct_decoder(forbid_extras=False))
        read_extra = msgspec.msgpack.Decoder(extra_hint, dec_hook=_convert).decode

        def decode(raw: bytes) -> Arguments:
            args, kwargs = named(raw)
            for key, value in _split(raw).items():
                if key not in self.hints:
                    try:
                        kwargs[key] = read_extra(value)
                    except _BAD as error:
                        raise InvalidTask(
                            f"payload of {self.name!r}: {_plain(str(error))} at key {key!r:.80}"
                        ) from None
            return args, kwargs

        return decode

    def _for_none(self, read: Callable[[bytes], Any]) -> Decode:
        def decode(raw: bytes) -> Arguments:
            if raw != _EMPTY_MAP:
                try:
                    read(raw)
                except _BAD as error:
                    raise self.refusal(error) from None
            return (), {}

        return decode

    def _for_keywords(self, read: Callable[[bytes], Any]) -> Decode:
        as_tuple, count, keywords = msgspec.structs.astuple, self.positional, self.keywords

        def decode(raw: bytes) -> Arguments:
            try:
                values = as_tuple(read(raw))
            except _BAD as error:
                raise self.refusal(error) from None
            return values[:count], dict(zip(keywords, values[count:], strict=True))

        return decode

    def _struct_decoder(self, *, forbid_extras: bool) -> Callable[[bytes], Any]:
        # Fields get neutral names and are renamed on the wire: an argument may be called anything.
        fields = [(f"field_{i}", self.hints[p.name], _default(p)) for i, p in enumerate(self.parameters)]
        shape = msgspec.defstruct(
            "payload",
            fields,
            kw_only=True,
            forbid_unknown_fields=forbid_extras,
            rename={f"field_{i}": p.name for i, p in enumerate(self.parameters)},
        )
        return msgspec.msgpack.Decoder(shape, dec_hook=_convert).decode

    def refusal(self, error: Exception) -> InvalidTask:
        """One sentence for the caller, naming the key and what was expected there."""
        text = str(error)
        if missing := _MISSING.fullmatch(text):
            hint = self.hints.get(missing[1], Any)
            return InvalidTask(f"payload of {self.name!r}: missing key {missing[1]!r}, expected {_show(hint)}")
        if extra := _EXTRA.fullmatch(text):
            known = ", ".join(repr(name) for name in self.hints) or "no keys at all"
            return InvalidTask(f"payload of {self.name!r}: unexpected key {extra[1]!r:.80}, expected {known}")
        return InvalidTask(f"payload of {self.name!r}: {_plain(text)}")


_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_EXTRA = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?([^`]*)`$")


def _plain(text: str) -> str:
    """The message of msgspec in the words of this project: no back-quotes, keys instead of `$` paths."""
    place = _PLACE.search(text)
    words = _PLACE.sub("", text).replace("`", "").replace("\n", " ")[:_TEXT_CHARS_MAX]
    words = words[:1].lower() + words[1:]
    return f"{words} at key {place[1]!r}" if place and place[1] else words


def _default(parameter: inspect.Parameter) -> Any:
    """The argument's own default, shared between calls as Python shares it."""
    default = parameter.default
    if default is inspect.Parameter.empty:
        return msgspec.NODEFAULT
    if isinstance(default, _FIXED):
        return default
    return msgspec.field(default_factory=lambda: default)
