"""House numbers: how long and how deep."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from statistics import median

from tests.tidy.source import Source

FILE_LINES = 400
FILE_LINES_MEDIAN = 150
FUNCTION_LINES = 70
FUNCTION_LINES_MEDIAN = 10
NESTING = 4
CONSTRUCTOR_PARAMETERS = 8

Function = ast.FunctionDef | ast.AsyncFunctionDef
_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def long_files(source: Source) -> list[str]:
    if not source.path.endswith((".py", ".lua")):
        return []
    lines = source.text.count("\n")
    return [source.at(1, f"{lines} lines, at most {FILE_LINES}")] if lines > FILE_LINES else []


def long_functions(source: Source) -> list[str]:
    return [
        source.at(function.lineno, f"{function.name} has {lines_of(function)} lines, at most {FUNCTION_LINES}")
        for function in functions(source.tree)
        if lines_of(function) > FUNCTION_LINES
    ]


def _inner(node: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """The children of a node, and whether each stands one block deeper; `elif` does not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*Function.__args__, ast.Lambda, ast.ClassDef)):
            continue
        chained = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        yield child, isinstance(child, _BLOCKS) and not chained


def depth(node: ast.AST) -> int:
    """How many blocks stand inside each other below this node; nested functions are judged by themselves."""
    return max((deeper + depth(child) for child, deeper in _inner(node)), default=0)


def deep_functions(source: Source) -> list[str]:
    return [
        source.at(function.lineno, f"{function.name} nests {depth(function)} blocks, at most {NESTING}")
        for function in functions(source.tree)
        if depth(function) > NESTING
    ]


def wide_constructors(source: Source) -> list[str]:
    faults = []
    for function in functions(source.tree):
        given = function.args
        count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs) - 1
        if function.name == "__init__" and count > CONSTRUCTOR_PARAMETERS:
            faults.append(source.at(function.lineno, f"{count} parameters, at most {CONSTRUCTOR_PARAMETERS}"))
    return faults


def medians(product: Iterable[Source]) -> tuple[float, float]:
    """Median length of files that are not empty, and of functions, in lines."""
    every = list(product)
    files = [source.text.count("\n") for source in every if source.text.strip()]
    bodies = [lines_of(function) for source in every for function in functions(source.tree)]
    return median(files or [0]), median(bodies or [0])
