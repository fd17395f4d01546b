"""Every setting of a hive, read once at the edge into one frozen value.

The environment wins over `.env` in the current folder, arguments of `Settings.load` win over both. A
name is upper case in the environment (`HIVE_TASK_TIMEOUT`) and lower case in Python; the documents'
upper case (`SETTINGS.NEXUS_SHARED_TOKEN`) works too. An empty value counts as not given.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field, SecretStr, StringConstraints, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.sources import EnvSettingsSource

from venom_core.errors import InvalidSetting
from venom_core.setting_names import judge_names, nearest

TOKEN_CHARACTERS_MIN = 32
LEASE_PER_HEARTBEAT_MIN = 3
FAST_PROFILE = {"hive_heartbeat_interval": 0.3, "hive_lease": 1.2}
_YEAR_S = 31_536_000
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Allowed:
    """What a value may be, in the words an error uses."""

    words: str


def _number(words: str, **limits: Any) -> Any:
    return Field(allow_inf_nan=False, **limits), Allowed(words)


Seconds = Annotated[float, *_number("seconds above 0, at most a year", gt=0, le=_YEAR_S)]
TimeoutSeconds = Annotated[float, *_number("seconds, from 0.001 to 604800 (7 days)", ge=0.001, le=7 * 86_400)]
WholeSeconds = Annotated[int, Field(ge=1, le=10 * _YEAR_S), Allowed("whole seconds, from 1 to ten years")]
Bytes = Annotated[int, Field(ge=1, le=256 * _MIB), Allowed("bytes, from 1 to 268435456 (256 MiB)")]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200, pattern=r"^[^\s{}]+$"),
    Allowed("1 to 200 characters without spaces and braces"),
]


class Settings(BaseSettings):
    """All settings of one process. Make it with `Settings.load`; times are seconds, sizes are bytes."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True,
        hide_input_in_errors=True, validate_default=False,
    )  # fmt: skip

    enable_hive: Annotated[bool, Allowed("true or false")] = True
    """Whether this process may join the hive at all; false makes `connect()` answer False."""

    redis_url: SecretStr | None = None
    """Where the store is: redis://, rediss://, unix://, or redis+sentinel://. Wins over the parts."""
    redis_host: Annotated[
        str,
        StringConstraints(max_length=255, pattern=r"^[^\s/@]+$"),
        Allowed("a host name or address of at most 255 characters; an address with redis:// belongs into REDIS_URL"),
    ] = "localhost"
    """Host of the store when REDIS_URL is not given; at most 255 characters."""
    redis_port: Annotated[
        int,
        Field(ge=1, le=65535),
        Allowed("a port from 1 to 65535, or tcp://host:port as Kubernetes injects it"),
    ] = 6379
    """Port of the store, 1 to 65535. Kubernetes' tcp://10.0.0.1:6379 gives the port, and the host if there is none."""
    redis_db: Annotated[int, Field(ge=0, le=16383), Allowed("a database number from 0 to 16383")] = 0
    """Number of the database, 0 to 16383."""
    redis_username: str | None = None
    """ACL user; the server's default user when not given."""
    redis_password: SecretStr | None = None
    """Password of that user; none when empty."""

    hive_namespace: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$"),
        Allowed("1 to 64 letters, digits, - and _"),
    ] = "venom"
    """Keeps two hives on one server apart: the first part of every key, at most 64 characters."""
    hive_partitions: Annotated[int, Field(ge=1, le=1024), Allowed("a number from 1 to 1024")] = 1
    """Number of partitions of the keys, 1 to 1024; fixed when a hive is created."""
    hive_high_priority_queue: Name = "venom:tasks:high"
    """Name under which levels 6 to 10 are reported, at most 200 characters."""
    hive_background_queue: Name = "venom:tasks:background"
    """Name under which levels 0 to 5 are reported, at most 200 characters."""
    hive_broadcast_channel: Name = "venom:broadcast"
    """Pub/sub channel of orders to all nodes, at most 200 characters."""

    hive_task_timeout: TimeoutSeconds = 300.0
    """Seconds after which one attempt of a task is ended; 0.001 to 604800 (7 days)."""
    hive_max_retries: Annotated[int, Field(ge=0, le=100), Allowed("a number from 0 to 100")] = 3
    """How many times a failed task is tried again, 0 to 100."""
    hive_zombie_task_timeout: Seconds = 600.0
    """Seconds without a sign of life after which a running task is a zombie; above 0, at most a year."""
    hive_result_ttl: WholeSeconds = 3600
    """Whole seconds for which a finished task and its result are remembered, 1 to ten years."""
    hive_dead_letter_ttl: WholeSeconds = 604_800
    """Whole seconds for which a dead letter is kept, 1 to ten years."""
    hive_dead_letters_max: Annotated[int, Field(ge=1, le=10**7), Allowed("a number from 1 to 10000000")] = 10_000
    """Number of dead letters kept; the oldest leaves first; at most 10 million."""
    hive_queued_max: Annotated[int, Field(ge=1, le=10**9), Allowed("a number from 1 to 1000000000")] = 10_000_000
    """Number of tasks that may wait at once, at most a thousand million; more is QueueFull."""
    hive_payload_bytes_max: Bytes = _MIB
    """Bytes of one encoded payload, at most 256 MiB."""
    hive_result_bytes_max: Bytes = _MIB
    """Bytes of one encoded result, at most 256 MiB."""

    hive_profile: Annotated[Literal["default", "fast"], Allowed("default or fast")] = "default"
    """`fast` lowers the heartbeat to 0.3 s and the lease to 1.2 s where they are not given."""
    hive_heartbeat_interval: Annotated[float, *_number("seconds from 0.05 to 3600", ge=0.05, le=3600)] = 1.0
    """Seconds between two signs of life of a node, 0.05 to 3600."""
    hive_lease: Annotated[float, *_number("seconds from 0.15 to 86400", ge=0.15, le=86_400)] = 6.0
    """Seconds for which a node holds its tasks without renewing, at least three heartbeats, at most a day."""
    hive_drain_timeout: Annotated[float, *_number("seconds from 0 to a day", ge=0, le=86_400)] = 30.0
    """Seconds that a stopping node gives its running tasks before it hands them back, 0 to a day."""
    hive_niceness: Annotated[int, Field(ge=0, le=19), Allowed("a number from 0 to 19")] = 0
    """Steps by which a Spore and its tasks give way to other programs of the machine, 0 to 19; 19 beside Redis."""
    hive_log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        Allowed("DEBUG, INFO, WARNING, ERROR or CRITICAL"),
    ] = "INFO"
    """Least level that is logged."""
    hive_log_format: Annotated[Literal["console", "json"], Allowed("console or json")] = "console"
    """How a daemon logs: `console` for people, `json` for one object a line."""

    hive_workspace: Annotated[str, StringConstraints(min_length=1, max_length=4096), Allowed("a path")] = "./workspace"
    """Folder that the built-in skills read and write, and nothing outside of it; made when it is first written to."""
    hive_file_bytes_max: Bytes = _MIB
    """Bytes of one file that a built-in skill reads or writes, at most 256 MiB."""
    hive_fetch_bytes_max: Bytes = 5 * _MIB
    """Bytes of one fetched page, unpacked, at most 256 MiB."""
    hive_fetch_timeout: TimeoutSeconds = 30.0
    """Seconds for fetching one page with all its redirects, at most 604800 (7 days)."""
    hive_fetch_private: Annotated[str | None, Allowed("networks with commas between them")] = None
    """Private, local or reserved networks that may be fetched from all the same, such as `10.0.0.0/8,127.0.0.1`."""
    hive_shell_enabled: Annotated[bool, Allowed("true or false")] = False
    """Whether the built-in skill `shell` runs programs on this node."""
    hive_llm_base_url: Annotated[
        str | None,
        StringConstraints(max_length=2048),
        Allowed("an address such as https://host/v1, without user name, password or query"),
    ] = None
    """OpenAI-compatible service of the agent skill, up to the part before /chat/completions."""
    hive_llm_model: Annotated[str | None, StringConstraints(max_length=200), Allowed("at most 200 characters")] = None
    """Name of the model that the service is asked for, at most 200 characters."""
    hive_llm_api_key: SecretStr | None = None
    """Key for that service, printable ASCII without spaces; none is sent when empty."""
    hive_llm_timeout: TimeoutSeconds = 120.0
    """Seconds for one answer of the model, at most 604800 (7 days)."""
    hive_llm_answer_tokens_max: Annotated[int, Field(ge=1, le=10**6), Allowed("a number from 1 to 1000000")] = 2048
    """Tokens of one answer of the model, 1 to a million."""
    hive_agent_steps_max: Annotated[int, Field(ge=1, le=1000), Allowed("a number from 1 to 1000")] = 10
    """Answers of the model that one item may take, 1 to 1000."""
    hive_agent_tokens_max: Annotated[int, Field(ge=1, le=10**9), Allowed("a number from 1 to 10**9")] = 100_000
    """Tokens, sent and answered, that one item may take, 1 to a thousand million."""
    hive_agent_tools: Annotated[str, StringConstraints(max_length=1000), Allowed("names with commas between them")] = (
        "fetch,extract,summarise,read_file,list_files,write_file,scan_path"
    )
    """Built-in skills that the model may use, with commas between them; `none` for none."""

    hive_api_host: Annotated[str, StringConstraints(min_length=1, max_length=255), Allowed("an address")] = "127.0.0.1"
    """Address of this machine on which a Nexus serves HTTP, where HIVE_API_PORT is given."""
    hive_api_port: Annotated[int, Field(ge=0, le=65535), Allowed("a port from 1 to 65535, or 0 for none")] = 0
    """Port on which a Nexus serves HTTP (signed updates), 1 to 65535; 0 serves nothing."""
    hive_audit_file: Annotated[str, StringConstraints(max_length=4096), Allowed("a path")] = ""
    """File of this node's hash-chained audit, of no other; none is kept when empty. A launcher keeps its own."""
    hive_ota_home: Annotated[str, StringConstraints(min_length=1, max_length=4096), Allowed("a path")] = "./.venom/ota"
    """Folder of whoever releases updates: packages, keys and the signed repository that a Nexus serves."""
    hive_ota_passphrase: SecretStr | None = None
    """Passphrase of the offline keys in that folder; asked for on a terminal when not given."""
    hive_ota_url: Annotated[str, StringConstraints(max_length=2048), Allowed("an address such as https://host")] = ""
    """Address under which Spores reach the Nexus that serves updates; named in the hints that are broadcast."""
    hive_ota_allowed_hosts: Annotated[
        str, StringConstraints(max_length=2048), Allowed("host names with commas between them")
    ] = ""
    """Hosts, besides the one a Spore has joined, that the address of a package in a hint may name."""
    hive_ota_interval: Annotated[float, *_number("seconds from 0 to a year", ge=0, le=_YEAR_S)] = 3600.0
    """Seconds between two updates that one Spore accepts, 0 to a year; going back is always allowed."""
    hive_ota_poll: Annotated[float, *_number("seconds from 1 to a year", ge=1, le=_YEAR_S)] = 3600.0
    """Seconds after which a Spore looks for an update that nobody told it of, 1 to a year, give or take a fifth."""
    hive_ota_probation: Annotated[float, *_number("seconds from 0 to a day", ge=0, le=86_400)] = 30.0
    """Seconds for which a new release must stay healthy before it is kept, 0 to a day."""
    hive_ota_package_bytes_max: Annotated[
        int, Field(ge=1, le=4096 * _MIB), Allowed("bytes, from 1 to 4294967296 (4 GiB)")
    ] = 256 * _MIB
    """Bytes of one package or wheel, and four times as many unpacked; at most 4 GiB."""

    nexus_shared_token: SecretStr | None = None
    """Secret that authenticates envelopes, orders and results, at least 32 characters; off when not given."""
    nexus_shared_token_previous: SecretStr | None = None
    """The token before the present one, still accepted while it is being changed; at least 32 characters."""
    venom_redis_server: str | None = None
    """Path of the server binary for `venom up`; the bundled one when not given."""

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read `.env` and the environment; `overrides` are field names in lower case and win over both.

        Raises:
            InvalidSetting: a value is not acceptable, or a name is unknown; one sentence, never a secret.
        """
        for name in overrides:
            if name not in cls.model_fields:
                raise InvalidSetting(f"There is no setting {name!r}{nearest(name, cls.model_fields)}.")
        try:
            return cls(**overrides)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            raise InvalidSetting(_sentence(detail)) from None
        except UnicodeDecodeError:
            raise InvalidSetting("The file .env is not UTF-8 text; save it as UTF-8.") from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of precedence; every name in the environment and in `.env` is looked at on the way."""
        for source in (env_settings, dotenv_settings):
            assert isinstance(source, EnvSettingsSource)
            judge_names(source.env_vars, settings_cls.model_fields)
        return init_settings, env_settings, dotenv_settings

    def __getattr__(self, name: str) -> Any:
        """The documents' upper case: `SETTINGS.NEXUS_SHARED_TOKEN`."""
        if name.isupper() and name.lower() in type(self).model_fields:
            return getattr(self, name.lower())
        raise AttributeError(f"Settings has no {name!r}{nearest(name, type(self).model_fields)}")

    def store_url(self) -> str:
        """REDIS_URL, or the same put together from the parts; it holds the password, so do not log it."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        password = f":{quote(self.redis_password.get_secret_value(), safe='')}" if self.redis_password else ""
        login = quote(self.redis_username or "", safe="") + password
        host = f"[{self.redis_host}]" if ":" in self.redis_host else self.redis_host
        return f"redis://{login}{'@' if login else ''}{host}:{self.redis_port}/{self.redis_db}"

    def secrets(self) -> tuple[str, ...]:
        """What no line may show: every secret setting in plain text; of REDIS_URL the passwords in it."""
        given = {name: value for name, value in self if isinstance(value, SecretStr)}
        url = given.pop("redis_url", SecretStr("")).get_secret_value()
        return *(value.get_secret_value() for value in given.values()), *_passwords_in(url)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The profile's rhythm, and the host out of Kubernetes' REDIS_PORT, where nothing else says so."""
        filled = {name: value for name, value in given.items() if value is not None}
        if filled.get("hive_profile") == "fast":
            filled = FAST_PROFILE | filled
        port = filled.get("redis_port")
        if isinstance(port, str) and port.startswith("tcp://"):
            address = urlsplit(port)
            filled["redis_port"] = port.rpartition(":")[2]
            filled.setdefault("redis_host", address.hostname or "localhost")
        return filled

    @field_validator("hive_log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("hive_fetch_private")
    @classmethod
    def _are_networks(cls, value: str | None) -> str | None:
        for part in (value or "").split(","):
            try:
                ip_network(part.strip() or "::/0", strict=False)
            except ValueError:
                raise ValueError(f"has {part.strip()!r:.60}, but it takes networks such as 10.0.0.0/8") from None
        return value

    @field_validator("hive_llm_base_url")
    @classmethod
    def _bare_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^\s@?#/][^\s@?#]*", value):
            raise ValueError("must be an address such as https://host/v1, without user name, password or query")
        return value

    @field_validator("hive_llm_api_key")
    @classmethod
    def _fits_into_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[!-~]*", value.get_secret_value()):
            raise ValueError("has characters that a key cannot have: give printable ASCII without spaces")
        return value or None

    @field_validator("redis_url", "redis_password", "nexus_shared_token", "nexus_shared_token_previous")
    @classmethod
    def _empty_is_none(cls, value: SecretStr | None) -> SecretStr | None:
        return value or None

    @field_validator("nexus_shared_token", "nexus_shared_token_previous")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value) < TOKEN_CHARACTERS_MIN:
            raise ValueError(f"has {len(value)} characters, but a token must have at least {TOKEN_CHARACTERS_MIN}")
        return value

    @model_validator(mode="after")
    def _lease_outlives_heartbeats(self) -> Self:
        least = LEASE_PER_HEARTBEAT_MIN * self.hive_heartbeat_interval
        if self.hive_lease < least - 1e-9:
            raise ValueError(
                f"HIVE_LEASE is {self.hive_lease:g} s, but it must be at least three times "
                f"HIVE_HEARTBEAT_INTERVAL ({self.hive_heartbeat_interval:g} s), that is {least:g} s."
            )
        return self


SETTINGS: Settings


def __getattr__(name: str) -> Settings:
    """`SETTINGS` is read from the environment when somebody first asks for it, once a process."""
    if name == "SETTINGS":
        return _settings()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _settings() -> Settings:
    return Settings.load()


def child_environment(**extra: str) -> dict[str, str]:
    """This process's environment for a program it starts, with `extra` in it: where no list of processes shows it."""
    return os.environ | extra


def _passwords_in(url: str) -> set[str]:
    """The passwords of an address and of its options, as they stand in it and as they are meant."""
    main, _, options = url.partition("://")[2].partition("?")
    found = {main.rpartition("@")[0].partition(":")[2]}
    found |= {value for name, _, value in (each.partition("=") for each in options.split("&")) if "password" in name}
    return (found | {unquote(each) for each in found}) - {""}


def _sentence(detail: ErrorDetails) -> str:
    """One sentence for the first thing that pydantic found wrong."""
    own_words = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return own_words
    name = str(detail["loc"][0])
    field = Settings.model_fields[name]
    if detail["type"] == "value_error":
        return f"{name.upper()} {own_words}."
    words = next((mark.words for mark in field.metadata if isinstance(mark, Allowed)), "text")
    secret = "SecretStr" in str(field.annotation)
    value = "not acceptable" if secret else _shorten(repr(detail["input"]))
    return f"{name.upper()} is {value}, but it must be {words}."


def _shorten(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."
