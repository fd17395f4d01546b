"""`venom doctor`: what is wrong with this hive, or with the way to it, and what to do."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from venom_core import __version__
from venom_core.commands.findings import Finding, exit_code, listing_of
from venom_core.commands.frame import json_option, redis_url_option, settings_at
from venom_core.commands.screen import ago, print_listing
from venom_core.commands.security import checklist
from venom_core.commands.server import default_data
from venom_core.domain.node import NodeState
from venom_core.errors import InvalidSetting, StoreError
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.queues import read_queues
from venom_core.infrastructure.server_health import ServerHealth, read_health

CLOCK_OFF_MS = 1_000
DISK_FULL_PERCENT = 90.0
WAITS_LONG_MS = 300_000
ROUND_TRIP_SLOW_MS = 50.0
# The quickest of so many: a moment in which this machine is busy says nothing of the way to the server.
PINGS = 5
NAMES_SHOWN = 8


@click.command()
@click.option("--security", is_flag=True, help="The ten points of the security checklist instead.")
@json_option
@redis_url_option
def doctor(security: bool, redis_url: str | None, as_json: bool) -> None:
    """Look for what is wrong: settings, server, clock, Spores, skills that nobody has, disks.

    The exit code is 1 if anything failed. With --security each point of the checklist is passed, failed, or cannot be
    known from here; each says what to do.
    """
    findings = asyncio.run(_examine(redis_url, security=security))
    print_listing(listing_of(findings), as_json=as_json)
    click.get_current_context().exit(exit_code(findings))


async def _examine(redis_url: str | None, *, security: bool) -> list[Finding]:
    with _slips() as slips:
        try:
            settings = settings_at(redis_url)
        except InvalidSetting as fault:
            return [Finding("settings", "fail", str(fault), "mend it in the environment or in .env")]
    findings = [] if security else [*_settings(slips)]
    broker = MessageBroker(settings)
    try:
        await broker.open()
    except (StoreError, InvalidSetting) as fault:
        hint = "start one with: venom up, or give the address of yours with REDIS_URL"
        return [*findings, Finding("server", "fail", str(fault), hint)]
    try:
        health = await read_health(broker.hive.link)
        if security:
            return await checklist(broker, settings, health)
        return [*findings, *await _server(broker, health), *await _hive(broker)]
    finally:
        await broker.disconnect()


class _Slips(logging.Handler):
    """Keeps what is warned of while settings are read."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextmanager
def _slips() -> Iterator[list[str]]:
    """Warnings about names of settings, in place of lines in the log."""
    handler, logger = _Slips(), logging.getLogger("venom.config")
    logger.addHandler(handler)
    before, logger.propagate = logger.propagate, False
    try:
        yield handler.said
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def _settings(slips: list[str]) -> Iterator[Finding]:
    for slip in slips:
        yield Finding("settings", "warn", slip, "rename it, or leave it if another program owns it")
    if not slips:
        yield Finding("settings", "ok", "every HIVE_ and REDIS_ name is one of ours; see them with: venom config")


# --------------------------------------------------------------------------------------------------------- the server


async def _server(broker: MessageBroker, health: ServerHealth) -> list[Finding]:
    hive, facts = broker.hive, broker.hive.link.server
    ms = min([await _ping_ms(broker) for _ in range(PINGS)])
    what = f"{facts.name} {facts.version or 'of unknown version'} answers in {ms:.1f} ms ({hive.link.place})"
    slow = "look at the network and at the server's load: every call takes so long"
    reached = Finding("server", "warn" if ms > ROUND_TRIP_SLOW_MS else "ok", what, slow * (ms > ROUND_TRIP_SLOW_MS))
    return [reached, _persistence(health), _memory(health), _clock(hive.now_ms() - hive.clock.now_ms()), *_disk()]


async def _ping_ms(broker: MessageBroker) -> float:
    clock = broker.hive.clock
    began_s = clock.monotonic_s()
    await broker.hive.link.command("PING")
    return (clock.monotonic_s() - began_s) * 1000


def _persistence(health: ServerHealth) -> Finding:
    on = health.info.get("aof_enabled")
    if on is None:
        return Finding(
            "persistence", "warn", "this user may not ask", "allow INFO, or see appendonly in its redis.conf"
        )
    if on == "0":
        fix = "set appendonly yes, or what is queued is lost with the server"
        return Finding("persistence", "warn", "appendonly is off: it forgets its latest tasks when it crashes", fix)
    if health.info.get("aof_last_write_status", "ok") != "ok":
        return Finding("persistence", "fail", "its last write to the disk failed", "free disk space and see its log")
    how = health.config.get("appendfsync", "as it is configured")
    return Finding("persistence", "ok", f"appendonly is on, written to disk {how}")


def _memory(health: ServerHealth) -> Finding:
    policy = health.config.get("maxmemory-policy") or health.info.get("maxmemory_policy", "")
    used, most = (int(health.info.get(name, "0") or 0) for name in ("used_memory", "maxmemory"))
    if policy not in ("", "noeviction"):
        fix = "set maxmemory-policy noeviction"
        return Finding("memory", "fail", f"maxmemory-policy {policy} throws tasks away when memory is short", fix)
    share = f" of {most / 2**20:,.0f}" if most else ", without a limit"
    if most and used > 0.9 * most:
        return Finding("memory", "warn", f"{used / 2**20:,.0f}{share} MiB used", "raise maxmemory, or drain the queues")
    return Finding("memory", "ok", f"{used / 2**20:,.0f} MiB used{share}; nothing is evicted")


def _clock(ahead_ms: int) -> Finding:
    if abs(ahead_ms) <= CLOCK_OFF_MS:
        return Finding("clock", "ok", f"this machine and the server differ by {abs(ahead_ms)} ms")
    which = "behind" if ahead_ms > 0 else "ahead of"
    found = f"this machine is {ago(abs(ahead_ms) / 1000)} {which} the server"
    return Finding(
        "clock", "warn", found, "deadlines hold all the same (the server's clock counts); set NTP for the logs"
    )


def _disk() -> Iterator[Finding]:
    folder = default_data()
    if folder.exists():
        total, _, free = shutil.disk_usage(folder)
        full = 100 - free / total * 100
        state: Any = "warn" if full > DISK_FULL_PERCENT else "ok"
        fix = "free some space: a server that cannot write refuses tasks" if state == "warn" else ""
        yield Finding("disk here", state, f"{full:.0f} % full, {free / 2**30:,.1f} GiB free ({folder})", fix)


# ----------------------------------------------------------------------------------------------------------- the hive


async def _hive(broker: MessageBroker) -> list[Finding]:
    nodes = await broker.hive.nodes.all()
    spores = [node for node in nodes if node.profile.kind == "spore"]
    online = [node for node in spores if node.online]
    findings = [_spores(spores, online), _nexus(led=await broker.hive.nodes.led()), *_machines(online)]
    findings += [*await _queues(broker, online)]
    if zombies := await broker.detect_zombie_tasks():
        names = _names(zombie.task_id for zombie in zombies)
        findings.append(
            Finding("zombies", "warn", f"no sign of life: {names}", "venom task retry ID, or start a Nexus")
        )
    if dead := (await broker.get_queue_stats())["dead_letters"]:
        findings.append(Finding("dead letters", "warn", f"{dead:,} tasks failed for good", "venom dlq list"))
    return findings


def _names(names: Any) -> str:
    listed = list(names)
    more = f" and {len(listed) - NAMES_SHOWN} more" if len(listed) > NAMES_SHOWN else ""
    return ", ".join(listed[:NAMES_SHOWN]) + more


def _spores(spores: list[NodeState], online: list[NodeState]) -> Finding:
    if not online:
        return Finding(
            "Spores", "fail", "none is online: nothing runs", "venom up, or: venom-spore --skills module:skills"
        )
    slots = sum(node.profile.concurrency for node in online)
    gone = [node.profile.name for node in spores if not node.online]
    found = f"{len(online)} online with {slots} slots"
    if gone:
        fix = "see the log of its machine; a node is forgotten after an hour"
        return Finding("Spores", "warn", f"{found}; offline: {_names(gone)}", fix)
    return Finding("Spores", "ok", found)


def _nexus(*, led: bool) -> Finding:
    if led:
        return Finding("Nexus", "ok", "one leads")
    fix = "start one with: venom-nexus"
    return Finding("Nexus", "warn", "none leads: tasks with requirements wait, zombies are not rescued", fix)


def _machines(online: list[NodeState]) -> Iterator[Finding]:
    if aside := [node.profile.name for node in online if node.load.cordoned]:
        yield Finding("cordoned", "warn", f"take no tasks: {_names(aside)}", "venom node uncordon NAME")
    if full := [node for node in online if node.load.disk_percent > DISK_FULL_PERCENT]:
        names = _names(f"{node.profile.name} {node.load.disk_percent:.0f} %" for node in full)
        yield Finding("disks", "warn", f"nearly full: {names}", "free some space on these machines")
    if silent := [node.profile.name for node in online if node.load.loop_silent_ms > 10_000]:
        fix = "a skill blocks its event loop: make it a plain def, or process=True"
        yield Finding("event loops", "warn", f"silent: {_names(silent)}", fix)
    if others := sorted({node.profile.release for node in online} - {__version__}):
        fix = "bring all machines to one release"
        yield Finding("releases", "warn", f"this is {__version__}, Spores run {_names(others)} too", fix)


async def _queues(broker: MessageBroker, online: list[NodeState]) -> list[Finding]:
    lanes = await read_queues(broker.hive)
    known = {skill for node in online for skill in node.profile.skills}
    orphans = [lane for lane in lanes if lane.name == lane.lane and lane.lane not in known]
    findings = []
    if orphans:
        names = _names(f"{lane.lane} ({lane.ready + lane.delayed:,} tasks)" for lane in orphans)
        fix = "start a Spore that has them, or cancel the tasks; venom explain ID says more"
        findings.append(Finding("skills", "fail", f"tasks wait for skills that nobody online has: {names}", fix))
    else:
        findings.append(Finding("skills", "ok", "everything that waits can be taken by somebody"))
    if late := [lane for lane in lanes if lane.oldest_ms > WAITS_LONG_MS and lane not in orphans]:
        names = _names(f"{lane.name} {ago(lane.oldest_ms / 1000)}" for lane in late)
        findings.append(Finding("queues", "warn", f"the first in line has waited: {names}", "start more Spores"))
    return findings
