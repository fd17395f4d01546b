"""Where the store is: one address out of every form that REDIS_URL may take.

    redis://[user:password@]host[:port][/db]              one server
    rediss://…[?ssl_ca_certs=path&ssl_certfile=…]         the same over TLS
    unix://[user:password@]/path/to/socket[?db=0]         a socket on this machine
    redis+sentinel://[…@]host[:port],host…/service[/db]   the master that Sentinel names (rediss+sentinel: over TLS)
    redis+cluster://host[:port],host…                     recognised; the engine does not run on it yet

No error repeats any part of an address: a password that was not percent-encoded may stand anywhere in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote

from venom_core.errors import InvalidSetting

REDIS_PORT, SENTINEL_PORT = 6379, 26379
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"})
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
_HOST = re.compile(r"^(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<name>[^\s\[\]:/?#@]+))(?::(?P<port>\d{1,5}))?$")


@dataclass(frozen=True, slots=True)
class Tls:
    """How a TLS connection is verified; paths are PEM files."""

    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    cert_reqs: str = "required"
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One store: a server, a socket, or a service behind Sentinels. Its repr holds no password."""

    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls: Tls | None = None

    @property
    def place(self) -> str:
        """What messages call it: host:port, the socket, or the service and its Sentinels; never the password."""
        if self.path:
            return f"Redis at {self.path}"
        places = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"Redis service {self.service} of Sentinel {places}" if self.service else f"Redis at {places}"


def parse_address(url: str) -> RedisAddress:
    """Take an address apart.

    Raises:
        InvalidSetting: it is none of the forms above.
    """
    try:
        parts = _split(url.strip())
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _refused("cannot be read; percent-encode special characters of the password") from None
    if parts.fragment or "#" in url or "@" in parts.path or "@" in parts.query:
        raise _refused(
            "holds #, @ or another special character in the wrong place; percent-encode those of the password"
        )
    match parts.scheme:
        case "redis" | "rediss":
            return _server(parts, options)
        case "unix":
            return _socket(parts, options)
        case "redis+sentinel" | "rediss+sentinel":
            return _sentinel(parts, options)
        case "redis+cluster" | "rediss+cluster":
            raise InvalidSetting(
                "The engine does not run on Redis Cluster yet; use redis:// or redis+sentinel:// in REDIS_URL."
            )
        case _:
            raise _refused("must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")


def _split(url: str) -> SplitResult:
    """The parts of a URL. Python 3.11.2's own urlsplit refuses several hosts of which one stands in brackets."""
    scheme, _, rest = url.partition("://")
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    netloc, slash, path = rest.partition("/")
    return SplitResult(scheme.lower(), netloc, slash + path, query, fragment)


def _server(parts: SplitResult, options: dict[str, str]) -> RedisAddress:
    tls = _tls(options) if parts.scheme == "rediss" else None
    in_query = options.pop("db", "")
    _nothing_left(options)
    username, password, place = _login(parts.netloc)
    hosts = _hosts(place, REDIS_PORT)
    if len(hosts) != 1:
        raise _refused("names several hosts; that needs redis+sentinel://")
    return RedisAddress(
        hosts=hosts, db=_db(parts.path.strip("/") or in_query), username=username, password=password, tls=tls
    )


def _socket(parts: SplitResult, options: dict[str, str]) -> RedisAddress:
    db = _db(options.pop("db", ""))
    _nothing_left(options)
    username, password, place = _login(parts.netloc)
    if place or len(parts.path) < 2:
        raise _refused("must hold the absolute path of a socket after unix://, as in unix:///run/redis.sock")
    return RedisAddress(path=unquote(parts.path), db=db, username=username, password=password)


def _sentinel(parts: SplitResult, options: dict[str, str]) -> RedisAddress:
    tls = _tls(options) if parts.scheme == "rediss+sentinel" else None
    sentinel = {name: options.pop(name) for name in _SENTINEL_OPTIONS & options.keys()}
    _nothing_left(options)
    username, password, place = _login(parts.netloc)
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise _refused("must name the service after the Sentinels, as in redis+sentinel://host:26379/mymaster")
    return RedisAddress(
        hosts=_hosts(place, SENTINEL_PORT),
        service=unquote(service),
        db=_db(db),
        username=username,
        password=password,
        sentinel_username=sentinel.get("sentinel_username"),
        sentinel_password=sentinel.get("sentinel_password"),
        tls=tls,
    )


def _login(netloc: str) -> tuple[str | None, str | None, str]:
    """User, password and the rest of `user:password@rest`."""
    login, _, rest = netloc.rpartition("@")
    username, _, password = login.partition(":")
    return unquote(username) or None, unquote(password) or None, rest


def _hosts(places: str, default_port: int) -> tuple[tuple[str, int], ...]:
    found = []
    for place in places.split(","):
        match = _HOST.match(place)
        port = int(match["port"] or default_port) if match else 0
        if not match or not 1 <= port <= 65535:
            raise _refused(
                "must hold host:port with a port from 1 to 65535; percent-encode special characters of the password"
            )
        found.append((match["six"] or match["name"], port))
    return tuple(found)


def _db(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and int(text) <= 16383):
        raise _refused("has a database that is not a number from 0 to 16383")
    return int(text)


def _tls(options: dict[str, str]) -> Tls:
    """Takes the TLS options out; hostnames are checked unless certificates are not."""
    given = {name.removeprefix("ssl_"): options.pop(name) for name in _TLS_OPTIONS & options.keys()}
    reqs = given.get("cert_reqs", "required")
    if reqs not in {"required", "optional", "none"}:
        raise _refused("has an ssl_cert_reqs that is not required, optional or none")
    check = given.get("check_hostname", "false" if reqs == "none" else "true").lower()
    if check not in _TRUE | _FALSE:
        raise _refused("has an ssl_check_hostname that is not true or false")
    return Tls(given.get("ca_certs"), given.get("certfile"), given.get("keyfile"), reqs, check in _TRUE)


def _nothing_left(options: dict[str, str]) -> None:
    if options:
        known = ", ".join(sorted({"db"} | _TLS_OPTIONS | _SENTINEL_OPTIONS))
        raise _refused(f"has an option that its form does not know; there are {known}")


def _refused(what: str) -> InvalidSetting:
    return InvalidSetting(f"REDIS_URL (or --redis-url) {what}.")
