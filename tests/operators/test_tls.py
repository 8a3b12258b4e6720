"""Redis over TLS with a private CA. Debian's server: the one from PyPI is built without TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.operators.certificates import Authority
from tests.operators.core import core, nodes
from tests.operators.servers import Server
from tests.support import debian

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def server(
    directory: Path, authority: Authority, *, address: str = "127.0.0.1", clients: str = "no"
) -> Server:
    certificate, key = authority.sign("server", address=address)
    own_certificate, own_key = authority.sign("admin", address=None)
    return Server(
        directory,
        "appendonly yes",
        f"tls-cert-file {certificate}",
        f"tls-key-file {key}",
        f"tls-ca-cert-file {authority.path}",
        f"tls-auth-clients {clients}",
        program=debian.program("redis-server", "redis-server"),
        plain=False,
        ssl=True,
        ssl_cert_reqs=ssl.CERT_NONE,
        ssl_certfile=str(own_certificate),
        ssl_keyfile=str(own_key),
    )


async def test_the_core_works_over_tls_with_a_private_ca(authority: Authority, tmp_path: Path) -> None:
    with server(tmp_path / "redis", authority) as redis:
        url = f"rediss://127.0.0.1:{redis.port}/0?ssl_ca_certs={authority.path}"
        async with nodes(url, tmp_path) as cluster:
            await core(cluster)


async def test_the_core_works_where_the_server_asks_for_a_clients_certificate(
    authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.sign("notify", address=None)
    with server(tmp_path / "redis", authority, clients="yes") as redis:
        url = (
            f"rediss://127.0.0.1:{redis.port}/0?ssl_ca_certs={authority.path}"
            f"&ssl_certfile={certificate}&ssl_keyfile={key}"
        )
        async with nodes(url, tmp_path) as cluster:
            await core(cluster)


@pytest.mark.parametrize("wrong", ["authority", "address", "none"])
async def test_a_server_that_cannot_prove_itself_is_not_used(
    wrong: str, authority: Authority, tmp_path: Path
) -> None:
    address = "127.0.0.2" if wrong == "address" else "127.0.0.1"
    with server(tmp_path / "redis", authority, address=address) as redis:
        trusted = Authority(tmp_path / "other") if wrong == "authority" else authority
        query = "" if wrong == "none" else f"?ssl_ca_certs={trusted.path}"
        with pytest.raises(AssertionError, match="ended with 1") as refused:
            async with nodes(f"rediss://127.0.0.1:{redis.port}/0{query}", tmp_path):
                pass
    # Of the node that ended first: the other may not have got so far.
    assert "certificate verify failed" in str(refused.value)
