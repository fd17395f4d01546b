"""The storms by name."""

from __future__ import annotations

from dataclasses import replace

from chaos import network_weather, weather
from chaos.storm import Scenario

_ALL = (
    Scenario("fair", "nothing breaks", weather.fair, mix={"threaded": 2, "child": 2}),
    Scenario("spores_killed", "SIGKILL of a Spore every second", weather.spores_killed, mix={"long": 15}),
    Scenario("leaders_killed", "SIGKILL of the leading Nexus every second", weather.leaders_killed, nexuses=2),
    Scenario(
        "spores_frozen",
        "SIGSTOP of a Spore past its lease",
        weather.spores_frozen,
        mix={"long": 15, "child": 1, "threaded": 1},
        rare={"slow_child": 4, "brood": 2},
    ),
    Scenario(
        "loop_blocked",
        "tasks block the event loop, or hold the interpreter's lock, past the lease",
        weather.fair,
        mix={"long": 2},
        rare={"deaf": 2, "gripping": 2},
        environment={"HIVE_ZOMBIE_TASK_TIMEOUT": "1"},
        share=0.4,
    ),
    Scenario(
        "memory_eaten",
        "process tasks over their memory limit, or killed as by the kernel",
        weather.fair,
        mix={"child": 5},
        rare={"hungry": 3, "strangled": 2},
        share=0.3,
    ),
    Scenario(
        "hosts_killed",
        "tasks that kill their Spore",
        weather.harmful_tasks,
        rare={"host_killer": 2},
        share=0.5,
    ),
    Scenario("server_killed_always", "SIGKILL of the server, fsync always", weather.server_killed, fsync="always"),
    Scenario(
        "server_killed_everysec",
        "SIGKILL of the server and 1 s of writes lost, fsync everysec",
        weather.server_killed,
        fsync="everysec",
    ),
    Scenario(
        "server_killed_no",
        "SIGKILL of the server and 3 s of writes lost, fsync no",
        weather.server_killed,
        fsync="no",
    ),
    Scenario("server_stalled", "SIGSTOP of the server past all leases", weather.server_stalled, mix={"long": 15}),
    Scenario("memory_full", "the server's memory is full (noeviction)", weather.memory_full),
    Scenario("connections_killed", "CLIENT KILL of everybody, five times a second", weather.connections_killed),
    Scenario("scripts_flushed", "SCRIPT FLUSH, twenty times a second", weather.scripts_flushed),
    Scenario(
        "rolling_restart", "each Spore in turn is drained and replaced", weather.rolling_restart, mix={"long": 10}
    ),
    Scenario(
        "grow_and_shrink",
        "1 Spore, 20, and 1 again",
        weather.grow_and_shrink,
        spores=1,
        mix={"long": 2},
        concurrency=4,
        least_s=8.0,
    ),
    Scenario(
        "stubborn_drain",
        "Spores leave while a task ignores it",
        weather.stubborn_drain,
        mix={"long": 2},
        rare={"stubborn": 1},
        environment={"HIVE_DRAIN_TIMEOUT": "0.5"},
        share=0.3,
    ),
    Scenario(
        "callers_killed",
        "SIGKILL of callers while they enqueue, wait, and gather runs",
        weather.callers_killed,
        mix={"run": 2, "fold": 1},
        rare={"run": 1, "fold": 1},
    ),
    Scenario(
        "consumers_killed",
        "SIGKILL and SIGSTOP of hand-written loops; dead letters are put back in line all the time",
        weather.consumers_killed,
        mix={"byhand": 12, "long_byhand": 4, "fickle": 12, "retried": 1},
        rare={"retried": 1},
        consumers=2,
    ),
    Scenario(
        "everything",
        "all of this, mixed, fsync always",
        weather.everything,
        nexuses=2,
        fsync="always",
        mix={"long": 2, "child": 1, "threaded": 2, "run": 1, "fold": 1, "fickle": 2, "retried": 1, "byhand": 2},
        rare={"deaf": 1, "strangled": 1, "host_killer": 1, "run": 1, "fold": 1, "slow_child": 2, "brood": 1},
        consumers=1,
    ),
    Scenario(
        "partitioned",
        "cables cut both ways for longer than a lease",
        network_weather.partitioned,
        nexuses=2,
        mix={"long": 10},
        networked=True,
    ),
    Scenario(
        "one_way",
        "requests arrive and answers vanish; then the reverse",
        network_weather.one_way,
        nexuses=2,
        mix={"long": 10},
        networked=True,
    ),
    Scenario("lossy", "packets lost, late, out of order and doubled", network_weather.lossy, networked=True),
    Scenario("reset", "connections reset and refused", network_weather.reset, networked=True),
    Scenario(
        "clocks_shifted",
        "clocks an hour wrong, and jumping",
        network_weather.clocks_shifted,
        nexuses=2,
        mix={"long": 10},
        clocked=True,
    ),
    Scenario(
        "everything_networked",
        "all of this, and the network, fsync always",
        network_weather.everything_networked,
        nexuses=2,
        fsync="always",
        mix={"long": 2, "child": 1, "threaded": 2},
        networked=True,
    ),
)
# The same in a hive of several partitions.
PARTITIONS = 4
_PARTED = ("spores_killed", "server_killed_everysec", "everything")
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
for name in _PARTED:
    parted = replace(SCENARIOS[name], name=f"{name}_parted", partitions=PARTITIONS)
    SCENARIOS[parted.name] = parted
