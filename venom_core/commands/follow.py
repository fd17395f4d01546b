"""Following one task to its end: progress where somebody looks, the result as JSON, the exit code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from venom_core.commands.frame import FAILED, NOT_YET, OK
from venom_core.commands.screen import console, print_json, result_line
from venom_core.demo.path_text import printable
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import StoreUnavailable
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.explanation import Explanation
from venom_core.infrastructure.message_broker import MessageBroker

LOOK_S = 0.5
# A task that waits for longer than this is explained, once for each reason.
WAITS_S = 2.0


async def follow(broker: MessageBroker, task_id: str, seconds: float | None, *, partials: bool = False) -> int:
    """Wait for the end, at most `seconds`, and print the result, or why there is none; the exit code.

    `partials`: what the task emits is printed as it comes, one JSON line each.
    """
    try:
        async with _progress(broker, task_id) as bar:
            telling = asyncio.create_task(_tell(broker, task_id, bar)) if partials else None
            try:
                message = await broker.wait_for(task_id, seconds)
                if telling is not None and message is not None:
                    await telling
            finally:
                await end_tasks(telling)
    except asyncio.CancelledError:
        click.echo(f"venom: task {task_id} goes on; see it with: venom task show {task_id}", err=True)
        raise
    return await _report(broker, task_id, message, seconds)


async def _tell(broker: MessageBroker, task_id: str, bar: Progress) -> None:
    async for partial in broker.stream(task_id):
        result_line(partial, bar)


async def _report(broker: MessageBroker, task_id: str, message: TaskMessage | None, seconds: float | None) -> int:
    if message is not None and message.status is TaskStatus.COMPLETED:
        print_json(message.result)
        return OK
    why = await broker.explain(task_id)
    if message is None:
        click.echo(
            f"venom: task {task_id} has not ended after {seconds:g} s, is {how_it_is(why)}; it goes on, see it with: "
            f"venom task watch {task_id}",
            err=True,
        )
        return NOT_YET
    click.echo(f"venom: task {task_id} {how_it_is(why)}", err=True)
    return FAILED


def how_it_is(why: Explanation) -> str:
    """A task's status and the reason, in words."""
    sentence = printable(why.sentence)
    return sentence if sentence.startswith(why.status) else f"{why.status}: {sentence}"


@asynccontextmanager
async def _progress(broker: MessageBroker, task_id: str) -> AsyncIterator[Progress]:
    """Tell meanwhile how far the task is: a bar on a terminal, elsewhere a line for each reason it waits."""
    screen = console(err=True)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(30), TaskProgressColumn(), TimeElapsedColumn(), console=screen,
        disable=not screen.is_terminal, transient=True,
    )  # fmt: skip
    with bar:
        line = bar.add_task(task_id, total=None)
        watching = asyncio.create_task(_watch(broker, task_id, bar, line))
        try:
            yield bar
        finally:
            await end_tasks(watching)


async def _watch(broker: MessageBroker, task_id: str, bar: Progress, line: TaskID) -> None:
    waited_s, told = 0.0, ""
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            message = await broker.get_task_status(task_id)
            if message is None:
                continue
            done = message.progress["fraction"] if message.progress else None
            note = f" {message.progress['note']}" if message.progress else ""
            shown = printable(f"{task_id} {message.status}{note}").replace("[", r"\[")
            bar.update(line, description=shown, total=None if done is None else 1, completed=done or 0)
            if message.status is not TaskStatus.PENDING:
                continue
            waited_s += LOOK_S
            if waited_s >= WAITS_S and (why := await broker.explain(task_id)).reason != told:
                told = why.reason
                bar.console.print(f"{task_id} waits: {printable(why.sentence)}", markup=False, soft_wrap=True)
        except StoreUnavailable:
            continue  # who waits for the end waits this out, too
