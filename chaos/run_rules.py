"""What must hold of every map-reduce, whoever of its callers died: a whole answer, in order, of its own items."""

from __future__ import annotations

from collections.abc import Iterator

from chaos.lives import ENDS, Heard, History, Run
from chaos.rules import may_hear
from venom_core.domain.run import item_ids

Fault = tuple[str, str]
COMPLETED = "completed"


def of_runs(history: History) -> Iterator[Fault]:
    """All rules about runs."""
    for run_id, run in history.runs.items():
        for rule, sentence in _of_run(history, run_id, run):
            yield rule, f"{run_id} {sentence}"


def _of_run(history: History, run_id: str, run: Run) -> Iterator[Fault]:
    if not run.total:
        yield "run_foreign", "is in Redis, but nobody began it"
        return
    if not run.heard:
        yield "run_unheard", "was begun, and nobody heard its answer"
    for heard in run.heard:
        if heard.sure:
            yield from _lines(history, run_id, run, heard)
            yield from _fold(history, run_id, run, heard)
    ended = sum(
        history.life(task_id).mark in ENDS for task_id in item_ids(run_id, 0, run.total) if _seen(history, task_id)
    )
    if run.joined != ended:
        yield "run_count", f"counts {run.joined} ended items, there are {ended}"


def _seen(history: History, task_id: str) -> bool:
    return task_id in history.lives and history.lives[task_id].mark != ""


def _lines(history: History, run_id: str, run: Run, heard: Heard) -> Iterator[Fault]:
    wanted = item_ids(run_id, 0, run.total)
    if list(heard.ids) != wanted:
        missing, twice = set(wanted) - set(heard.ids), len(heard.ids) - len(set(heard.ids))
        how = f"{len(missing)} are missing and {twice} there twice" if missing or twice else "they are in another order"
        yield "run_lines", f"is not answered by a line for each item in order: {how}"
    for task_id, mark, token in zip(heard.ids, heard.marks, heard.tokens, strict=True):
        life = history.life(task_id)
        if mark not in ENDS or not may_hear(life, mark, token):
            yield "run_told", f"says {mark} {token} of {task_id}, Redis says {life.mark} {life.token}"


def _fold(history: History, run_id: str, run: Run, heard: Heard) -> Iterator[Fault]:
    """The folded value is a list of the items' tokens, in order, behind the token of the body that made it."""
    if not run.reduce:
        return
    folds = {life.token: life.mark for task_id, life in history.lives.items() if task_id.startswith(f"{run_id}.fold-")}
    whole = set(heard.marks) == {"c"}
    if heard.fold == COMPLETED:
        if not whole:
            yield "run_fold", "was folded although an item had not completed"
        elif heard.folded[1:] != heard.tokens or folds.get(heard.folded[0]) != "c":
            yield "run_fold", "has a folded value that is not that of its items"
    elif whole and all(mark == "c" for mark in folds.values()):
        yield "run_fold", f"was not folded, but {heard.fold or 'not at all'}, though all its items completed"
