"""From a signature to running code: a real repository, a Nexus' HTTP, Redis, a launcher and its Spore.

And the same with a Redis that somebody else owns.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.hives import altered, audit_lines, done, until, until_so
from tests.launcher.launchers import LauncherProcess
from tests.updater.bad_servers import answering, ok
from tests.updater.releasing import PASSPHRASE, Home, Releaser
from venom_core.clock import to_utc
from venom_core.config import Settings
from venom_core.core.ota_manager import OTAManager
from venom_core.domain.order import Order, write_order
from venom_core.domain.seal import Seal
from venom_core.domain.task import TaskBody, seal_task
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.releases import BASE

TOKEN = "a token that every node of this hive knows"
NODE = "n1"


def skills_of(version: str) -> str:
    """A module of skills that knows its version."""
    return textwrap.dedent(f"""
        from venom_spore.skills import SkillSet

        skills = SkillSet()

        @skills.skill
        async def version() -> str:
            return {version!r}
    """)


@dataclass
class Hive:
    """A Spore under a launcher that follows a signer, the broker of whoever uses it, and the signer's manager."""

    launcher: LauncherProcess
    home: Home
    broker: MessageBroker
    releaser: Releaser
    ota: OTAManager

    async def answer(self) -> str:
        """The version that the Spore's code says."""
        return str(await done(self.broker, "version", {}))

    async def release(self, version: str, text: str = "", **more: Any) -> None:
        """Build a release of the skills, and have everybody told of it as the documents do."""
        source = self.releaser.folder.with_name("written") / "our_skills.py"
        source.parent.mkdir(exist_ok=True)
        await asyncio.to_thread(source.write_text, text or skills_of(version))
        package = await self.ota.create_package(version, f"Release {version}", [source], **more)
        await self.ota.broadcast_update(package, target_nodes=[NODE])

    async def runs(self, version: str) -> None:
        """Wait until this version is kept, and ask it."""
        async with asyncio.timeout(90):
            while not self._rests_on(version):
                # A hint is lost on a worker that is just being started; in a real hive the next poll makes up for it.
                await self.broker.broadcast_control("UPDATE_SYSTEM", {})
                with contextlib.suppress(TimeoutError):
                    await until(lambda: self._rests_on(version), 5)
        assert await self.answer() == version

    def _rests_on(self, version: str) -> bool:
        return self.launcher.state.phase is Phase.IDLE and self._current().startswith(version)

    def _current(self) -> str:
        current = self.launcher.state.current
        return "base" if current == BASE else current


DIES_AT_START = """
import os
from venom_spore.skills import SkillSet

class Dies(SkillSet):
    def located(self, origin=""):
        os._exit(3)

skills = Dies()
"""
"""Nothing that an import shows."""


@asynccontextmanager
async def hive_of(
    settings: Settings, folder: Path, releaser: Releaser, url: str, broker: MessageBroker
) -> AsyncIterator[Hive]:
    home = await asyncio.to_thread(Home, folder / f"{NODE}-home", url, releaser.fingerprint)
    base = folder / "by hand"
    base.mkdir()
    (base / "our_skills.py").write_text(skills_of("base"))
    signing = altered(
        broker.settings, hive_ota_home=str(releaser.folder), hive_ota_passphrase=PASSPHRASE, hive_ota_url=url
    )
    own = altered(settings, hive_ota_interval=0.0, hive_audit_file=str(home.layout.audit))
    with LauncherProcess(
        own, folder, "--hint-every", "0.2", "--ready", "40", name=NODE, skills="our_skills:skills",
        path=base,
    ) as launcher:  # fmt: skip
        await launcher.said("joined with")
        yield Hive(launcher, home, broker, releaser, OTAManager(broker, settings=signing))


async def test_a_release_arrives_the_next_one_too_and_one_that_crashes_is_gone_back_from(
    fast: Settings, broker: MessageBroker, tmp_path: Path, releaser: Releaser, url: str
) -> None:
    async with hive_of(fast, tmp_path, releaser, url, broker) as hive:
        assert await hive.answer() == "base"
        await hive.release("1.0.0")
        await hive.runs("1.0.0")
        await hive.release("2.0.0")
        await hive.runs("2.0.0")
        await hive.release("3.0.0", DIES_AT_START)
        await until(lambda: "3.0.0" in hive.launcher.state.known_bad, 60)
        await hive.runs("2.0.0")
        # What crashed is not tried again, and what comes after it is.
        await hive.release("3.0.1")
        await hive.runs("3.0.1")
        # Whoever signed it takes it back: no message is needed for that, and no message could do it.
        await asyncio.to_thread(releaser.withdraw, "3.0.1")
        await broker.broadcast_control("UPDATE_SYSTEM", {"version": "3.0.1"})
        await hive.runs("2.0.0")
        events = [json.loads(line)["event"] for line in hive.launcher.layout.audit.read_text().splitlines()]
        assert events.count("update_staged") == 4
        assert events.count("update_go_back") == 1
        [node] = [each for each in await broker.hive.nodes.all() if each.profile.name == NODE]
        assert node.profile.hardware["app_release"] == hive.launcher.state.current


async def test_a_release_for_another_node_is_not_taken(
    fast: Settings, broker: MessageBroker, tmp_path: Path, releaser: Releaser, url: str
) -> None:
    async with hive_of(fast, tmp_path, releaser, url, broker) as hive:
        await asyncio.to_thread(releaser.release, "9.0.0", {"our_skills.py": skills_of("9.0.0")}, nodes=["n2"])
        await hive.release("1.0.0")
        await hive.runs("1.0.0")


# ------------------------------------------------------------------------------------------------- an owned Redis


class Attacker:
    """Somebody with every right on the Redis server, and without the token."""

    def __init__(self, broker: MessageBroker, evil: str, canary: Path) -> None:
        self._link, self._tasks = broker.hive.link, broker.hive.tasks
        self._channel, self._namespace = broker.settings.hive_broadcast_channel, broker.settings.hive_namespace
        self._evil, self._canary = evil, canary

    async def publish(self, message: bytes) -> None:
        await self._link.command("PUBLISH", self._channel, message)

    def hint(self, seal: Seal, moment: str, **more: Any) -> bytes:
        """An UPDATE_SYSTEM of the attacker's own."""
        checksum = "ab" * 32
        data = {
            "package_url": f"{self._evil}/ota/targets/packages/{checksum}.tasks-99.0.zip", "checksum": checksum,
            "target_nodes": [NODE], "version": "99.0", "hive": self._namespace, **more,
        }  # fmt: skip
        return write_order(seal, Order("UPDATE_SYSTEM", data, moment))

    async def slip_in(self, task_type: str, payload: dict[str, Any], seal: Seal) -> str:
        """A task that no broker took in, in line for whoever serves its type."""
        task_id = f"evil-{task_type}"
        body = TaskBody(task_type, msgspec.Raw(msgspec.msgpack.encode(payload)), 5_000, 3, 1)
        space = self._tasks.keyspace
        await self._link.command("HSET", space.key(0, "task"), task_id, seal_task(seal, task_id, 2, body))
        queue, _, wake = space.type_keys(0, task_type)
        await self._link.command("HINCRBY", space.key(0, "count"), "background", 1)
        await self._link.command("ZADD", queue, 8 * 2**49, task_id)
        await self._link.command("ZADD", space.key(0, "ready"), "LT", 8 * 2**49, task_type)
        await self._link.command("LPUSH", wake, "1")
        return task_id

    async def do_everything(self) -> int:
        """The moment of the hints, in milliseconds since the epoch: after every genuine one so far."""
        seconds, _ = await self._link.command("TIME")
        moment_ms = (int(seconds) + 5) * 1000
        moment = to_utc(moment_ms).isoformat()
        forged = Seal(self._namespace, "another token with enough of letters")
        for seal in (Seal(self._namespace), forged):
            await self.publish(self.hint(seal, moment))
            await self.publish(self.hint(seal, moment, target_nodes=None, script=f"touch {self._canary}"))
        await self.publish(b"[" * 60_000)
        await self.publish(b'{"command": "UPDATE_SYSTEM", "data": [], "timestamp": 5}')
        touch = {"command": f"touch {self._canary}", "path": str(self._canary)}
        for task_type in ("os.system", "subprocess:run", "shell", "venom_spore.main:main", "our_skills:os.system"):
            await self.slip_in(task_type, touch, Seal(self._namespace))
        await self.slip_in("version", {}, forged)
        await self._link.command("HSET", self._tasks.keyspace.key(0, "profile"), "n9", b"\xc1 not msgpack")
        return moment_ms

    async def clean_up(self) -> None:
        """The common server of the tests gets back what nobody else takes away."""
        for name in ("task", "profile", "ready"):
            await self._link.command("DEL", self._tasks.keyspace.key(0, name))
        types = ("os.system", "subprocess:run", "shell", "venom_spore.main:main", "our_skills:os.system", "version")
        for task_type in types:
            await self._link.command("DEL", *self._tasks.keyspace.type_keys(0, task_type))


@pytest.mark.parametrize("token", [TOKEN, None], ids=["with a token", "without"])
async def test_who_owns_redis_gets_nothing_installed_and_runs_nothing(
    token: str | None, fast: Settings, tmp_path: Path, releaser: Releaser, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a token nothing forged is even listened to; without one it makes the node look, at what it joined."""
    if token is not None:
        monkeypatch.setenv("NEXUS_SHARED_TOKEN", token)
    guarded, canary = altered(fast, nexus_shared_token=token), tmp_path / "canary"
    with answering(ok(b"evil")) as evil:
        async with MessageBroker(guarded) as broker, hive_of(guarded, tmp_path, releaser, url, broker) as hive:
            pubsub = await broker.subscribe_broadcast()
            await hive.release("1.0.0")
            await hive.runs("1.0.0")
            attacker = Attacker(broker, evil.url, canary)
            genuine = await anext(message["data"] async for message in pubsub.listen() if message["type"] == "message")
            for _ in range(20):
                await attacker.publish(genuine)
            before = names_of(hive.launcher.layout.releases)
            moment_ms = await attacker.do_everything()

            async def heard() -> bool:
                refused = [line["why"] for line in await audit_lines(broker) if line["what"] == "refused_order"]
                looked = hive.launcher.state.heard_ms == moment_ms
                return len(refused) >= (6 if token else 2) and (token is not None or looked)

            await until_so(heard)
            # It works, runs what it ran, and has asked nobody but whom it had joined.
            assert await hive.answer() == "1.0.0"
            assert names_of(hive.launcher.layout.releases) == before
            assert hive.launcher.state.current.startswith("1.0.0-")
            assert evil.requests == []
            assert not canary.exists()
            if token:
                assert hive.launcher.state.heard_ms < moment_ms
            await attacker.clean_up()
            await hive.release("2.0.0")
            await hive.runs("2.0.0")
            assert not canary.exists()


def names_of(releases: Path) -> set[str]:
    return {path.name for path in releases.iterdir()}
