"""Sends one request to a receiver, over httpx. What the answer means is decided in ``verdict``."""

from __future__ import annotations

import errno
import gzip
import os
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rawlogs.clock import Clock, SystemClock
from rawlogs.config import network
from rawlogs.errors import CertificateError, ConfigError
from rawlogs.ship.receiver import Receiver
from rawlogs.ship.stats import ShipStats
from rawlogs.ship.verdict import Later, Verdict, verdict
from rawlogs.untrusted import excerpt, origin_of
from rawlogs.version import version
from rawlogs.waiting import within

if TYPE_CHECKING:
    import httpx

LARGEST_ANSWER = 64 << 10
"""Bytes of an answer that are read: a usual one has a few dozen."""


class Sender:
    """Client of one receiver over kept connections; loads httpx. Raises ConfigError for files and proxies of no use."""

    def __init__(
        self,
        receiver: Receiver,
        *,
        stats: ShipStats,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        import httpx

        self.receiver = receiver
        self._stats = stats
        self._clock: Clock = clock or SystemClock()
        parts = urlsplit(receiver.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        self._proxy = network.choose_proxy(parts.scheme, parts.hostname or "", port, environ or os.environ)
        self._headers = {
            "User-Agent": f"OTel-OTLP-Exporter-rawlogs/{version()}",
            **receiver.headers,
            "Content-Type": "application/x-protobuf",
            "Accept-Encoding": "identity",
            **({"Content-Encoding": "gzip"} if receiver.gzip else {}),
        }
        self._foreign = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, TimeoutError)
        # An empty context for http://, as loading the CAs takes time.
        context = _context(receiver) if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            self._http = httpx.AsyncClient(
                verify=context,
                proxy=self._proxy.url if self._proxy else None,
                trust_env=False,
                follow_redirects=False,  # the headers hold credentials, which are for nobody else
                timeout=None,  # ``send`` bounds the whole exchange
                limits=httpx.Limits(max_connections=2, keepalive_expiry=30.0),
            )
        except (ImportError, ValueError, httpx.InvalidURL):
            unusable = self._proxy.variable if self._proxy else "--to"
        else:
            return
        # Chained to nothing: the library's text may quote the proxy with its credentials.
        raise ConfigError(
            f"The proxy of {unusable} cannot be used for the receiver",
            setting=unusable,
            hint="It is http://host:port or https://host:port; socks5:// needs the package socksio.",
        )

    async def send(self, payload: bytes) -> Verdict:
        """Send one serialised request, and return what its answer, or the lack of one, means."""
        content = gzip.compress(payload, compresslevel=1) if self.receiver.gzip else payload
        self._stats.requests += 1
        self._stats.bytes += len(content)
        try:
            return await within(self.receiver.timeout, self._exchange(content))
        except self._foreign as error:
            return self._failed(error)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _exchange(self, content: bytes) -> Verdict:
        request = self._http.build_request("POST", self.receiver.url, content=content, headers=self._headers)
        response = await self._http.send(request, stream=True)
        try:
            body, whole = await _beginning(response)
        except self._foreign:
            if response.status_code < 400:
                raise  # half an acknowledgement is none
            body, whole = b"", False
        finally:
            await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        now = self._clock.now()
        return verdict(response.status_code, headers, body, whole=whole, receiver=self.receiver, now=now)

    def _failed(self, error: Exception) -> Later:
        """Return the verdict of a request without an answer; all but a refused certificate may pass by itself."""
        from rawlogs.rest.errors import causes

        shown = self.receiver.shown
        via = f" through the proxy {origin_of(self._proxy.url)}" if self._proxy else ""
        if isinstance(error, TimeoutError):
            return Later(f"{shown} did not answer within {self.receiver.timeout:g} s{via}")
        found = list(causes(error))
        for cause in found:
            if isinstance(cause, ssl.SSLCertVerificationError):
                text = f"{shown} showed a TLS certificate that is not accepted: {cause.verify_message}"
                hint = "Name its CA with --ca-file, or in OTEL_EXPORTER_OTLP_CERTIFICATE."
                return Later(text, error=CertificateError(text, url=shown, phase="tls", hint=hint))
            if isinstance(cause, ssl.SSLError):
                return Later(f"No TLS with {shown}{via}: {cause.reason or 'the connection was cut'}")
            if isinstance(cause, socket.gaierror):
                return Later(f"The name in {shown} does not resolve{via}: {cause.strerror}")
        numbers = [cause.errno for cause in found if isinstance(cause, OSError) and cause.errno]
        if numbers:
            # The last is the innermost, which the system gave.
            what = "reset" if numbers[-1] == errno.ECONNRESET else os.strerror(numbers[-1])
            return Later(f"No answer of {shown}{via}: {what}")
        # httpx has h11's words for it, which quote what came.
        if any(type(cause).__module__.startswith("h11") for cause in found):
            return Later(f"{shown} does not answer as an HTTP server does{via}")
        secrets = (*self.receiver.secrets, *([self._proxy.password] if self._proxy else []))
        problem = excerpt(str(error), secrets=secrets) or "the connection was cut"
        return Later(f"No answer of {shown}{via}: {problem}")


async def _beginning(response: httpx.Response) -> tuple[bytes, bool]:
    """Return as much of the body as is read, still packed, and whether that is all of it."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        return b"", False  # it was not asked for
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > LARGEST_ANSWER:
            return b"", False
    return bytes(body), True


def _context(receiver: Receiver) -> ssl.SSLContext:
    try:
        context = network.tls_context(receiver.ca_file, insecure=False, origin=receiver.ca_origin)
    except ConfigError as error:
        hint = "--ca-file, else OTEL_EXPORTER_OTLP_CERTIFICATE, names a file of PEM certificates."
        raise ConfigError(error.text, setting=receiver.ca_origin, hint=hint) from error
    if receiver.client_certificate is not None:
        try:
            context.load_cert_chain(receiver.client_certificate, receiver.client_key)
        except OSError as error:  # an SSLError is one
            problem = error.strerror or "they are no certificate and key in PEM format"
            raise ConfigError(
                f"The client certificate {receiver.client_certificate} cannot be used: {problem}",
                setting="OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
                hint="Its key is in the same file, or in OTEL_EXPORTER_OTLP_CLIENT_KEY.",
            ) from error
    return context
