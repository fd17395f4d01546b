"""What callers enqueue: recipes, and chunks of them in an order that a seed decides."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from chaos.events import wall_us
from venom_core.domain.run import item_ids

BEGUN = "begun"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kind of task: its type, payload and options, how many come at a time, and whether it is cancelled again.

    A `run` is a map-reduce with so many items, which `reduce` folds. What is `revived` is put back in line whenever it
    has failed, until it completes.
    """

    task_type: str
    payload: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    size: int = 1
    unwanted: bool = False
    run: bool = False
    reduce: str | None = None
    revived: bool = False


RECIPES: dict[str, Recipe] = {
    "brief": Recipe("brief", size=30),
    "urgent": Recipe("brief", options={"priority": 8}, size=15),
    "nap": Recipe("nap", {"seconds": 0.1}, size=10),
    "long": Recipe("nap", {"seconds": 0.8}, size=2),
    "flaky": Recipe("flaky", size=3),
    "hopeless": Recipe("hopeless", options={"max_retries": 0}, size=2),
    "later": Recipe("brief", options={"delay": 0.4}, size=6),
    "unwanted": Recipe("nap", {"seconds": 0.3}, size=4, unwanted=True),
    "placed": Recipe("brief", options={"requirements": {"tags": ["storm"]}}, size=6),
    "threaded": Recipe("threaded", {"seconds": 0.02}, size=10),
    "child": Recipe("child", {"seconds": 0.02}, size=4),
    "slow_child": Recipe("child", {"seconds": 2.0}),
    "lasting_child": Recipe("child", {"seconds": 4.0}),
    "brood": Recipe("brood", {"seconds": 2.0}),
    "deaf": Recipe("deaf", {"seconds": 2.0}),
    "gripping": Recipe("gripping", {"seconds": 2.0}),
    "stubborn": Recipe("stubborn", {"seconds": 12.0}),
    "hungry": Recipe("hungry", {"mib": 512}, {"max_retries": 0}),
    "strangled": Recipe("strangled"),
    "host_killer": Recipe("host_killer"),
    "run": Recipe("mapped", size=250, run=True),
    "fold": Recipe("mapped", size=200, run=True, reduce="gathered"),
    "fickle": Recipe("fickle", options={"max_retries": 0}, size=4, revived=True),
    "retried": Recipe("fickle", options={"max_retries": 0}, size=60, run=True, reduce="gathered", revived=True),
    "byhand": Recipe("byhand", {"seconds": 0.02}, size=5),
    "long_byhand": Recipe("byhand", {"seconds": 0.5}),
}
USUAL = {"brief": 20, "urgent": 10, "nap": 8, "flaky": 4, "hopeless": 1, "later": 6, "unwanted": 3, "placed": 4}


class Plan(msgspec.Struct, frozen=True):
    """What one caller does: so many tasks in about so many seconds, with ids that begin alike.

    `mix`: kind -> weight; `rare`: kind -> how many chunks of it there are among the others, in all.
    """

    prefix: str
    seed: str
    tasks: int
    seconds: float
    mix: dict[str, int]
    rare: dict[str, int] = {}


def begin(folder: Path) -> None:
    """Callers may begin now; also one that begins anew reckons from this moment."""
    partial = folder / "begun.tmp"
    partial.write_text(str(wall_us()))
    partial.rename(folder / BEGUN)


def begun_us(folder: Path) -> int:
    """When callers began, in µs of true time; 0 if they may not yet."""
    path = folder / BEGUN
    return int(path.read_text()) if path.exists() else 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tasks of one kind, enqueued by one call; `at_s` seconds after the start at the earliest."""

    recipe: Recipe
    ids: list[str]
    at_s: float
    run_id: str = ""


def chunks(plan: Plan) -> Iterator[Chunk]:
    """The same for the same plan, so that a caller that was killed can begin anew."""
    rng, made = random.Random(plan.seed + plan.prefix), 0
    names, weights = list(plan.mix), list(plan.mix.values())
    # Early enough that what they do happens in bad weather.
    rare = sorted(
        (rng.uniform(0.05, 0.7) * plan.tasks, name) for name, count in plan.rare.items() for _ in range(count)
    )
    while made < plan.tasks:
        name = rare.pop(0)[1] if rare and rare[0][0] <= made else rng.choices(names, weights)[0]
        recipe = RECIPES[name]
        size = min(recipe.size, plan.tasks - made)
        at_s = plan.seconds * made / plan.tasks
        if recipe.run:
            run_id = f"{plan.prefix}-{made:07d}"
            yield Chunk(recipe, item_ids(run_id, 0, size), at_s, run_id)
        else:
            yield Chunk(recipe, [f"{plan.prefix}-{number:07d}" for number in range(made, made + size)], at_s)
        made += size
