from __future__ import annotations

import traceback

import pytest

from venom_core.errors import InvalidSetting
from venom_core.infrastructure.redis_address import RedisAddress, Tls, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", RedisAddress(hosts=(("localhost", 6379),))),
        ("redis://h:1/3", RedisAddress(hosts=(("h", 1),), db=3)),
        ("redis://h?db=4", RedisAddress(hosts=(("h", 6379),), db=4)),
        ("redis://:p%40%23@h", RedisAddress(hosts=(("h", 6379),), password="p@#")),
        ("redis://app:p@[::1]:7", RedisAddress(hosts=(("::1", 7),), username="app", password="p")),
        ("rediss://h", RedisAddress(hosts=(("h", 6379),), tls=Tls())),
        (
            "rediss://h?ssl_ca_certs=ca.pem&ssl_certfile=c.pem&ssl_keyfile=k.pem&ssl_check_hostname=no",
            RedisAddress(hosts=(("h", 6379),), tls=Tls("ca.pem", "c.pem", "k.pem", check_hostname=False)),
        ),
        (
            "rediss://h?ssl_cert_reqs=none",
            RedisAddress(hosts=(("h", 6379),), tls=Tls(cert_reqs="none", check_hostname=False)),
        ),
        ("unix:///run/r%20s.sock?db=2", RedisAddress(path="/run/r s.sock", db=2)),
        ("unix://app:p@/run/r.sock", RedisAddress(path="/run/r.sock", username="app", password="p")),
        (
            "redis+sentinel://a,b:1,[::1]:2/my%2Fmaster/5",
            RedisAddress(hosts=(("a", 26379), ("b", 1), ("::1", 2)), service="my/master", db=5),
        ),
        (
            "rediss+sentinel://u:p@a/m?sentinel_username=su&sentinel_password=sp&ssl_ca_certs=ca.pem",
            RedisAddress(
                hosts=(("a", 26379),),
                service="m",
                username="u",
                password="p",
                sentinel_username="su",
                sentinel_password="sp",
                tls=Tls("ca.pem"),
            ),
        ),
    ],
)
def test_every_documented_form_is_understood(url: str, address: RedisAddress) -> None:
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "must begin with redis://"),
        ("localhost:6379", "must begin with redis://"),
        ("http://h", "must begin with redis://"),
        ("redis://", "must hold host:port"),
        ("redis://h:0", "a port from 1 to 65535"),
        ("redis://h:65536", "a port from 1 to 65535"),
        ("redis://h:http", "a port from 1 to 65535"),
        ("redis://a:1,b:2", "names several hosts"),
        ("redis://h/x", "a number from 0 to 16383"),
        ("redis://h/99999", "a number from 0 to 16383"),
        ("redis://h?protocol=3", "an option that its form does not know"),
        ("redis://h?ssl_ca_certs=x", "an option that its form does not know"),
        ("redis://h?sentinel_password=x", "an option that its form does not know"),
        ("redis://h?&&=", "cannot be read"),
        ("redis://[::1", "must hold host:port"),
        ("rediss://h?ssl_cert_reqs=maybe", "an ssl_cert_reqs that is not"),
        ("rediss://h?ssl_check_hostname=maybe", "an ssl_check_hostname that is not"),
        ("unix://", "the absolute path of a socket"),
        ("unix://run/r.sock", "the absolute path of a socket"),
        ("redis+sentinel://a:1", "must name the service"),
        ("redis+sentinel://a:x/m", "must hold host:port"),
        ("redis+cluster://a:1,b:2", "does not run on Redis Cluster yet"),
        ("rediss+cluster://a:1,b:2", "does not run on Redis Cluster yet"),
    ],
)
def test_anything_else_is_one_sentence(url: str, said: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        parse_address(url)
    assert said in str(caught.value)
    assert "REDIS_URL" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("secret", ["hun/ter", "hun#ter", "hun?ter", "hun:ter", "hun@ter/x", "hun ter", "hun[ter"])
@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "redis+sentinel", "redis+cluster", "http"])
def test_no_error_shows_a_password_that_was_not_encoded(scheme: str, secret: str) -> None:
    try:
        address = parse_address(f"{scheme}://user:{secret}@host:1/m")
    except InvalidSetting as fault:
        shown = "".join(traceback.format_exception_only(fault)) + str(
            None if fault.__suppress_context__ else fault.__context__
        )
    else:
        shown = repr(address) + address.place
    assert "hun" not in shown


def test_a_place_is_named_without_its_login() -> None:
    assert parse_address("redis://u:p@h:1").place == "Redis at h:1"
    assert parse_address("redis://u:p@[::1]:1").place == "Redis at [::1]:1"
    assert parse_address("unix://u:p@/r.sock").place == "Redis at /r.sock"
    assert parse_address("redis+sentinel://u:p@a,b:1/m").place == "Redis service m of Sentinel a:26379,b:1"
