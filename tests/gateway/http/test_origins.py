"""Which pages may connect, and where clients really are."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.gateway.http.origins import Origin, OriginPolicy, TrustedNetworks, client_address, reached_as

PROXIES = TrustedNetworks(ip_network(text) for text in ("10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"))


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://app.example.com", ("https", "app.example.com", 443)),
        ("HTTPS://App.Example.COM:443/", ("https", "app.example.com", 443)),
        ("http://localhost:5173", ("http", "localhost", 5173)),
        ("http://example.com:80", ("http", "example.com", 80)),
        ("https://example.com.", ("https", "example.com", 443)),
        ("https://[2001:DB8::1]:8443", ("https", "2001:db8::1", 8443)),
        ("https://straße.de", ("https", "xn--strae-oqa.de", 443)),
        ("https://BÜCHER。example", ("https", "xn--bcher-kva.example", 443)),
        ("https://[2001:db8:0:0::1]", ("https", "2001:db8::1", 443)),
        ("https://my_host.example", ("https", "my_host.example", 443)),
        ("https://bücher.example", ("https", "xn--bcher-kva.example", 443)),
        ("capacitor://localhost", ("capacitor", "localhost", 0)),
        ("chrome-extension://abcdef", ("chrome-extension", "abcdef", 0)),
    ],
)
def test_an_origin_has_one_form(text: str, origin: tuple[str, str, int]):
    assert Origin.parse(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app.example.com",
        "//app.example.com",
        "file://",
        "https://",
        "https://example.com/path",
        "https://example.com?q",
        "https://example.com#f",
        "https://user@example.com",
        "https://example.com:port",
        "https://example.com:99999",
        "https://[::1",
        " https://example.com",
        "https://" + "ü" * 300,
        "https://*",
        "https://*.",
        "https://a.*.example.com",
        "https://a*.example.com",
        "https://*.*.example.com",
        "https://*.10.0.0.1",
        "https://*.example.com/path",
        "chrome-extension://*.abc",
        "*.example.com",
        "https://exa mple.com",
        "https://example.com%2f",
        "https://10.0.0.256",
        "https://a..example.com",
        "https://\u2028.example",
    ],
)
def test_what_is_not_an_origin(text: str):
    with pytest.raises(ValueError, match=r"\w"):
        Origin.parse(text)
    with pytest.raises(ValueError, match=r"\w"):
        OriginPolicy([text])
    assert not OriginPolicy().allowed(text, "example.com", "https")


def test_by_default_the_own_origin_only():
    policy = OriginPolicy()
    assert policy.allowed("https://example.com", "example.com", "https")
    assert policy.allowed("https://EXAMPLE.com:443", "example.com", "https")
    assert policy.allowed("http://example.com:8080", "Example.com:8080", "http")
    for origin, host, scheme in [
        ("https://evil.example", "example.com", "https"),
        ("https://example.com.evil.example", "example.com", "https"),
        ("https://sub.example.com", "example.com", "https"),
        ("https://example.com:8443", "example.com", "https"),
        ("http://example.com", "example.com", "https"),
        ("null", "example.com", "https"),
        ("https://example.com", None, "https"),
        ("http://none", None, "http"),
        ("https://example.com", "evil@example.com", "https"),
        ("https://example.com", "example.com/x", "https"),
        ("https://example.com", "example.com, evil.example", "https"),
        ("https://example.com", "", "https"),
        ("https://example.com", "example.com", "gopher"),
        ("capacitor://example.com", "example.com", "https"),
    ]:
        assert not policy.allowed(origin, host, scheme), (origin, host, scheme)


def test_a_proxy_that_ends_tls_and_keeps_the_host_needs_no_setting():
    policy = OriginPolicy()
    assert policy.allowed("https://example.com", "example.com", "http")
    assert policy.allowed("https://example.com:8443", "example.com:8443", "http")
    assert not policy.allowed("https://example.com:8443", "example.com", "http")
    assert not policy.allowed("http://example.com", "example.com", "https")
    assert not policy.allowed("https://evil.example", "example.com", "http")


def test_listed_origins_stand_instead_of_the_own():
    policy = OriginPolicy(["https://App.example.com/", "http://localhost:5173"])
    assert policy.allowed("https://app.example.com", "api.example.com", "http")
    assert policy.allowed("http://localhost:5173", "api.example.com", "http")
    assert not policy.allowed("http://app.example.com", "api.example.com", "http")
    assert not policy.allowed("https://api.example.com", "api.example.com", "https")
    assert not policy.allowed("http://localhost", "api.example.com", "http")
    assert not policy.allowed("null", "api.example.com", "http")


def test_a_pattern_allows_subdomains_and_nothing_else():
    policy = OriginPolicy(["https://*.example.com", "http://*.localhost:5173", "https://*.straße.de"])
    for origin in (
        "https://app.example.com",
        "https://a.b.Example.com",
        "http://demo.localhost:5173",
        "https://shop.xn--strae-oqa.de",
    ):
        assert policy.allowed(origin, "api.example.com", "https"), origin
    for origin in (
        "https://example.com",
        "https://.example.com",
        "https://evilexample.com",
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://*.example.com",
        "http://demo.localhost",
        "https://shop.strasse.de",
    ):
        assert not policy.allowed(origin, "api.example.com", "https"), origin


def test_any_port_is_of_this_machine_only():
    policy = OriginPolicy(["http://localhost:*", "https://127.0.0.1:*", "http://[::1]:*"])
    for origin in (
        "http://localhost",
        "http://localhost:5173",
        "https://127.0.0.1:3000",
        "http://[::1]:5173",
    ):
        assert policy.allowed(origin, "api.example.com", "https"), origin
    for origin in (
        "https://localhost:5173",
        "http://127.0.0.1:3000",
        "http://app.localhost:5173",
        "http://localhost.evil.example:5173",
        "http://evil.example:5173",
        "null",
    ):
        assert not policy.allowed(origin, "api.example.com", "https"), origin
    for entry in (
        "https://example.com:*",
        "http://10.0.0.1:*",
        "http://*.localhost:*",
        "localhost:*",
        "http://:*",
    ):
        with pytest.raises(ValueError):
            OriginPolicy([entry])


def test_a_star_allows_every_origin():
    assert OriginPolicy(["*"]).allowed("https://evil.example", "example.com", "https")
    assert OriginPolicy(["*"]).allowed("null", "example.com", "https")


def test_null_is_allowed_when_it_is_listed():
    policy = OriginPolicy(["null"])
    assert policy.allowed("null", "example.com", "https")
    assert not policy.allowed("https://example.com", "example.com", "https")


@pytest.mark.parametrize("listed", [[], ["https://app.example.com"], ["*"]])
def test_programs_send_no_origin(listed: list[str]):
    assert OriginPolicy(listed).allowed(None, "example.com", "https")


@given(origin=st.text(), host=st.one_of(st.none(), st.text()), scheme=st.sampled_from(["http", "https", ""]))
def test_any_headers_are_answered(origin: str, host: str | None, scheme: str):
    assert OriginPolicy().allowed(origin, host, scheme) in (True, False)
    assert not OriginPolicy(["https://app.example.com"]).allowed(origin, host, scheme)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),  # an untrusted peer says what it likes
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),  # the left one was sent by the client
        ("10.0.0.1", "1.2.3.4,203.0.113.9,10.7.7.7", "203.0.113.9"),
        ("10.0.0.1", "10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", '"[2001:db8::9]:4711"', "2001:db8::9"),
        ("10.0.0.1", "2001:DB8::9", "2001:db8::9"),
        ("10.0.0.1", "[2001:db8::9]", "2001:db8::9"),
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("2001:db8:1::5", "203.0.113.9", "203.0.113.9"),
        ("192.0.2.7", "203.0.113.9", "203.0.113.9"),
        ("192.0.2.8", "203.0.113.9", "192.0.2.8"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown, 10.9.9.9", "10.9.9.9"),
        ("10.0.0.1", "203.0.113.9,", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4\n", "1.2.3.4"),
        ("", "1.2.3.4", ""),
        ("unix:", "1.2.3.4", "unix:"),
    ],
)
def test_the_client_is_the_right_most_hop_that_is_not_trusted(
    peer: str, forwarded_for: str | None, client: str
):
    assert client_address(peer, forwarded_for, PROXIES) == client


def test_without_trusted_proxies_the_peer_is_the_client():
    assert client_address("10.0.0.1", "1.2.3.4", TrustedNetworks()) == "10.0.0.1"
    assert "10.0.0.1" not in TrustedNetworks()
    assert not TrustedNetworks()


def test_a_chain_of_trusted_hops_is_followed_so_far_only():
    assert client_address("10.0.0.1", "203.0.113.9," + "10.0.0.2," * 1000 + "10.0.0.3", PROXIES) == "10.0.0.2"


@given(peer=st.one_of(st.ip_addresses().map(str), st.text()), forwarded_for=st.text())
def test_any_header_gives_an_address_or_the_peer(peer: str, forwarded_for: str):
    client_address(peer, forwarded_for, PROXIES)


@given(made_up=st.lists(st.ip_addresses().map(str)), client=st.ip_addresses(v=4).map(str))
def test_what_a_client_makes_up_does_not_move_it(made_up: list[str], client: str):
    if client in PROXIES:
        return
    assert client_address("10.0.0.1", ", ".join([*made_up, client]), PROXIES) == client
    assert client_address(client, ", ".join(made_up), PROXIES) == client


@pytest.mark.parametrize(
    ("peer", "host", "proto", "reached"),
    [
        ("10.0.0.1", "app.example.com", "https", ("app.example.com", "https")),
        ("10.0.0.1", None, "https", ("node:8080", "https")),
        ("10.0.0.1", "app.example.com", None, ("app.example.com", "http")),
        ("10.0.0.1", "made.up, app.example.com", "http, https", ("app.example.com", "https")),
        ("10.0.0.1", " ", " ", ("node:8080", "http")),
        ("10.0.0.1", None, "WSS", ("node:8080", "https")),
        ("10.0.0.1", None, "ws", ("node:8080", "http")),
        ("203.0.113.9", "app.example.com", "https", ("node:8080", "http")),
        ("", "app.example.com", "https", ("node:8080", "http")),
    ],
)
def test_only_a_trusted_proxy_says_how_it_was_reached(
    peer: str, host: str | None, proto: str | None, reached: tuple[str, str]
):
    found = reached_as(peer, "node:8080", "http", forwarded_host=host, forwarded_proto=proto, trusted=PROXIES)
    assert found == reached


def test_same_origin_behind_a_trusted_proxy():
    host, scheme = reached_as(
        "10.0.0.1",
        "node:8080",
        "http",
        forwarded_host="app.example.com",
        forwarded_proto="https",
        trusted=PROXIES,
    )
    assert OriginPolicy().allowed("https://app.example.com", host, scheme)
    host, scheme = reached_as(
        "203.0.113.9",
        "node:8080",
        "http",
        forwarded_host="evil.example",
        forwarded_proto="https",
        trusted=PROXIES,
    )
    assert not OriginPolicy().allowed("https://evil.example", host, scheme)
