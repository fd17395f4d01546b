from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hives import PATIENCE_S, altered
from venom_core.config import Settings
from venom_core.domain.order import read_order
from venom_core.errors import InvalidTask, SecurityError
from venom_core.infrastructure.message_broker import MessageBroker

TOKEN = "a token that has thirty-two letters"
OTHER = "another token with enough of letters"


@pytest.fixture
def own(settings: Settings) -> Settings:
    """The hive with a channel of its own, because channels do not follow the namespace."""
    return altered(settings, hive_broadcast_channel=f"{settings.hive_namespace}:broadcast")


async def spoken(speaker: MessageBroker, listener: MessageBroker, command: str, data: dict[str, Any]) -> bytes:
    """The message that a subscriber gets for an order."""
    pubsub = await listener.subscribe_broadcast()
    assert await speaker.broadcast_control(command, data) >= 1
    message = None
    while message is None:
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_S)
    assert isinstance(message["data"], bytes)
    return message["data"]


async def test_an_order_is_json_with_exactly_three_fields(own: Settings) -> None:
    async with MessageBroker(own) as speaker, MessageBroker(own) as listener:
        message = await spoken(speaker, listener, "UPDATE_SYSTEM", {"package_url": "ü"})
        assert read_order(listener.hive.seal, message).data == {"package_url": "ü"}
    fields = json.loads(message)
    assert set(fields) == {"command", "data", "timestamp"}
    assert (fields["command"], fields["data"]) == ("UPDATE_SYSTEM", {"package_url": "ü"})
    assert fields["timestamp"].endswith("+00:00")


async def test_an_order_nobody_hears_is_no_error(own: Settings) -> None:
    async with MessageBroker(own) as speaker:
        assert await speaker.broadcast_control("STOP") == 0


async def test_an_order_is_signed_when_a_token_is_set(own: Settings) -> None:
    signed = altered(own, nexus_shared_token=TOKEN)
    async with MessageBroker(signed) as speaker, MessageBroker(signed) as listener:
        message = await spoken(speaker, listener, "STOP", {"now": True})
        assert read_order(listener.hive.seal, message).data == {"now": True}
        with pytest.raises(SecurityError, match="altered"):
            read_order(listener.hive.seal, message.replace(b"true", b"null"))


async def test_an_unsigned_or_foreign_order_is_refused_while_a_token_is_set(own: Settings) -> None:
    signed, foreign = altered(own, nexus_shared_token=TOKEN), altered(own, nexus_shared_token=OTHER)
    async with MessageBroker(own) as plain, MessageBroker(foreign) as other, MessageBroker(signed) as listener:
        for speaker in (plain, other):
            message = await spoken(speaker, listener, "STOP", {})
            with pytest.raises(SecurityError):
                read_order(listener.hive.seal, message)


@pytest.mark.parametrize("command", ["", "stop", "STOP!", "S" * 65, 5])
async def test_a_malformed_command_is_refused(broker: MessageBroker, command: Any) -> None:
    with pytest.raises(InvalidTask, match="capital letters"):
        await broker.broadcast_control(command)


async def test_data_that_json_cannot_carry_is_refused(broker: MessageBroker) -> None:
    with pytest.raises(InvalidTask, match="bytes"):
        await broker.broadcast_control("STOP", {"key": b"raw"})
