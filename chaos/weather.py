"""What may befall a hive. Each function goes on until its storm no longer rages."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import redis

from chaos import server as servers
from chaos.fleet import CALLER, CONSUMER, SPORE, Node
from chaos.storm import Storm

LEASE_S = 1.2
MANY_SPORES = 20


async def fair(storm: Storm) -> None:
    """Nothing happens; the tasks themselves may do harm."""
    while storm.rages:
        await storm.pause(0.1, 0.1)


async def harmful_tasks(storm: Storm) -> None:
    """Spores that a task has taken with it come back, as a supervisor would have them."""
    while storm.rages:
        for node in list(storm.fleet.nodes.values()):
            if node.kind == "spore" and not node.alive:
                storm.blow(f"{node.name} died of its task")
                storm.fleet.again(node)
        await asyncio.sleep(0.05)


async def spores_killed(storm: Storm) -> None:
    """SIGKILL of a Spore every second; it comes back under its name or another takes its place."""
    while storm.rages:
        kill_a_spore(storm)
        await storm.pause(0.7, 1.3)


def kill_a_spore(storm: Storm) -> None:
    victim = storm.any_spore()
    if victim is not None:
        storm.fleet.kill(victim)
        _replace(storm, victim)


def _replace(storm: Storm, victim: Node) -> None:
    if storm.rng.random() < 0.5:
        storm.fleet.again(victim)
    else:
        storm.fleet.spore()


async def leaders_killed(storm: Storm) -> None:
    """SIGKILL of whichever Nexus leads, every second."""
    while storm.rages:
        kill_the_leader(storm)
        await storm.pause(0.7, 1.3)


def kill_the_leader(storm: Storm) -> None:
    leader = storm.leader()
    if leader is not None and leader.alive:
        storm.fleet.kill(leader)
        storm.fleet.again(leader)


async def spores_frozen(storm: Storm) -> None:
    """SIGSTOP for longer than the lease, then SIGCONT; the others go on."""
    while storm.rages:
        await freeze_a_spore(storm)
        await storm.pause(0.2, 0.6)


async def freeze_a_spore(storm: Storm) -> None:
    await freeze(storm, SPORE)


async def freeze(storm: Storm, kind: str) -> None:
    """One process of a kind, for longer than its lease."""
    running = storm.fleet.living(kind)
    if running:
        victim = storm.rng.choice(running)
        storm.fleet.freeze(victim)
        await storm.pause(1.2 * LEASE_S, 2 * LEASE_S)
        storm.fleet.thaw(victim)


async def server_killed(storm: Storm) -> None:
    """SIGKILL of the server, which comes back with what its file holds; the last time its power is cut as well."""
    while storm.rages:
        await storm.pause(1.0, 1.6)
        await kill_the_server(storm)
    await asyncio.sleep(0.3)
    if storm.server.fsync != "always":
        seconds = 1.0 if storm.server.fsync == "everysec" else 3.0
        storm.blow(f"cut the power, {seconds:g} s are lost")
        storm.lost(storm.server.cut_power(seconds))
        storm.server.start_again()


async def kill_the_server(storm: Storm) -> None:
    storm.blow("kill the server")
    storm.lost(storm.server.kill())
    await storm.pause(0.0, 0.5)
    storm.server.start_again()


async def server_stalled(storm: Storm) -> None:
    """SIGSTOP of the server for longer than any lease."""
    while storm.rages:
        storm.blow("stall the server")
        storm.server.stall()
        await asyncio.sleep(2.5 * storm.scale.patience)
        storm.server.resume()
        await storm.pause(1.5, 2.0)


async def memory_full(storm: Storm) -> None:
    """The server has no memory left for what only adds."""
    while storm.rages:
        storm.blow("fill the memory")
        servers.full(storm.client, full=True)
        await storm.pause(0.5, 1.0)
        servers.full(storm.client, full=False)
        await storm.pause(0.3, 0.5)


async def connections_killed(storm: Storm) -> None:
    """Every connection is cut, five times a second."""
    while storm.rages:
        cut_connections(storm)
        await storm.pause(0.1, 0.3)


def cut_connections(storm: Storm) -> None:
    with suppress(redis.RedisError):
        storm.blow("cut all connections")
        for kind in ("normal", "pubsub"):
            storm.client.client_kill_filter(_type=kind, skipme=True)


async def scripts_flushed(storm: Storm) -> None:
    """The server forgets all scripts, twenty times a second."""
    while storm.rages:
        flush_scripts(storm)
        await storm.pause(0.02, 0.08)


def flush_scripts(storm: Storm) -> None:
    with suppress(redis.RedisError):
        storm.blow("flush the scripts")
        flushed: Any = storm.client.script_flush()
        assert flushed


async def rolling_restart(storm: Storm) -> None:
    """Every Spore in turn is drained, and a new one comes."""
    while storm.rages:
        for node in storm.spores():
            await storm.fleet.drain(node)
            storm.fleet.spore()
            await storm.pause(0.2, 0.5)


async def grow_and_shrink(storm: Storm) -> None:
    """One Spore, then twenty that all work, then one; again and again."""
    while storm.rages:
        while len(storm.spores()) < MANY_SPORES:
            storm.fleet.spore()
            await storm.pause(0.0, 0.2)
        if await storm.all_joined():
            storm.blow(f"{len(storm.spores())} Spores work")
        while (running := storm.spores())[1:]:
            await storm.fleet.drain(*running[: min(storm.rng.randint(1, 4), len(running) - 1)])


async def stubborn_drain(storm: Storm) -> None:
    """Spores are told to leave while a task there ignores it."""
    while storm.rages:
        node = storm.any_spore()
        if node is not None:
            await storm.fleet.drain(node)
            storm.fleet.spore()
        await storm.pause(0.3, 0.6)


async def callers_killed(storm: Storm) -> None:
    """SIGKILL of a caller in the middle of whatever it does; it begins anew with the same ids."""
    while storm.rages:
        kill_a_caller(storm)
        await storm.pause(0.6, 1.2)


def kill_a_caller(storm: Storm) -> None:
    running = storm.fleet.living(CALLER)
    if running:
        storm.fleet.kill(storm.rng.choice(running))


async def consumers_killed(storm: Storm) -> None:
    """SIGKILL of hand-written loops, or SIGSTOP past their lease, and of a Spore now and then."""
    while storm.rages:
        blow = storm.rng.choices((kill_a_consumer, kill_a_spore, None), (4, 2, 2))[0]
        if blow is None:
            await freeze(storm, CONSUMER)
        else:
            blow(storm)
        await storm.pause(0.2, 0.7)


def kill_a_consumer(storm: Storm) -> None:
    running = storm.fleet.living(CONSUMER)
    if running:
        victim = storm.rng.choice(running)
        storm.fleet.kill(victim)
        storm.fleet.again(victim)


async def everything(storm: Storm) -> None:
    """All of it, mixed; the server keeps every write."""
    while storm.rages:
        blow = storm.rng.choices(
            (kill_a_spore, kill_the_leader, cut_connections, flush_scripts, kill_a_caller, kill_a_consumer),
            (6, 2, 2, 2, 2, 1),
        )[0]
        blow(storm)
        if storm.rng.random() < 0.15:
            await kill_the_server(storm)
        if storm.rng.random() < 0.2:
            await freeze_a_spore(storm)
        await storm.pause(0.2, 0.8)
