"""The ten points of the documents' security checklist: passed, failed, or not to be known from here.

Nothing is guessed: what only a person or another machine can tell is said to be so, with how to find out.
"""

from __future__ import annotations

import asyncio
import importlib
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path

from venom_core.commands.findings import Finding
from venom_core.config import Settings
from venom_core.domain.node_order import NODE_ORDERS
from venom_core.errors import VenomError
from venom_core.infrastructure.audit import audit_lines
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.redis_address import RedisAddress
from venom_core.infrastructure.server_health import ServerHealth, lets_strangers_in

PASSWORD_CHARACTERS_MIN = 32
TOKEN_VARIETY_MIN = 10
REFUSALS = ("refused_envelope", "refused_order", "replayed_task")
_AUDIT = "the hive's audit in the store"
EVERYWHERE = frozenset({"*", "-::*", "0.0.0.0", "::"})  # noqa: S104 - looked for, not bound


async def checklist(broker: MessageBroker, settings: Settings, health: ServerHealth) -> list[Finding]:
    """Every point, in the order of the document."""
    address = broker.hive.link.address
    open_to_all = await asyncio.to_thread(lets_strangers_in, address)
    lines = await audit_lines(broker.hive)
    refusals = sum(line.what in REFUSALS for line in lines)
    return [
        password(address, open_to_all),
        binding(address, health),
        token(settings),
        await asyncio.to_thread(update_source, settings),
        update_hosts(settings),
        monitoring(refusals),
        backup(health),
        closed_network(address, health),
        logs(settings),
        updates(broker.hive.link.server.name, broker.hive.link.server.version),
    ]


def password(address: RedisAddress, open_to_all: bool | None) -> Finding:
    """1. Redis has a strong password."""
    check = "1. Redis has a strong password"
    fix = f"set requirepass to {PASSWORD_CHARACTERS_MIN} random characters or more, and REDIS_PASSWORD everywhere"
    if address.path and not address.password:
        return Finding(check, "pass", "it is reached by a socket of this machine, whose file rights keep others out")
    if open_to_all:
        return Finding(check, "fail", "the server answers without a password", fix)
    if not address.password:
        return Finding(check, "cannot know", "no password is used, and the server did not say why it answers", fix)
    if len(address.password) < PASSWORD_CHARACTERS_MIN:
        found = f"the password has {len(address.password)} characters, fewer than {PASSWORD_CHARACTERS_MIN}"
        return Finding(check, "fail", found, fix)
    if open_to_all is None:
        return Finding(check, "cannot know", "whether it also answers without the password could not be tried", fix)
    return Finding(check, "pass", f"{len(address.password)} characters, and nobody gets in without it")


def binding(address: RedisAddress, health: ServerHealth) -> Finding:
    """2. Redis is not publicly accessible."""
    check = "2. Redis is not publicly accessible"
    fix = "bind it to a private address, and let a firewall admit only your machines to its port"
    if address.path and "bind" not in health.config:
        return Finding(
            check, "cannot know", "it is reached by a socket; whether it listens elsewhere it does not say", fix
        )
    if any(_is_public(host) for host, _ in address.hosts):
        return Finding(check, "fail", f"its address {address.place} is a public one", fix)
    if health.config.get("port") == "0" and health.config.get("tls-port", "0") == "0":
        return Finding(check, "pass", "it listens on no port, only on a socket of its machine")
    bound = health.config.get("bind")
    if bound is None:
        return Finding(check, "cannot know", "this user may not ask what it listens on", fix)
    words = bound.split()
    if any(_is_public(word.lstrip("-")) for word in words):
        return Finding(check, "fail", f"it listens on a public address: {bound}", fix)
    if not words or EVERYWHERE & set(words):
        found = "it listens on every address of its machine; whether a firewall or a container's network stands before"
        return Finding(check, "cannot know", f"{found} it is not seen from here", fix)
    return Finding(check, "pass", f"it listens on {bound} only")


def _is_public(text: str) -> bool:
    try:
        return ip_address(text).is_global
    except ValueError:
        return False  # a name; whom it stands for depends on who asks


def token(settings: Settings) -> Finding:
    """3. NEXUS_SHARED_TOKEN is unique and long."""
    check = "3. NEXUS_SHARED_TOKEN is unique and long"
    fix = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))', the same on every machine"
    if settings.nexus_shared_token is None:
        return Finding(check, "fail", "there is none: whoever reaches the server can give work and orders", fix)
    text = settings.nexus_shared_token.get_secret_value()
    others = [secret for secret in settings.secrets() if secret == text]
    if len(others) > 1 or text in settings.store_url():
        return Finding(check, "fail", "it is the same as another secret", fix)
    if len(set(text)) < TOKEN_VARIETY_MIN:
        return Finding(check, "fail", "it is long, but made of few characters again and again", fix)
    return Finding(check, "pass", f"{len(text)} characters, used for nothing else here")


def update_source(settings: Settings) -> Finding:
    """4. Updates have source authentication."""
    check = "4. OTA updates have source authentication"
    if settings.nexus_shared_token is None:
        found = f"packages are taken signed alone, but the orders that Spores obey ({', '.join(NODE_ORDERS)}) are not"
        return Finding(check, "fail", found, "set NEXUS_SHARED_TOKEN: then every order must be signed with it")
    fault = _fault_of_repository(settings)
    if fault:
        return Finding(check, "fail", f"the repository of updates here would be refused: {fault}", "venom ota verify")
    found = "a Spore takes what the keys of the repository it joined have signed, and nothing else; orders are signed"
    return Finding(check, "pass", found)


def _fault_of_repository(settings: Settings) -> str:
    """Why a Spore would refuse the repository that is released from here; empty if it would not, or there is none."""
    if not (Path(settings.hive_ota_home) / "repository").is_dir():
        return ""
    try:
        kept = importlib.import_module("venom_core.ota.repository").Repository(Path(settings.hive_ota_home))
        importlib.import_module("venom_core.ota.checking").check_repository(kept.files, kept.targets_folder)
    except VenomError as fault:
        return str(fault)
    return ""


def update_hosts(settings: Settings) -> Finding:
    """5. Package addresses are whitelisted."""
    check = "5. Package URLs are whitelisted"
    hosts = [host.strip() for host in settings.hive_ota_allowed_hosts.split(",") if host.strip()]
    if "*" in hosts:
        fix = "name the hosts: HIVE_OTA_ALLOWED_HOSTS=nexus.internal"
        return Finding(check, "fail", "HIVE_OTA_ALLOWED_HOSTS has a *, which names no host", fix)
    named = f"; a hint may also name {', '.join(hosts)}" if hosts else ""
    return Finding(check, "pass", f"a package is loaded from the address that a Spore has joined and no other{named}")


def monitoring(refusals: int) -> Finding:
    """6. Monitoring and alerts for suspicious activity."""
    check = "6. Monitoring and alerts for suspicious activity"
    if refusals:
        found = f"{_AUDIT} holds {refusals:,} refusals of forged, altered or old messages"
        return Finding(
            check, "fail", found, "find out who sends them: venom task logs ID; then change password and token"
        )
    fix = "have somebody told when `venom doctor` ends with 1, and when the Spores' logs say `refused`"
    found = f"{_AUDIT} holds no refusal of a message; whether anybody would be told is not seen"
    own = "venom audit show FILE there (audit.jsonl in its launcher's home)"
    return Finding(check, "cannot know", found, f"{fix}; a node's own audit has what it refused of updates: {own}")


def backup(health: ServerHealth) -> Finding:
    """7. Backup and disaster recovery plan."""
    check = "7. Backup and disaster recovery plan"
    if health.info.get("aof_enabled") == "0" and not health.config.get("save", "?"):
        return Finding(
            check, "fail", "the server writes nothing to disk: there is nothing to copy", "set appendonly yes"
        )
    fix = "copy the server's folder to another machine regularly, and try once to start a hive from the copy"
    where = f" ({health.config['dir']})" if health.config.get("dir") else ""
    return Finding(check, "cannot know", f"whether copies of the server's files{where} exist elsewhere", fix)


def closed_network(address: RedisAddress, health: ServerHealth) -> Finding:
    """8. All nodes are in a closed network."""
    check = "8. All nodes are in a closed network"
    fix = "put the machines into one private network or VPN; over any other use rediss:// (TLS)"
    if health.clients is None:
        return Finding(check, "cannot know", "this user may not ask from where the server is used", fix)
    public = [client for client in health.clients if _is_public(client)]
    if public and address.tls is None:
        found = f"it is used from public addresses, unencrypted: {', '.join(public[:5])}"
        return Finding(check, "fail", found, fix)
    if public:
        return Finding(check, "cannot know", f"it is used over TLS from public addresses: {', '.join(public[:5])}", fix)
    return Finding(check, "pass", "it is used from private addresses and its own machine only, as far as is seen now")


def logs(settings: Settings) -> Finding:
    """9. Logs are collected and analysed."""
    check = "9. Logs are collected and analysed"
    fix = "set HIVE_LOG_FORMAT=json and send the output of every Spore and Nexus to one place"
    if settings.hive_log_format == "json":
        return Finding(check, "cannot know", "logs are written as JSON; whether anybody collects them is not seen", fix)
    return Finding(check, "cannot know", "logs are written for people; whether anybody collects them is not seen", fix)


def updates(server: str, server_version: str) -> Finding:
    """10. Regular security updates for Redis and Python packages."""
    check = "10. Regular security updates"
    installed = [f"{name} {_version(name)}" for name in ("venom-hive", "redis", "cryptography", "pydantic")]
    found = f"installed here: {', '.join(installed)}; server: {server} {server_version or 'unknown'}"
    return Finding(
        check, "cannot know", found, "run pip-audit in this environment, and your system's updates for the server"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of a source tree"
