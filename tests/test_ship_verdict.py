"""What an answer of an OTLP receiver means: the table of ``rawlogs.ship.verdict``."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)

from rawlogs.errors import AuthError, ConfigError
from rawlogs.ship.receiver import Receiver
from rawlogs.ship.verdict import Accepted, Later, Refused, Verdict, verdict

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
SECRET = "s3cr3t-m4rk"
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
PARTIAL = ExportLogsServiceResponse(
    partial_success=ExportLogsPartialSuccess(rejected_log_records=3, error_message="too old")
).SerializeToString()
STATUS = ExportLogsPartialSuccess(rejected_log_records=13, error_message="no such tenant").SerializeToString()
RECEIVER = Receiver("https://c:4318/v1/logs", "--to", {"Authorization": f"Bearer {SECRET}"})


def judged(
    status: int, kind: str = PROTOBUF, body: bytes = b"", *, whole: bool = True, **headers: str
) -> Verdict:
    names = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return verdict(status, names, body, whole=whole, receiver=RECEIVER, now=NOW)


@pytest.mark.parametrize(
    ("status", "kind", "body", "rejected", "message"),
    [
        (200, PROTOBUF, b"", 0, ""),
        (202, "", b"", 0, ""),
        (204, "text/plain", b"", 0, ""),
        (200, PROTOBUF, PARTIAL, 3, "too old"),
        (200, "", PARTIAL, 3, "too old"),
        (200, JSON, b"{}", 0, ""),
        (200, f"{JSON}; charset=utf-8", b'{"partialSuccess":{}}', 0, ""),
        (
            200,
            JSON,
            b'{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too old"}}',
            3,
            "too old",
        ),
        (200, JSON, b'{"partialSuccess":{"rejectedLogRecords":"-3"}}', 0, ""),
    ],
)
def test_2xx_acknowledges_with_what_a_partial_success_says(
    status: int, kind: str, body: bytes, rejected: int, message: str
) -> None:
    """In protobuf or in JSON, and with no body at all."""
    assert judged(status, kind, body) == Accepted(rejected, message)


@pytest.mark.parametrize(
    ("kind", "body", "whole"),
    [
        (PROTOBUF, b"\xff\xff", True),
        ("text/plain", b"ok, thanks", True),
        (JSON, b"{", True),
        (JSON, b'{"partialSuccess":{"rejectedLogRecords":"many"}}', True),
        (PROTOBUF, b"x", False),
    ],
)
def test_an_acknowledgement_that_cannot_be_read_is_one_nevertheless(
    kind: str, body: bytes, whole: bool
) -> None:
    """The status has acknowledged it; what cannot be read is told."""
    found = judged(200, kind, body, whole=whole)
    assert isinstance(found, Accepted)
    assert found.rejected == 0
    assert "cannot be read" in found.message


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize(
    ("header", "floor"),
    [
        ({}, 0.0),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30.0),
        ({"retry_after": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0),
        ({"retry_after": "soon"}, 0.0),
        ({"retry_after": "1e9"}, 300.0),
    ],
)
def test_what_the_specification_calls_retryable_is_sent_again(
    status: int, header: dict[str, str], floor: float
) -> None:
    """Not before Retry-After, in seconds or as a date."""
    found = judged(status, **header)
    assert isinstance(found, Later)
    assert (found.floor, found.error) == (floor, None)


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (401, PROTOBUF, AuthError),
        (403, PROTOBUF, AuthError),
        *[(status, PROTOBUF, ConfigError) for status in (301, 302, 307, 308, 404, 405, 407, 415, 501, 505)],
        (200, "text/html", ConfigError),
        (400, "text/html; charset=utf-8", ConfigError),
    ],
)
def test_a_wrong_setting_is_no_log_s_fault(status: int, kind: str, error: type[Exception]) -> None:
    """It ends the command at its start, and is waited out later."""
    found = judged(status, kind, b"<html>")
    assert isinstance(found, Later)
    assert isinstance(found.error, error)


@pytest.mark.parametrize("status", [400, 402, 408, 409, 411, 413, 418, 422, 431, 451, 500, 507, 599])
def test_any_other_status_refuses_these_logs(status: int) -> None:
    """They are never sent again as they are, as the specification demands."""
    found = judged(status)
    assert isinstance(found, Refused)
    assert found.status == status


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        (PROTOBUF, STATUS, "no such tenant"),
        (JSON, b'{"code":3,"message":"no such tenant"}', "no such tenant"),
        (JSON, b'{"error":"no such tenant"}', "no such tenant"),
        ("text/plain", b"no such\n tenant\x1b[31m", r"no such tenant\x1b[31m"),
        ("text/html", b"<h1>Too large</h1>", "answers 413"),
        (PROTOBUF, b"\xff\xff", "answers 413"),
    ],
)
def test_the_receiver_s_own_words_are_told_on_one_line(kind: str, body: bytes, said: str) -> None:
    """Whatever form they have."""
    found = judged(413, kind, body)
    assert isinstance(found, Refused)
    assert said in found.text
    assert "\n" not in found.text


@pytest.mark.parametrize("status", [400, 401, 503])
def test_a_receiver_that_echoes_a_secret_is_not_quoted_with_it(status: int) -> None:
    """The headers hold it."""
    found = judged(status, "text/plain", f"Bearer {SECRET} is no good".encode())
    assert not isinstance(found, Accepted)
    assert SECRET not in found.text
    assert "is no good" in found.text
