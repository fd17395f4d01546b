"""`ParallelSkill`: one call puts many Spores to work and brings their results home in order.

For programs and for agents: the marked methods are functions of a semantic-kernel plugin, and they answer in JSON
text as the documents say. What is wrong with a call is raised, never told in the answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from venom_core.errors import UnknownTask
from venom_core.execution.answer import to_json
from venom_core.execution.items import read_wait
from venom_core.execution.plan import Plan, make_plan, read_call
from venom_core.execution.runs import Runs
from venom_core.execution.skills.kernel_plugin import kernel_function
from venom_core.infrastructure.message_broker import MessageBroker

_PRIORITY = "'high_priority', 'background', or a number from 0 to 10, 10 most urgent."
_WAIT = "Seconds to wait for results; what has not ended by then is reported as pending and goes on."
_SKILL = "Name of the installed skill to run; leave out to use the agent skill that follows task_description."
_REDUCE = "Name of a skill that folds all results into one value; leave out to get the list alone."
_RUN = "The run_id of an earlier answer."

Priority = str | int


class ParallelSkill:
    """Map-reduce over the Spores of the hive that `message_broker` is connected to."""

    def __init__(self, message_broker: MessageBroker) -> None:
        self.message_broker = message_broker
        self._runs = Runs(message_broker)

    @kernel_function(
        "Does the same job on every item of a list at once, spread over many machines, and returns all results in "
        "order. Use it whenever many items (URLs, files, texts, records) can be processed independently."
    )
    async def map_reduce(
        self,
        task_description: Annotated[
            str, "What to do with EACH item, such as 'Fetch the article and summarize it to 3 sentences'."
        ],
        items: Annotated[
            str | list[Any],
            'The items as a JSON list, such as \'["https://a.org", "https://b.org"]\'; any JSON values.',
        ],
        priority: Annotated[Priority, _PRIORITY] = "background",
        wait_timeout: Annotated[float, _WAIT] = 300,
        *,
        skill: Annotated[str | None, _SKILL] = None,
        reduce: Annotated[str | None, _REDUCE] = None,
        run_id: str | None = None,
        skip_failed: bool = False,
        **options: Any,
    ) -> str:
        """Run one task for each item and return JSON text {run_id, summary, results[, reduced, reduction][, note]}.

        Each is a task of type `map_task`, or `skill`, with the payload {task_description, item, item_index,
        total_items}, of which the skill gets the keys that it names. `reduce` names a skill that gets {results}.
        The same `run_id` with the same items again starts nothing twice. `options` are those of `enqueue_task`
        (timeout, max_retries, …). Raises `InvalidTask`, `TaskExists`, `QueueFull`, `StoreError`.
        """
        wait_s = read_wait(wait_timeout)
        plan = self._plan(
            "map",
            task_description,
            items,
            priority,
            skill=skill,
            reduce=reduce,
            skip_failed=skip_failed,
            options=options,
        )
        return await self._runs.answer(await self._runs.start(plan, run_id), wait_s)

    @kernel_function(
        "Runs the independent parts of one large job at the same time on many machines and returns their results in "
        "order. Use it when one job splits into different subtasks, such as scanning several folders."
    )
    async def parallel_execute(
        self,
        task_description: Annotated[str, "The whole job, such as 'Repository security audit'."],
        subtasks: Annotated[
            str | list[Any],
            'The parts as a JSON list, such as \'["Scan /src", "Scan /tests"]\'; an entry {"skill": "name", "payload": '
            "{…}} runs that skill with that payload.",
        ],
        priority: Annotated[Priority, _PRIORITY] = "high_priority",
        wait_timeout: Annotated[float, _WAIT] = 600,
        *,
        skill: Annotated[str | None, _SKILL] = None,
        reduce: Annotated[str | None, _REDUCE] = None,
        run_id: str | None = None,
        skip_failed: bool = False,
        **options: Any,
    ) -> str:
        """Like `map_reduce`, for tasks of type `parallel_task`.

        Their payload is {main_task, subtask, subtask_index, total_subtasks}. The
        answer holds `task_description` too. A subtask {"skill": name, "payload": {…}} runs that skill with that
        payload, of which no key may be too many.
        """
        wait_s = read_wait(wait_timeout)
        plan = self._plan(
            "parallel",
            task_description,
            subtasks,
            priority,
            skill=skill,
            reduce=reduce,
            skip_failed=skip_failed,
            options=options,
        )
        return await self._runs.answer(await self._runs.start(plan, run_id), wait_s)

    @kernel_function("Says how one task of the hive stands: its status, node, attempt, times, result or error.")
    async def get_task_status(self, task_id: Annotated[str, "The task_id from the results of an answer."]) -> str:
        """The task as JSON text, without its payload; `UnknownTask`."""
        task = await self.message_broker.get_task_status(task_id)
        if task is None:
            raise UnknownTask(f"no task {task_id} is known; was it enqueued in this hive?")
        return to_json({name: value for name, value in task.to_dict().items() if name not in {"payload", "offered"}})

    @kernel_function("Says how far a whole run is: how many of its items are enqueued and how many have ended.")
    async def get_run_status(self, run_id: Annotated[str, _RUN]) -> str:
        """JSON text {run_id, kind, skill, total, enqueued, ended, cancelled}, from counters alone. `UnknownTask`."""
        return to_json(await self._runs.status(run_id))

    def iterate(
        self,
        task_description: str,
        items: str | list[Any],
        priority: Priority = "background",
        wait_timeout: float = 300,
        *,
        skill: str | None = None,
        run_id: str | None = None,
        **options: Any,
    ) -> AsyncGenerator[dict[str, Any]]:
        """Like `map_reduce`, but yields each line of the results as it lands.

        A line is {task_id, status, result, error, item_index}. What has not
        ended when time runs out comes last, with its present status.
        """
        wait_s = read_wait(wait_timeout)
        plan = self._plan("map", task_description, items, priority, skill=skill, options=options)
        return self._lines(plan, run_id, wait_s)

    async def follow(self, run_id: str, wait_timeout: float = 300) -> AsyncGenerator[dict[str, Any]]:
        """The results of a run that was started before, line by line: first what has landed. `UnknownTask`."""
        wait_s = read_wait(wait_timeout)
        async with aclosing(self._runs.entries(await self._runs.find(run_id), wait_s)) as lines:
            async for line in lines:
                yield line

    @kernel_function("Waits on for the results of an earlier run, also one that another program started.")
    async def resume(self, run_id: Annotated[str, _RUN], wait_timeout: Annotated[float, _WAIT] = 300) -> str:
        """The answer of a run by its id, also after its caller died. `UnknownTask`.

        It cannot enqueue what the caller had not: these items are `never_enqueued`, and the same call again with
        this run_id and the same items completes them.
        """
        wait_s = read_wait(wait_timeout)
        return await self._runs.answer(await self._runs.find(run_id), wait_s)

    @kernel_function("Runs again only those items of an earlier run that failed, and returns all its results.")
    async def retry_failed(self, run_id: Annotated[str, _RUN], wait_timeout: Annotated[float, _WAIT] = 300) -> str:
        """Put the failed and quarantined items of a run back in line and wait for the whole answer.

        Raises `UnknownTask`, `IllegalTransition` for a cancelled run.
        """
        wait_s = read_wait(wait_timeout)
        return await self._runs.answer(await self._runs.retry(run_id), wait_s, again=True)

    @kernel_function("Cancels a whole run: pending items never start, running ones are asked to stop.")
    async def cancel(self, run_id: Annotated[str, _RUN]) -> str:
        """JSON text {run_id, total, cancelled}: how many were ended or asked to. `UnknownTask`."""
        return to_json(await self._runs.cancel(run_id))

    async def _lines(self, plan: Plan, run_id: str | None, wait_s: float) -> AsyncGenerator[dict[str, Any]]:
        async with aclosing(self._runs.entries(await self._runs.start(plan, run_id), wait_s)) as lines:
            async for line in lines:
                yield line

    def _plan(self, *call: Any, options: dict[str, Any], **named: Any) -> Plan:
        record, items = read_call(*call, options=options, **named)
        return make_plan(record, items, options, self.message_broker.settings.hive_payload_bytes_max)
