"""The address that others are told: what was set, else one at which the internal port listens."""

import pytest

from notify.backplane.advertised import advertised_url
from notify.redis.client import Redis
from notify.redis.connector import Connector
from notify.redis.stats import RedisStats
from tests.support.valkey import Valkey


@pytest.mark.parametrize(
    ("wanted", "host", "local", "url"),
    [
        ("http://a:1", "0.0.0.0", "10.0.0.7", "http://a:1"),
        (None, "127.0.0.1", "10.0.0.7", "http://127.0.0.1:8081"),
        (None, "10.0.0.8", "10.0.0.7", "http://10.0.0.8:8081"),
        (None, "node.internal", "10.0.0.7", "http://node.internal:8081"),
        (None, "fd00::8", "10.0.0.7", "http://[fd00::8]:8081"),
        (None, "0.0.0.0", "10.0.0.7", "http://10.0.0.7:8081"),
        (None, "::", "fd00::7", "http://[fd00::7]:8081"),
        (None, "", "10.0.0.7", "http://10.0.0.7:8081"),
        (None, "0.0.0.0", None, "http://127.0.0.1:8081"),
    ],
)
def test_the_address_that_others_are_told(wanted: str | None, host: str, local: str | None, url: str):
    assert advertised_url(wanted=wanted, internal_host=host, internal_port=8081, local_host=local) == url


async def test_the_ends_of_the_connection_to_redis_are_known_where_they_have_an_address(valkey: Valkey):
    for url, hosts in ((valkey.tcp_url, ("127.0.0.1", "127.0.0.1")), (valkey.url, None)):
        redis = Redis(Connector(url), stats=RedisStats())
        assert redis.hosts is None
        await redis.start()
        assert redis.hosts == hosts
        await redis.stop()
