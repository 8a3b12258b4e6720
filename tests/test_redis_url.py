"""The Redis URLs that operators write are taken; those that cannot be meant are refused."""

import pytest
from marshmallow import ValidationError

from notify.settings_values import masked, redis_url


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
