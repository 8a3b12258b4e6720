"""The Redis URLs that operators write are taken; those that cannot be meant are refused."""

import asyncio

import pytest
from marshmallow import ValidationError

from notify.redis.connector import Connector, Refused
from notify.settings.values import advertise_url, masked, redis_url


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:6379/0",
        "rediss://notify:s3cret@redis.example.com:6380/2?ssl_ca_certs=/etc/ca.crt",
        "unix:///run/redis/redis.sock",
        "redis+sentinel://a:26379/mymaster",
        "redis+sentinel://notify:s3cret@a:26379,b:26379,c:26379/0/mymaster",
        "rediss+sentinel://a:26379,b:26379/mymaster?ssl_ca_certs=/etc/ca.crt",
    ],
)
def test_a_url_of_an_operator_is_taken(url: str) -> None:
    assert redis_url(url) == url
    assert "s3cret" not in masked(url)


@pytest.mark.parametrize(
    "url", ["http://localhost", "redis://", "unix://", "redis://host:port", "redis://a:1,b:2/0"]
)
def test_a_url_that_means_nothing_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        redis_url(url)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://:s3cret@a:1/x", "/x"),
        ("redis://:s3cret@a:1/-3", "/-3"),
        ("redis://:s3cret@a:1/0/1", "/0/1"),
        ("redis://:s3cret@a:1/0?db=x", "'db'"),
        ("redis://:s3cret@a:1/0?foo=1", "option foo"),
        ("unix:///run/redis.sock?foo=1", "option foo"),
        ("redis://:s3cret@a:1/0?ssl_ca_certs=/etc/ca.crt", "option ssl_ca_certs"),
        ("rediss://:s3cret@a:1/0?ssl_cert_reqs=foo", "foo"),
        ("redis+sentinel://:s3cret@a:1/x/mymaster", "/<database>/<service>"),
        ("redis+sentinel://:s3cret@a:1/mymaster?foo=1", "foo"),
    ],
)
def test_what_redis_would_not_be_asked_for_is_named(url: str, named: str) -> None:
    with pytest.raises(ValidationError) as told:
        redis_url(url)
    assert named in str(told.value)
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
@pytest.mark.parametrize("url", ["rediss://127.0.0.1:1/0", "rediss+sentinel://127.0.0.1:1/mymaster"])
def test_a_file_that_is_not_there_is_no_redis_that_is_away(url: str, option: str) -> None:
    """Trying again does not help: a node would wait for Redis for ever."""
    with pytest.raises(Refused, match=f"{option} in NOTIFY_REDIS_URL names cannot be read"):
        asyncio.run(Connector(f"{url}?{option}=/no/such/file").open(asyncio.Protocol()))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://10.0.0.7:8081", "http://10.0.0.7:8081"),
        ("http://node-1.internal:8081/", "http://node-1.internal:8081"),
        ("http://[fd00:0::7]:8081", "http://[fd00::7]:8081"),
        ("http://[10.0.0.7]:8081", "http://10.0.0.7:8081"),
    ],
)
def test_an_address_for_other_nodes_is_taken(text: str, url: str) -> None:
    assert advertise_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "https://a:1",
        "http://a",
        "http://a:0",
        "http://a:65536",
        "http://a:1/path",
        "http://a:1?q",
        "http://user@a:1",
        "http://fd00::7:8081",
        "http://[fd00::7:8081",
        "http://[1.2.3]:8081",
        "http://:8081",
        "http://a:1\n",
        "a:1",
    ],
)
def test_an_address_that_other_nodes_cannot_use_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="http://<host>:<port>"):
        advertise_url(text)
