"""docs/api.md, made from the signatures and docstrings of what a program may use.

Written by python -m tests.docs.tables. The code is read, not imported: nothing depends on the machine.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

from tests.tidy.source import ROOT

PAGE = ROOT / "docs/api.md"

# What a program may count on: heading, module, and the classes and functions of it.
PUBLIC: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Calling", "venom_core/infrastructure/message_broker.py", ("MessageBroker",)),
    ("What a broker answers", "venom_core/domain/task_message.py", ("TaskMessage",)),
    ("Map-reduce", "venom_core/execution/skills/parallel_skill.py", ("ParallelSkill",)),
    ("Skills", "venom_spore/skills.py", ("SkillSet", "load_skills")),
    ("Inside a skill", "venom_spore/context.py", ("TaskContext",)),
    ("A Spore in a program", "venom_spore/main.py", ("SporeOptions", "VenomSpore")),
    ("Skills without a hive", "venom_spore/skill_executor.py", ("SkillExecutor",)),
    ("A Nexus in a program", "venom_core/nexus.py", ("Nexus",)),
    ("Foreman", "venom_core/agents/foreman.py", ("ForemanAgent",)),
    ("Nodes", "venom_core/core/node_manager.py", ("NodeManager",)),
    ("Updates", "venom_core/core/ota_manager.py", ("OTAManager",)),
    ("A package of an update", "venom_core/core/ota_shelf.py", ("Package",)),
    ("How a look for an update ended", "venom_spore/updater/run.py", ("Exit", "Outcome")),
    ("Why an update was refused", "venom_core/ota/refusal.py", ("UpdateRefused",)),
    ("Containers", "venom_core/infrastructure/stack_manager.py", ("StackManager",)),
    ("Broadcasts", "venom_core/domain/order.py", ("read_order",)),
    ("Settings", "venom_core/config.py", ("Settings",)),
)

SIGNATURE_CHARS = 108

HEAD = """\
# API

What a program may count on, made from the code: `python -m tests.docs.tables`. Everything else is internal and may
change. Times are seconds, sizes are bytes. [Settings](configuration.md) have a page of their own.
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def rendered() -> str:
    """The whole page."""
    parts = [HEAD]
    for heading, path, names in PUBLIC:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        parts.append(f"## {heading}\n\n`{path.removesuffix('.py').replace('/', '.')}`\n")
        known = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | Function)}
        for name in names:
            node = known[name]
            parts += _class(node) if isinstance(node, ast.ClassDef) else _function(node, "###")
    errors = ast.get_docstring(ast.parse((ROOT / "venom_core/errors.py").read_text(encoding="utf-8")))
    parts.append(f"## Errors\n\n`venom_core.errors`\n\n```text\n{errors}\n```\n")
    return "\n".join(parts)


def _class(node: ast.ClassDef) -> Iterator[str]:
    yield f"### {node.name}\n"
    yield f"{_words(node)}\n"
    fields = [item for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)]
    members = [item for item in node.body if isinstance(item, ast.Assign) and _is_enum(node)]
    shown = [text for text in map(ast.unparse, [*fields, *members]) if not text.startswith("_")]
    if shown and node.name != "Settings":
        yield "```text\n" + "\n".join(shown) + "\n```\n"
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and _is_public(item):
            yield from _function(item, "####")


def _is_enum(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith("Enum") for base in node.bases)


def _is_public(item: Function) -> bool:
    hidden = item.name.startswith("_") and item.name != "__init__"
    return not hidden and not any(ast.unparse(mark) in {"overload", "field_validator"} for mark in _marks(item))


def _marks(item: Function) -> Iterator[ast.expr]:
    for mark in item.decorator_list:
        yield mark.func if isinstance(mark, ast.Call) else mark


def _function(node: Function, level: str) -> Iterator[str]:
    words = _words(node)
    if not words and node.name != "__init__":
        return
    yield f"{level} {node.name if node.name != '__init__' else 'made with'}\n"
    yield f"```text\n{_signature(node)}\n```\n"
    if words:
        yield f"{words}\n"


def _signature(node: Function) -> str:
    """As it is written, on one line, or an argument a line if that is too long; without `self`."""
    if any(ast.unparse(mark) == "property" for mark in _marks(node)):
        return f"{node.name}: {ast.unparse(node.returns) if node.returns else 'Any'}"
    arguments = node.args
    if arguments.args and arguments.args[0].arg in {"self", "cls"}:
        arguments.args = arguments.args[1:]
    start = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    end = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    written = ast.unparse(arguments)
    if len(written) + len(start) + len(node.name) + len(end) > SIGNATURE_CHARS:
        written = "\n" + "".join(f"    {part},\n" for part in _parts(written))
    return f"{start}{node.name}({written}){end}"


def _parts(arguments: str) -> Iterator[str]:
    """Arguments as written, one by one: commas inside brackets separate none."""
    depth, begin = 0, 0
    for at, letter in enumerate(arguments):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            yield arguments[begin:at].strip()
            begin = at + 1
    yield arguments[begin:].strip()


def _words(node: ast.AST) -> str:
    """The docstring as it stands, except that lines which belong to code keep apart from the prose."""
    found = ast.get_docstring(node)  # type: ignore[arg-type]  # only nodes that may have one come here
    return inspect.cleandoc(found) if found else ""
