"""What happens in `quickstart --ota`: during the scan all Spores take a release, and then one that does not start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from venom_core.demo.job import Job
from venom_core.demo.run import Run, Update
from venom_core.demo.scene import Scene
from venom_core.demo.versions import SECOND, THIRD
from venom_core.domain.order import UPDATE
from venom_core.errors import VenomError
from venom_spore.launcher.layout import Layout
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.state import State, StateFile

if TYPE_CHECKING:
    from venom_core.demo.releases import Releases

FIRST_AFTER = 0.1
LOOK_S = 0.2
TIMEOUT_S = 180.0


class TwoUpdates:
    """Publishes the second release once a tenth of the files is done, and the third once all run the second."""

    def __init__(self, releases: Releases, homes: Iterable[Path]) -> None:
        self._releases = releases
        self._states = [StateFile(Layout(home)) for home in homes]

    async def happen(self, scene: Scene, job: Job, run: Run) -> None:
        """Both, one after the other; `VenomError` if Spores do not get through them."""
        await run.ledger.reached(round(len(run.files) * FIRST_AFTER))
        for version in (SECOND, THIRD):
            await self._release(scene, run, version)

    async def _release(self, scene: Scene, run: Run, version: str) -> None:
        update = Update(version, len(self._states), scene.now_s(), fails=version == THIRD)
        size = await asyncio.to_thread(self._releases.publish, version)
        run.updates.append(update)
        scene.view.say(f"  release {version} is signed and published: {size:,} bytes", "bold cyan")
        heard = await scene.broker.broadcast_control(UPDATE, {"version": version, "target_nodes": []})
        scene.view.say(f"  {heard} listeners were told to look for it")
        async with asyncio.timeout(TIMEOUT_S):
            try:
                await self._until_all(scene, update)
            except TimeoutError:
                raise VenomError(f"after {TIMEOUT_S:.0f} s: {self._where()}") from None
        update.ended_s = scene.now_s()
        how = "rolled back by itself" if update.fails else "kept"
        scene.view.say(f"  release {version}: {how} on all {update.nodes} Spores after {update.seconds:.1f} s", "green")

    async def _until_all(self, scene: Scene, update: Update) -> None:
        settled = 0
        while settled < len(self._states):
            await asyncio.sleep(LOOK_S)
            states = [state_file.load() for state_file in self._states]
            now = sum(_settled(state, update) for state in states)
            if now > settled:
                scene.view.say(f"  release {update.version}: {now} of {len(states)} Spores have come through it")
            settled = now

    def _where(self) -> str:
        return "; ".join(f"{state.current}: {state.phase}" for state in (file.load() for file in self._states))


def _settled(state: State, update: Update) -> bool:
    if state.phase is not Phase.IDLE:
        return False
    if update.fails:
        return update.version in state.known_bad and state.current.startswith(f"{SECOND}-")
    return state.current.startswith(f"{update.version}-")
