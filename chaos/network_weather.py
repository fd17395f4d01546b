"""What may befall the network between the machines of a storm, and the clocks on them."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.clocks import HOUR_S, Clocks
from chaos.fleet import CALLER, NEXUS, SPORE
from chaos.network import SERVER, Network
from chaos.relay import GOOD, Cable
from chaos.storm import Storm
from chaos.weather import (
    LEASE_S,
    cut_connections,
    flush_scripts,
    freeze_a_spore,
    kill_a_caller,
    kill_a_spore,
    kill_the_leader,
    kill_the_server,
)

LOSS_MAX, DOUBLED_MAX = 0.15, 0.25
DELAY_MS_MAX, JITTER_MS_MAX = 30.0, 20.0

SEVERED = Cable(mute=True, deaf=True)
ONE_WAY = {"no answers reach": Cable(deaf=True), "nothing comes from": Cable(mute=True)}


async def partitioned(storm: Storm) -> None:
    """Cables are cut both ways for longer than a lease, then whole again; some machines lose their power as well."""
    while storm.rages:
        if storm.rng.random() < 0.3:
            await lose_power(storm)
        else:
            await silence(storm, "cut off", SEVERED)
        await storm.pause(0.3, 0.8)


async def one_way(storm: Storm) -> None:
    """Answers vanish while requests arrive; then the other way round."""
    while storm.rages:
        for words, cable in ONE_WAY.items():
            await silence(storm, words, cable)
            await storm.pause(0.2, 0.5)


async def silence(storm: Storm, words: str, cable: Cable) -> None:
    """Some machines, or the server itself, have a bad cable for longer than a lease."""
    names = [SERVER] if storm.rng.random() < 0.15 else _some(storm)
    storm.blow(f"{words} {', '.join(names)}")
    _network(storm).treat(names, cable)
    await storm.pause(1.2 * LEASE_S, 2 * LEASE_S * storm.scale.patience)
    _network(storm).treat(names, GOOD)


async def lose_power(storm: Storm) -> None:
    """A Spore's machine goes dark without hanging up, and comes back later."""
    victim = storm.any_spore()
    if victim is not None:
        storm.blow(f"no power for {victim.name}")
        _network(storm).treat([victim.name], SEVERED)
        storm.fleet.kill(victim)
        await storm.pause(0.5 * LEASE_S, 2 * LEASE_S)
        _network(storm).treat([victim.name], GOOD)
        storm.fleet.again(victim)


async def lossy(storm: Storm) -> None:
    """Packets are lost, late, out of order and doubled, on every cable in another measure from moment to moment."""
    while storm.rages:
        spoil(storm)
        await storm.pause(0.2, 0.6)


def spoil(storm: Storm) -> None:
    rng = storm.rng
    storm.blow("other bad cables")
    for name in _all(storm):
        loss, doubled = rng.uniform(0, LOSS_MAX), rng.uniform(0, DOUBLED_MAX)
        delay_ms, jitter_ms = rng.uniform(0, DELAY_MS_MAX), rng.uniform(0, JITTER_MS_MAX)
        _network(storm).treat([name], Cable(delay_ms, jitter_ms, loss, doubled))


async def reset(storm: Storm) -> None:
    """Connections are reset, the silent ones too; now and then whoever tries again is refused for a while."""
    while storm.rages:
        hang_up(storm)
        if storm.rng.random() < 0.2:
            names = _some(storm)
            storm.blow(f"refuse {', '.join(names)}")
            _network(storm).treat(names, Cable(refused=True))
            await storm.pause(0.2, 1.5 * LEASE_S)
            _network(storm).treat(names, GOOD)
        await storm.pause(0.05, 0.4)


def hang_up(storm: Storm) -> None:
    names = [SERVER] if storm.rng.random() < 0.5 else _some(storm)
    storm.blow(f"hang up on {', '.join(names)}")
    _network(storm).hang_up(names)


async def clocks_shifted(storm: Storm) -> None:
    """Clocks are an hour ahead or behind, jump between that and the truth, and some who have them are killed."""
    while storm.rages:
        shift_a_clock(storm)
        if storm.rng.random() < 0.4:
            kill_a_spore(storm)
        elif storm.rng.random() < 0.2:
            kill_the_leader(storm)
        await storm.pause(0.2, 0.6)


def shift_a_clock(storm: Storm) -> None:
    clocks: Clocks | None = storm.clocks
    assert clocks is not None
    name, seconds = storm.rng.choice(_all(storm)), storm.rng.choice((-HOUR_S, 0, HOUR_S))
    storm.blow(f"the clock of {name} is {seconds:+d} s off")
    clocks.set(name, seconds)


async def everything_networked(storm: Storm) -> None:
    """All of it, mixed, and the network as well; the server keeps every write."""
    while storm.rages:
        await (storm.rng.choices(_LASTING, (3, 2, 1, 1, 1))[0])(storm)
        for _ in range(storm.rng.randint(1, 3)):
            storm.rng.choices(_SUDDEN, (3, 3, 4, 2, 1, 1, 1))[0](storm)
            await storm.pause(0.1, 0.5)


async def cut_off(storm: Storm) -> None:
    await silence(storm, "cut off", SEVERED)


async def go_deaf(storm: Storm) -> None:
    await silence(storm, "no answers reach", Cable(deaf=True))


_LASTING = (cut_off, go_deaf, lose_power, freeze_a_spore, kill_the_server)
_SUDDEN = (spoil, hang_up, kill_a_spore, kill_the_leader, cut_connections, flush_scripts, kill_a_caller)


def _network(storm: Storm) -> Network:
    network: Network | None = storm.network
    assert network is not None
    return network


def _all(storm: Storm) -> list[str]:
    return [node.name for kind in (SPORE, NEXUS, CALLER) for node in storm.fleet.living(kind)] or [SERVER]


def _some(storm: Storm) -> Sequence[str]:
    """Some of the Spores and, more rarely, the leading Nexus or a caller."""
    rng, spores, callers = storm.rng, storm.spores(), storm.fleet.living(CALLER)
    some = rng.sample(spores, rng.randint(1, max(len(spores) - 1, 1))) if spores else []
    leader = storm.leader()
    if leader is not None and rng.random() < 0.4:
        some.append(leader)
    if callers and rng.random() < 0.3:
        some.append(rng.choice(callers))
    return [node.name for node in some] or [SERVER]
