"""Causes and fixes: one text for each cause that is known. Pure."""

from __future__ import annotations

from rawlogs.errors import GaveUp, ProtocolError, RawlogsError, UpgradeRefused

# Logs do not come live

STREAM_SETTINGS = (
    "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED=true and PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED=true"
)
LIST_INSTEAD = "following its REST list instead."
DOCTOR = "`rawlogs doctor` checks each step."
FIRST_WITH_STREAM = (3, 4, 7)


def streaming_is_off() -> str:
    """The server's settings say that it does not stream."""
    return (
        f"The server does not stream logs live (its log streaming is off, which is Prefect's default); {LIST_INSTEAD} "
        f"For live logs set {STREAM_SETTINGS} on the server."
    )


def socket_refused(error: RawlogsError, version: str | None) -> str:
    """The socket cannot be had. ``version``: what the server says that it runs; None where it does not say."""
    cause = (
        error.__cause__ if isinstance(error, GaveUp) and isinstance(error.__cause__, RawlogsError) else error
    )
    begin = f"The server does not stream logs live ({cause.text}); {LIST_INSTEAD} "
    if version is not None and _release(version) < FIRST_WITH_STREAM:
        return (
            f"{begin}Prefect {version} has no live log stream: it came with 3.4.7. After an update set "
            f"{STREAM_SETTINGS} on the server."
        )
    if isinstance(cause, UpgradeRefused):
        if cause.status in (403, 404) and version is None:
            return (
                f"{begin}A server before 3.4.7 has no live log stream, and a proxy may refuse the path /logs/out. "
                f"A server that has it also needs {STREAM_SETTINGS}. {DOCTOR}"
            )
        return (
            f"{begin}A proxy in front of the server most likely does not pass WebSocket upgrades (nginx: "
            "`proxy_http_version 1.1` and `proxy_set_header` for Upgrade and Connection). " + DOCTOR
        )
    if isinstance(cause, ProtocolError) and "subprotocol" in cause.text:
        return f"{begin}A proxy in front of the server strips the header Sec-WebSocket-Protocol: let it pass. {DOCTOR}"
    return f"{begin}Something between here and the server does not let a WebSocket through. {DOCTOR}"


def partly_live(live: int, listed: int) -> str:
    """Audits found what the socket had not shown: ``live`` and ``listed`` logs came over each since the last one."""
    if not live:
        return (
            f"The server does not stream logs live (nothing comes over the socket); {LIST_INSTEAD} "
            f"For live logs set {STREAM_SETTINGS} on the server. {DOCTOR}"
        )
    return (
        f"The socket shows only a part of the logs (some logs do not reach it: {listed} of {live + listed} came only "
        "by the list); asking the list often beside it. Several server processes or replicas need one message broker "
        "for all: with the default in-memory broker each streams only what it received itself. Set "
        "PREFECT_MESSAGING_BROKER=prefect_redis.messaging (package prefect-redis) on each of them. " + DOCTOR
    )


def _release(version: str) -> tuple[int, ...]:
    """The release numbers of a version; what is no number counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split(".")[:3])
