"""The stores of a hive without anything above them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.stores import Stores
from venom_core.config import Settings
from venom_core.infrastructure.keys import Keyspace
from venom_core.infrastructure.redis_link import RedisLink

# A busy machine is no fault of the store: no example is timed.
hypothesis_settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("untimed")


@pytest.fixture
def stores(link: RedisLink, settings: Settings) -> Stores:
    """The stores of a hive with one partition."""
    return Stores(link, Keyspace(settings.hive_namespace, 1))


@pytest.fixture
def split(link: RedisLink, settings: Settings) -> Stores:
    """The stores of a hive with four partitions."""
    return Stores(link, Keyspace(settings.hive_namespace, 4))
