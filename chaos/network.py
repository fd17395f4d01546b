"""A network for one storm: every process on a machine of its own, and a relay between them that can be told to fail.

A machine is a network namespace without a name, whose one cable is a TUN device that `chaos.relay` holds the other
end of. Nothing is entered anywhere: all of it is gone with the last process that uses it, however the storm ends.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaos.relay import GOOD, ORDER_BYTES_MAX, Cable, HangUp, Order, Plug, Tally, Treat

ROOT = Path(__file__).parent.parent
SERVER = "server"
PORT = 6379
MACHINES_MAX = 250 * 250
ANSWERS_WITHIN_S = 20.0
ENDS_WITHIN_S = 5.0

_LIBC = ctypes.CDLL(None, use_errno=True)
_HERE = "/proc/thread-self/ns/net"
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_MAKE_TUN, _TUN_WITHOUT_HEADER = 0x400454CA, 0x1001  # TUNSETIFF, IFF_TUN | IFF_NO_PI
_SET_ADDRESS, _SET_MASK, _SET_FLAGS = 0x8916, 0x891C, 0x8914
_UP_AND_RUNNING = 0x41
_MASK = "255.255.0.0"


@dataclass(frozen=True, slots=True)
class Machine:
    """A place on the network; `namespace` is an open file that stands for it."""

    address: str
    namespace: int


class Network:
    """The machines of one storm. Used from one thread, which visits them to start something there."""

    def __init__(self, seed: str) -> None:
        """Start the relay and make the server's machine; `OSError` where `missing` says why."""
        self.tally = Tally()
        self._machines: dict[str, Machine] = {}
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(ANSWERS_WITHIN_S)
        with theirs:
            command = [sys.executable, "-m", "chaos.relay", str(theirs.fileno()), seed]
            # A session of its own: Ctrl-C is for us, the relay goes when the storm is over.
            self._relay = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], start_new_session=True)
        try:
            self.url = f"redis://{self.machine(SERVER).address}:{PORT}/0"
        except BaseException:
            self.close()
            raise

    @property
    def server_arguments(self) -> tuple[str, ...]:
        """What the server needs to hear the other machines; nobody else can reach it."""
        return ("--bind", self.machine(SERVER).address, "--port", str(PORT), "--protected-mode", "no")

    def machine(self, name: str) -> Machine:
        """The machine of this name, made if there is none."""
        found = self._machines.get(name)
        if found is None:
            found = self._machines[name] = self._plug_in(len(self._machines))
        return found

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """In this block this thread is on a machine, and so is whatever it starts."""
        with _within(self.machine(name).namespace):
            yield

    def treat(self, names: Iterable[str], cable: Cable) -> None:
        """From now on these machines have such a cable."""
        self._tell(Treat(self._addresses(names), cable))

    def heal(self) -> str:
        """All cables are good again; what became of the packets so far."""
        self.treat(list(self._machines), GOOD)
        return "packets: " + ", ".join(
            f"{count:,} {name}" for name, count in msgspec.structs.asdict(self.tally).items()
        )

    def hang_up(self, names: Iterable[str]) -> None:
        """Reset all connections that these machines have."""
        self._tell(HangUp(self._addresses(names)))

    def close(self) -> None:
        """Everything goes; also whoever is on one of the machines is cut off."""
        self._control.close()
        try:
            self._relay.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._relay.kill()
            self._relay.wait()
        for machine in self._machines.values():
            os.close(machine.namespace)
        self._machines.clear()

    def _addresses(self, names: Iterable[str]) -> list[str]:
        return [self._machines[name].address for name in names if name in self._machines]

    def _plug_in(self, number: int) -> Machine:
        if number >= MACHINES_MAX:
            raise ValueError(f"a network has at most {MACHINES_MAX:,} machines")
        machine = Machine(f"10.77.{number // 250}.{number % 250 + 1}", _new_namespace())
        with _within(machine.namespace):
            device = _make_tun(machine.address)
        self._tell(Plug(machine.address), device)
        os.close(device)
        return machine

    def _tell(self, order: Order, *devices: int) -> None:
        """Give an order and wait until it is carried out."""
        try:
            socket.send_fds(self._control, [msgspec.json.encode(order)], devices)
            answer = self._control.recv(ORDER_BYTES_MAX)
        except ConnectionError:
            answer = b""
        if not answer:
            raise RuntimeError("the relay of the network has ended; see what it printed")
        self.tally = msgspec.json.decode(answer, type=Tally)


def missing() -> str:
    """Why there can be no network here, or nothing."""
    if sys.platform != "linux":
        return "network namespaces are a thing of Linux"
    try:
        namespace = _new_namespace()
        try:
            with _within(namespace):
                os.close(_make_tun("10.77.0.1"))
        finally:
            os.close(namespace)
    except OSError as fault:
        return f"no network namespace with a TUN device can be made ({fault}); run it as root"
    return ""


def _new_namespace() -> int:
    """An open file that stands for a new network namespace."""
    with Path(_HERE).open("rb") as home:
        _check(_LIBC.unshare(_NEW_NETWORK), "unshare")
        try:
            return os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _check(_LIBC.setns(home.fileno(), _NEW_NETWORK), "setns")


@contextmanager
def _within(namespace: int) -> Iterator[None]:
    with Path(_HERE).open("rb") as home:
        _check(_LIBC.setns(namespace, _NEW_NETWORK), "setns")
        try:
            yield
        finally:
            _check(_LIBC.setns(home.fileno(), _NEW_NETWORK), "setns")


def _check(answer: int, call: str) -> None:
    if answer:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def _make_tun(address: str) -> int:
    """A device in the namespace of this thread, with an address in a network of 65,534."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, _MAKE_TUN, struct.pack("16sH22x", b"cable", _TUN_WITHOUT_HEADER))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            for what, value in ((_SET_ADDRESS, address), (_SET_MASK, _MASK)):
                fcntl.ioctl(
                    any_socket, what, struct.pack("16sHxx4s16x", b"cable", socket.AF_INET, socket.inet_aton(value))
                )
            for name in (b"lo", b"cable"):
                fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH22x", name, _UP_AND_RUNNING))
    except OSError:
        os.close(device)
        raise
    return device
