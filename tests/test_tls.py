"""How certificates are checked."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import pytest

import rawlogs
from rawlogs.config import network
from rawlogs.errors import ConfigError
from rawlogs.testing import FakeServer


def subjects(context: ssl.SSLContext) -> set[str]:
    return {str(certificate["serialNumber"]) for certificate in context.get_ca_certs()}


def certificate(path: Path, number: int) -> str:
    """Write certifi's ``number``-th certificate to ``path``."""
    end = "-----END CERTIFICATE-----\n"
    path.write_text(
        Path(certifi.where()).read_text(encoding="utf-8").split(end)[number] + end, encoding="utf-8"
    )
    return str(path)


def test_a_ca_file_is_the_only_trust(tmp_path: Path) -> None:
    context = network.tls_context(certificate(tmp_path / "ca.pem", 0), insecure=False, origin="argument")
    assert len(subjects(context)) == 1
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_without_a_ca_file_certifi_and_the_system_are_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_certifi, of_system = (certificate(tmp_path / f"{number}.pem", number) for number in (0, 1))
    monkeypatch.setattr(certifi, "where", lambda: of_certifi)
    monkeypatch.setenv("SSL_CERT_FILE", of_system)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    context = network.tls_context(None, insecure=False, origin="default")
    assert len(subjects(context)) == 2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_insecure_checks_neither_certificate_nor_host_name() -> None:
    context = network.tls_context("/does/not/matter.pem", insecure=True, origin="argument")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none.pem", "No such file or directory"),
        (".", ""),
        ("text.pem", "it holds no certificate in PEM format"),
        ("empty.pem", "it holds no certificate in PEM format"),
    ],
)
def test_a_ca_file_that_cannot_be_used_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "text.pem").write_text("not a certificate")
    (tmp_path / "empty.pem").write_text("")
    path = str(tmp_path / name)
    with pytest.raises(ConfigError) as caught:
        network.tls_context(path, insecure=False, origin=".env")
    assert caught.value.text.startswith(f"The CA file {path} (.env) cannot be used: {problem}")
    assert caught.value.setting == "PREFECT_API_SSL_CERT_FILE"


@pytest.mark.parametrize(
    ("live_only", "contexts"),
    [
        pytest.param(True, 0, id="the socket alone"),
        pytest.param(False, 1, id="and REST: httpx takes a context for every scheme"),
    ],
)
async def test_over_plain_http_no_certificate_is_loaded(
    monkeypatch: pytest.MonkeyPatch, live_only: bool, contexts: int
) -> None:
    made: list[ssl.SSLContext] = []

    class Counted(ssl.SSLContext):
        def __init__(self, *_: object, **__: object) -> None:
            made.append(self)

    monkeypatch.setattr(ssl, "SSLContext", Counted)
    async with FakeServer() as fake, rawlogs.stream(api_url=fake.api_url, live_only=live_only) as logs:
        await fake.until_subscribed()
        fake.publish("it works")
        assert [log.message for log in await anext(logs.batches())] == ["it works"]
    assert len(made) == contexts
    assert [context.get_ca_certs() for context in made] == [[]] * contexts
