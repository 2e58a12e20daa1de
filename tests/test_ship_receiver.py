"""Where logs are shipped to: ``--to`` and the variables of OpenTelemetry's specification."""

from __future__ import annotations

import pytest

from rawlogs.errors import ConfigError
from rawlogs.ship.receiver import Receiver, resolve

SECRET = "s3cr3t-m4rk"


@pytest.mark.parametrize(
    ("to", "url"),
    [
        ("otlp+https://collector:4318", "https://collector:4318/v1/logs"),
        ("otlp+http://collector:4318/", "http://collector:4318/v1/logs"),
        ("otlp+http://collector", "http://collector/v1/logs"),
        ("OTLP+HTTPS://collector/otlp/v1/logs", "https://collector/otlp/v1/logs"),
        ("otlp+https://collector/logs?tenant=a", "https://collector/logs?tenant=a"),
        ("otlp+http://[::1]:4318", "http://[::1]:4318/v1/logs"),
        ("otlp+http://otel_collector.:4318", "http://otel_collector.:4318/v1/logs"),
        ("otlp+http://bücher.example", "http://bücher.example/v1/logs"),
    ],
)
def test_to_names_the_receiver_whose_path_is_v1_logs_unless_it_is_given(to: str, url: str) -> None:
    """What the environment names is another one."""
    receiver = resolve(to, {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://other:1/x"})
    assert (receiver.url, receiver.origin) == (url, "--to")


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"ENDPOINT": "http://collector:4318"}, "http://collector:4318/v1/logs"),
        ({"ENDPOINT": "http://collector:4318/"}, "http://collector:4318/v1/logs"),
        ({"ENDPOINT": "http://collector:4318/mycollector/"}, "http://collector:4318/mycollector/v1/logs"),
        ({"ENDPOINT": "https://collector"}, "https://collector/v1/logs"),
        ({"LOGS_ENDPOINT": "http://collector:4318"}, "http://collector:4318/"),
        (
            {"LOGS_ENDPOINT": "https://collector.example.com/v1/logs/"},
            "https://collector.example.com/v1/logs/",
        ),
        ({"LOGS_ENDPOINT": "http://a/x", "ENDPOINT": "http://b"}, "http://a/x"),
        ({"LOGS_ENDPOINT": " ", "ENDPOINT": "http://b"}, "http://b/v1/logs"),
        ({"ENDPOINT": "http://b", "PROTOCOL": "http/protobuf"}, "http://b/v1/logs"),
        (
            {"ENDPOINT": "http://b", "PROTOCOL": "grpc", "LOGS_PROTOCOL": "http/protobuf"},
            "http://b/v1/logs",
        ),
    ],
)
def test_endpoints_of_the_environment_follow_the_specification(environ: dict[str, str], url: str) -> None:
    """A base URL gets v1/logs; that of logs is taken as it is, with the root path where it has none."""
    assert resolve(None, named(environ)).url == url


@pytest.mark.parametrize(
    ("to", "environ", "said"),
    [
        (None, {}, "no receiver is named"),
        ("http://collector:4318", {}, "otlp+https://collector.example.com:4318"),
        ("otlp://collector", {}, "otlp+http://"),
        ("otlp+grpc://collector", {}, "--to is not the URL"),
        ("otlp+http://", {}, "--to is not the URL"),
        ("otlp+http://collector:0", {}, "--to is not the URL"),
        ("otlp+http://collector:http", {}, "--to is not the URL"),
        ("otlp+http://[::1", {}, "--to is not the URL"),
        ("otlp+http://a b", {}, "--to is not the URL"),
        ("otlp+http://a b", {}, "(or otlp+http:// without TLS)"),
        ("otlp+http://a..b", {}, "--to is not the URL"),
        ("otlp+http://.a", {}, "--to is not the URL"),
        (f"otlp+http://{'a' * 64}.example", {}, "--to is not the URL"),
        (f"otlp+http://{'.'.join(['a' * 60] * 5)}", {}, "--to is not the URL"),
        ("otlp+http://col*ector", {}, "--to is not the URL"),
        ("otlp+http://collector,other", {}, "--to is not the URL"),
        (None, {"ENDPOINT": "http://a..b"}, "OTEL_EXPORTER_OTLP_ENDPOINT is not the URL"),
        (f"otlp+http://me:{SECRET}@collector", {}, "--to has credentials"),
        (None, {"ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT is not the URL"),
        (None, {"LOGS_ENDPOINT": "ftp://x"}, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT is not the URL"),
        (None, {"ENDPOINT": f"http://me:{SECRET}@c"}, "OTEL_EXPORTER_OTLP_ENDPOINT has credentials"),
        (None, {"ENDPOINT": "http://c:4317", "PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'"),
        (None, {"ENDPOINT": "http://c", "LOGS_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL"),
        ("otlp+http://c", {"HEADERS": f"a b={SECRET}"}, "OTEL_EXPORTER_OTLP_HEADERS has a header"),
        ("otlp+http://c", {"LOGS_HEADERS": f"a={SECRET}%0d%0ab"}, "OTEL_EXPORTER_OTLP_LOGS_HEADERS"),
    ],
)
def test_what_cannot_be_a_receiver_is_refused_by_the_name_that_was_typed(
    to: str | None, environ: dict[str, str], said: str
) -> None:
    """And no secret is in the text."""
    with pytest.raises(ConfigError) as refused:
        resolve(to, named(environ))
    assert said in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "headers", "notes"),
    [
        ({}, {}, 0),
        ({"HEADERS": "api-key=abc"}, {"api-key": "abc"}, 0),
        (
            {"HEADERS": "Authorization=Bearer%20abc%3D, x = y "},
            {"Authorization": "Bearer abc=", "x": "y"},
            0,
        ),
        ({"HEADERS": "Authorization=Basic dXNlcjpwYXNz=="}, {"Authorization": "Basic dXNlcjpwYXNz=="}, 0),
        ({"HEADERS": "a=1", "LOGS_HEADERS": "b=2"}, {"b": "2"}, 0),
        ({"HEADERS": "a=1,,nothing,=5,b="}, {"a": "1", "b": ""}, 2),
        ({"HEADERS": "Content-Type=text/plain,a=1"}, {"a": "1"}, 1),
    ],
)
def test_headers_are_a_percent_encoded_list(
    environ: dict[str, str], headers: dict[str, str], notes: int
) -> None:
    """In the form of W3C Baggage; those of logs replace the general ones."""
    receiver = resolve("otlp+http://c", named(environ))
    assert receiver.headers == headers
    assert len(receiver.notes) == notes


@pytest.mark.parametrize(
    ("environ", "timeout", "notes"),
    [
        ({}, 10.0, 0),
        ({"TIMEOUT": "2500"}, 2.5, 0),
        ({"TIMEOUT": "2500", "LOGS_TIMEOUT": "100"}, 0.1, 0),
        ({"TIMEOUT": "0"}, None, 0),
        ({"TIMEOUT": "-1"}, 10.0, 1),
        ({"TIMEOUT": "10s"}, 10.0, 1),
    ],
)
def test_timeouts_are_milliseconds(environ: dict[str, str], timeout: float | None, notes: int) -> None:
    """0 is no limit, and what is no number is told and left out."""
    receiver = resolve("otlp+http://c", named(environ))
    assert (receiver.timeout, len(receiver.notes)) == (timeout, notes)


@pytest.mark.parametrize(
    ("environ", "gzip", "notes"),
    [
        ({}, True, 0),
        ({"COMPRESSION": "none"}, False, 0),
        ({"COMPRESSION": "GZIP"}, True, 0),
        ({"COMPRESSION": "gzip", "LOGS_COMPRESSION": "none"}, False, 0),
        ({"COMPRESSION": "zstd"}, True, 1),
    ],
)
def test_compression_is_gzip_unless_none_is_asked_for(
    environ: dict[str, str], gzip: bool, notes: int
) -> None:
    """Another one is told and left out."""
    receiver = resolve("otlp+http://c", named(environ))
    assert (receiver.gzip, len(receiver.notes)) == (gzip, notes)


def test_certificates_come_from_the_flag_or_the_environment() -> None:
    """A client's key is of no use alone."""
    files = {"CERTIFICATE": "/ca.pem", "CLIENT_CERTIFICATE": "/me.pem", "LOGS_CLIENT_KEY": "/me.key"}
    receiver = resolve("otlp+https://c", named(files))
    assert (receiver.ca_file, receiver.ca_origin) == ("/ca.pem", "OTEL_EXPORTER_OTLP_CERTIFICATE")
    assert (receiver.client_certificate, receiver.client_key) == ("/me.pem", "/me.key")
    receiver = resolve("otlp+https://c", named({**files, "CLIENT_CERTIFICATE": ""}), ca_file="/mine.pem")
    assert (receiver.ca_file, receiver.ca_origin) == ("/mine.pem", "--ca-file")
    assert (receiver.client_certificate, receiver.client_key, len(receiver.notes)) == (None, None, 1)


def test_resource_attributes_come_from_the_environment() -> None:
    """The service's own variable wins."""
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,deployment.environment.name=pro%64"}
    assert resolve("otlp+http://c", environ).resource == {
        "service.name": "a",
        "deployment.environment.name": "prod",
    }
    environ["OTEL_SERVICE_NAME"] = "prefect-prod"
    assert resolve("otlp+http://c", environ).resource["service.name"] == "prefect-prod"


def test_a_receiver_shows_no_secret() -> None:
    """Neither its headers nor its query."""
    receiver = resolve(
        f"otlp+https://c:4318/x?key={SECRET}", named({"HEADERS": f"Authorization=Bearer%20{SECRET}"})
    )
    assert receiver.shown == "https://c:4318/x"
    assert SECRET not in repr(receiver) + receiver.shown
    assert {SECRET, f"Bearer {SECRET}", f"key={SECRET}"} <= set(receiver.secrets)
    assert isinstance(receiver, Receiver)


def named(environ: dict[str, str]) -> dict[str, str]:
    """The variables with the beginning of their names."""
    return {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in environ.items()}
