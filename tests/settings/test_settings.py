"""What an operator sets: read, checked, explained; secrets stay secret."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from notify.settings.settings import Secret, Settings, SettingsError
from notify.settings.values import masked

SECRET = "0123456789abcdef0123456789abcdef"


def wrong(**environ: str) -> dict[str, list[str]]:
    """The problems that these variables (without their prefix) are answered with."""
    with pytest.raises(SettingsError) as caught:
        Settings.load({f"NOTIFY_{name}": value for name, value in environ.items()})
    return caught.value.problems


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_nothing_set_gives_the_documented_defaults():
    settings = Settings.load({"PATH": "/bin", "HOME": "/"})
    assert settings == Settings()
    assert (settings.port, settings.internal_port, settings.recovery_window) == (8080, 8081, 900.0)
    assert settings.namespaces == ("/",)


def test_values_are_read_into_their_types():
    settings = Settings.load(
        {
            "NOTIFY_PORT": "9000",
            "NOTIFY_PING_INTERVAL": "0.5",
            "NOTIFY_CORS_ORIGINS": "https://App.example.com, http://localhost:8000",
            "NOTIFY_NAMESPACES": "/admin,/chat",
            "NOTIFY_TRUSTED_PROXIES": "10.0.0.0/8,::1",
            "NOTIFY_API_KEYS": f"{SECRET},{SECRET[::-1]}",
        }
    )
    assert settings.port == 9000
    assert settings.ping_interval == 0.5
    assert settings.cors_origins == ("https://app.example.com", "http://localhost:8000")
    assert settings.namespaces == ("/", "/admin", "/chat")
    assert [str(each) for each in settings.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert [each.reveal() for each in settings.api_keys] == [SECRET, SECRET[::-1]]


def test_an_empty_variable_counts_as_not_set():
    assert Settings.load({"NOTIFY_PORT": "", "NOTIFY_JWT_SECRET": "  "}) == Settings()


def test_every_wrong_value_is_named_at_once():
    problems = wrong(
        PORT="x", PING_TIMEOUT="0", LOG_LEVEL="loud", NAMESPACES="chat", PROT="1", REDIS_URL="http://x"
    )
    assert set(problems) == {
        "NOTIFY_PORT",
        "NOTIFY_PING_TIMEOUT",
        "NOTIFY_LOG_LEVEL",
        "NOTIFY_NAMESPACES",
        "NOTIFY_PROT",
        "NOTIFY_REDIS_URL",
    }


def test_an_unknown_name_fails_with_the_one_that_was_meant():
    assert wrong(REDIS_ULR="redis://x")["NOTIFY_REDIS_ULR"] == [
        "There is no such setting. Did you mean NOTIFY_REDIS_URL?"
    ]
    assert "notify settings" in wrong(FROBNICATE="1")["NOTIFY_FROBNICATE"][0]


def test_variables_of_the_client_commands_are_no_mistake():
    assert Settings.load({"NOTIFY_API_KEY": "x", "NOTIFY_URL": "http://x"}) == Settings()


def test_kubernetes_service_links_are_told_from_settings():
    links = {
        "NOTIFY_SERVICE_HOST": "10.0.0.1",
        "NOTIFY_SERVICE_PORT": "8080",
        "NOTIFY_SERVICE_PORT_HTTP": "8080",
        "NOTIFY_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "NOTIFY_PORT_8080_TCP_ADDR": "10.0.0.1",
        "NOTIFY_VALKEY_PORT": "tcp://10.0.0.2:6379",
    }
    assert Settings.load(links) == Settings()
    assert "enableServiceLinks" in wrong(PORT="tcp://10.0.0.1:8080")["NOTIFY_PORT"][0]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "65536", "65535"),
        ("PORT", "-1", "0"),
        ("PING_INTERVAL", "nan", "not permitted"),
        ("PING_INTERVAL", "-1", "greater than 0"),
        ("DRAIN_SECONDS", "-1", "greater than or equal to 0"),
        ("RECOVERY_WINDOW", "0", "greater than or equal to 1"),
        ("MAX_PAYLOAD", "64k", "integer"),
        ("MAX_ROOMS_PER_SOCKET", "0", "1"),
        ("SEND_BUFFER_LIMIT", "70000", "twice NOTIFY_MAX_PAYLOAD"),
        ("REDIS_PREFIX", "a b", "letters"),
        ("REDIS_PREFIX", "a*", "letters"),
        ("REDIS_URL", "redis://", "host"),
        ("REDIS_URL", "redis://h:port", "URL"),
        ("REDIS_URL", "unix://", "socket"),
        ("REDIS_URL", "redis://h:6379/0?protocol=3", "RESP2"),
        ("REDIS_URL", "redis+sentinel://h:26379", "service"),
        ("SEND_EVENTS", "message,connect", "reserved"),
        ("MAX_INTERNAL_CONNECTIONS", "0", "16"),
        ("MAX_FANOUT_BYTES", "1", "1048576"),
        ("REDIS_START_TIMEOUT", "-1", "greater"),
        ("NODE_ID", "a/b", "letters"),
        ("JWT_SECRET", "short", "32 bytes"),
        ("JWT_PUBLIC_KEY", "nonsense", "PEM"),
        ("JWT_JWKS_URL", "file:///etc/passwd", "http"),
        ("JWT_ALGORITHMS", "none", "HS256"),
        ("JWT_ALGORITHMS", "HS512", "HS256"),
        ("API_KEYS", "short", "16"),
        ("API_KEYS", "billing:short", "16"),
        ("API_KEYS", "with a space in it 123", "no spaces"),
        ("CORS_ORIGINS", "app.example.com", "not an origin"),
        ("CORS_ORIGINS", "https://*", "could match"),
        ("CORS_ORIGINS", "https://app.*.com", "could match"),
        ("CORS_ORIGINS", "https://exa mple.com", "could match"),
        ("CORS_ORIGINS", "https://app.example.com/", "remove everything after"),
        ("CORS_ORIGINS", "*,https://app.example.com", "alone"),
        ("CORS_ORIGINS", "https://user@app.example.com", "not an origin"),
        ("NAMESPACES", "/a b", "namespace"),
        ("NAMESPACES", "/a?b", "namespace"),
        ("NAMESPACES", "/users/7", "own namespaces"),
        ("TRUSTED_PROXIES", "proxy.local", "IP address"),
        ("LOG_FORMAT", "xml", "json"),
        ("HANDSHAKE_RATE", "-5", "greater"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_what_to_write(name: str, value: str, says: str):
    (sentence, *_) = wrong(**{name: value})[f"NOTIFY_{name}"]
    assert says in sentence


def test_the_algorithms_follow_from_the_key():
    assert Settings.load({"NOTIFY_JWT_SECRET": SECRET}).jwt_algorithms == ("HS256",)
    assert Settings.load({"NOTIFY_JWT_JWKS_URL": "https://id.example.com/keys"}).jwt_algorithms == (
        "RS256",
        "ES256",
    )
    problems = wrong(JWT_JWKS_URL="https://id.example.com/keys", JWT_ALGORITHMS="HS256,RS256")
    assert "RS256 and ES256" in problems["NOTIFY_JWT_ALGORITHMS"][0]
    assert "HS256" in wrong(JWT_SECRET=SECRET, JWT_ALGORITHMS="RS256")["NOTIFY_JWT_ALGORITHMS"][0]


def test_two_sources_of_keys_are_refused():
    problems = wrong(JWT_SECRET=SECRET, JWT_JWKS_URL="https://id.example.com/keys")
    assert "NOTIFY_JWT_SECRET and NOTIFY_JWT_JWKS_URL" in problems["NOTIFY_JWT_SECRET"][0]


def test_public_keys_are_checked_and_may_be_written_on_one_line():
    key = ec.generate_private_key(ec.SECP256R1())
    one_line = pem(key).replace("\n", "\\n")
    assert Settings.load({"NOTIFY_JWT_PUBLIC_KEY": one_line}).jwt_public_key == pem(key)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert "private" in wrong(JWT_PUBLIC_KEY=private)["NOTIFY_JWT_PUBLIC_KEY"][0]
    assert (
        "P-256"
        in wrong(JWT_PUBLIC_KEY=pem(ec.generate_private_key(ec.SECP384R1())))["NOTIFY_JWT_PUBLIC_KEY"][0]
    )
    weak = pem(rsa.generate_private_key(65537, 1024))
    assert "2048" in wrong(JWT_PUBLIC_KEY=weak)["NOTIFY_JWT_PUBLIC_KEY"][0]


def test_secrets_may_come_from_files(tmp_path):
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "keys").write_text(f"{SECRET}\n{SECRET[::-1]}\n")
    settings = Settings.load(
        {"NOTIFY_JWT_SECRET_FILE": str(tmp_path / "secret"), "NOTIFY_API_KEYS_FILE": str(tmp_path / "keys")}
    )
    assert settings.jwt_secret == Secret(SECRET)
    assert len(settings.api_keys) == 2
    assert "cannot be read" in wrong(JWT_SECRET_FILE=str(tmp_path / "none"))["NOTIFY_JWT_SECRET_FILE"][0]
    assert (
        "not both"
        in wrong(JWT_SECRET_FILE=str(tmp_path / "secret"), JWT_SECRET=SECRET)["NOTIFY_JWT_SECRET"][0]
    )
    assert "no such setting" in wrong(PORT_FILE="/x")["NOTIFY_PORT_FILE"][0]


def test_no_secret_shows_anywhere():
    environ = {
        "NOTIFY_JWT_SECRET": SECRET,
        "NOTIFY_API_KEYS": SECRET[::-1],
        "NOTIFY_REDIS_URL": "redis://user:hunter22@host:6379/0",
    }
    settings = Settings.load(environ)
    shown = f"{settings!r} {settings} {settings.describe()} {settings.jwt_secret} {settings.api_keys!r}"
    for secret in (SECRET, SECRET[::-1], "hunter22"):
        assert secret not in shown
    lines = {line.name: line for line in settings.describe()}
    assert lines["NOTIFY_JWT_SECRET"].value == "set"
    assert lines["NOTIFY_REDIS_URL"].value == "redis://user:***@host:6379/0"


def test_a_wrong_secret_is_not_repeated_in_the_error():
    with pytest.raises(SettingsError) as caught:
        Settings.load({"NOTIFY_JWT_SECRET": "hunter22", "NOTIFY_API_KEYS": "hunter23"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host/0", "redis://host/0"),
        ("redis://:pw@host:1/0", "redis://:***@host:1/0"),
        ("rediss://host?username=u&password=pw", "rediss://host?username=u&password=***"),
        ("redis+sentinel://u:pw@a:1,b:2/0/main", "redis+sentinel://u:***@a:1,b:2/0/main"),
    ],
)
def test_urls_are_shown_without_their_password(url: str, shown: str):
    assert masked(url) == shown
    assert Settings.load({"NOTIFY_REDIS_URL": url}).redis_url == url


def test_every_setting_is_described():
    for line in Settings().describe():
        assert line.meaning
        assert not line.changed
        assert line.name.startswith("NOTIFY_")


def test_a_described_value_can_be_set_again():
    settings = Settings.load(
        {"NOTIFY_PING_INTERVAL": "0.25", "NOTIFY_NAMESPACES": "/a,/b", "NOTIFY_MAX_PAYLOAD": "2048"}
    )
    again = Settings.load({line.name: line.value for line in settings.describe() if line.value != "not set"})
    assert again == settings


def test_what_serve_cannot_do_without_is_named():
    assert set(Settings().missing(embedded=False)) == {"NOTIFY_JWT_SECRET", "NOTIFY_REDIS_URL"}
    assert set(Settings().missing(embedded=True)) == {"NOTIFY_JWT_SECRET"}
    ready = Settings.load({"NOTIFY_JWT_SECRET": SECRET, "NOTIFY_REDIS_URL": "redis://localhost"})
    assert not ready.missing(embedded=False)
    assert set(ready.missing(embedded=True)) == {"NOTIFY_REDIS_URL"}


@pytest.mark.parametrize(
    ("key", "algorithm", "other"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256", "RS256"),
        (rsa.generate_private_key(65537, 2048), "RS256", "ES256"),
    ],
    ids=["P-256", "RSA"],
)
def test_keys_and_algorithms_must_fit_together(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, algorithm: str, other: str
):
    """Whoever verifies tokens with them would end in a traceback."""
    assert Settings.load(
        {"NOTIFY_JWT_PUBLIC_KEY": pem(key), "NOTIFY_JWT_ALGORITHMS": algorithm}
    ).jwt_algorithms == (algorithm,)
    (problem,) = wrong(JWT_PUBLIC_KEY=pem(key), JWT_ALGORITHMS=other)["NOTIFY_JWT_PUBLIC_KEY"]
    assert algorithm in problem


def test_a_public_key_is_no_secret():
    public = pem(ec.generate_private_key(ec.SECP256R1()))
    assert "others may know" in wrong(JWT_SECRET=public)["NOTIFY_JWT_SECRET"][0]


def test_a_line_break_behind_a_secret_is_not_part_of_it():
    found = Settings.load({"NOTIFY_JWT_SECRET": "s" * 32 + "\r\n"}).jwt_secret
    assert found is not None
    assert found.reveal() == "s" * 32
