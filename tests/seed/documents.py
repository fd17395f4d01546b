"""The two documents the product comes from, their Python examples, and which test runs each.

The copies beside this file are the documents word for word. An example is run as it stands, with only set-up
around it: names it takes for granted, nodes it talks to, tasks it asks about.
"""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_FENCE = re.compile(r"^```python$(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = ("en", "pl")

BROKER, FOREMAN = "test_broker_examples.py", "test_foreman_examples.py"
PARALLEL, STACK, OTA = "test_parallel_examples.py", "test_stack_examples.py", "test_ota_examples.py"

# Both documents number their examples alike; the English one has five more at its end.
RUN_BY: dict[int, str] = {
    0: BROKER, 1: FOREMAN, 2: FOREMAN, 3: PARALLEL, 4: OTA, 5: OTA, 6: STACK, 7: PARALLEL, 8: PARALLEL, 9: OTA,
    10: FOREMAN, 11: BROKER, 12: BROKER, 13: BROKER, 14: BROKER, 15: PARALLEL, 16: BROKER, 17: FOREMAN, 18: PARALLEL,
    19: BROKER, 20: OTA, 21: OTA, 22: OTA, 23: OTA, 24: OTA,
}  # fmt: skip

# What cannot run as it stands, and what is run instead.
INSTEAD: dict[int, tuple[str, str]] = {
    7: ('urls = ["url1", "url2", ..., "url20"]', 'urls = [f"url{number}" for number in range(1, 21)]'),
}


@cache
def examples(language: str) -> tuple[str, ...]:
    """The Python blocks of one document, in order."""
    text = (_HERE / f"the_hive_{language}.md").read_text(encoding="utf-8")
    return tuple(found.group(1) for found in _FENCE.finditer(text))


def example(language: str, number: int) -> str:
    """One block; a fragment that cannot run stands in `INSTEAD` and is replaced by its equivalent."""
    text = examples(language)[number]
    if number in INSTEAD:
        fragment, equivalent = INSTEAD[number]
        assert fragment in text
        text = text.replace(fragment, equivalent)
    return text


async def run_example(text: str, **names: Any) -> dict[str, Any]:
    """Run a block that may await at its top level; all names it leaves behind."""
    names["__name__"] = "__example__"
    code = compile(text, "<example>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    waiting = eval(code, names)
    if inspect.isawaitable(waiting):
        await waiting
    return names
