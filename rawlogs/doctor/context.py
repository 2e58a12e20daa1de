"""Context of one doctor run: its inputs, and the results so far, which the checks fill in one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rawlogs.advice import AUTH_SETTING, KEY_SETTING, Facts
from rawlogs.clock import Clock
from rawlogs.config.settings import Settings
from rawlogs.config.urls import Address
from rawlogs.doctor.findings import status_of
from rawlogs.doctor.network import Endpoint, proxy_endpoint
from rawlogs.errors import RawlogsError

if TYPE_CHECKING:
    from rawlogs.rest.client import RestClient
    from rawlogs.wire.connection import Connection
    from rawlogs.wire.events import WireEvent

UNASKED: Any = object()
"""Stands for the answer of a question that was not asked."""


@dataclass(slots=True)
class CheckContext:
    """``access`` is what ``settings.resolve`` takes. ``watch`` is how many seconds the socket is watched for logs.

    ``write_test``: write one log, and look for it; ``tell`` is called with a sentence before that. ``patience`` is
    how many seconds one answer may take.
    """

    access: Mapping[str, Any]
    clock: Clock
    watch: float = 5.0
    write_test: bool = False
    tell: Callable[[str], None] = lambda _: None
    patience: float = 10.0

    resolved: Settings | None = None
    client: RestClient | None = None
    health: Any = UNASKED
    """The answer of ``GET /health``: its value, or the error."""
    rest_works: bool = False
    authenticated: bool | None = None
    version: str | None = None
    streaming: tuple[bool, bool] | None = None
    tape: list[WireEvent] = field(default_factory=list)
    refusal: RawlogsError | None = None
    """Why the socket could not be opened or the handshake failed."""
    connection: Connection | None = None
    round_trip: float | None = None
    seen_live: bool = False

    @property
    def settings(self) -> Settings:
        assert self.resolved is not None, "a check that needs the settings comes after that of the settings"
        return self.resolved

    @property
    def rest(self) -> RestClient:
        """The client of all REST checks: no retries, for each answer is to be seen."""
        if self.client is None:
            self.client = self.rest_of(self.settings)
        return self.client

    def rest_of(self, settings: Settings) -> RestClient:
        """Return a client with other settings, to be closed by the caller."""
        from rawlogs.rest.client import RestClient

        return RestClient(settings, clock=self.clock, timeout=self.patience, retries=0)

    async def answers_http(self, url: str) -> bool:
        """Return whether an HTTP server answers at this URL, which is sent no credentials."""
        # Whoever answers there may not be the user's server.
        stranger = replace(self.settings, address=Address(url), api_key=None, auth_string=None, headers={})
        async with self.rest_of(stranger) as rest:
            try:
                await rest.get("/health")
            except RawlogsError as error:
                return status_of(error) is not None
        return True

    async def answers_tls(self) -> bool:
        """Return whether the API's port speaks TLS, although its URL begins with http://."""
        from rawlogs.rest.http import tls_session

        url = self.settings.api_url.replace("http:", "https:", 1)
        try:
            # Unchecked: nothing is sent, and a certificate of any kind proves TLS.
            await tls_session(replace(self.settings, address=Address(url), insecure=True), self.patience)
        except OSError:
            return False
        return True

    @property
    def endpoint(self) -> Endpoint:
        """Host and port of the API."""
        _, host, port = self.settings.address.endpoint
        return Endpoint(host.strip("[]"), port)

    @property
    def first_endpoint(self) -> Endpoint:
        """The host and port that is connected to: the proxy's, or the API's."""
        return proxy_endpoint(self.settings.proxy) if self.settings.proxy else self.endpoint

    @property
    def token_setting(self) -> str | None:
        """The setting that the socket's token comes from."""
        return self.settings.token_setting

    def facts(self, **more: Any) -> Facts:
        """Return what is known about the server so far, and ``more``."""
        known = {"rest": self.rest_works, "version": self.version or "", "authenticated": self.authenticated}
        return replace(self.settings.facts(), **{**known, **more})

    def secrets(self) -> set[str]:
        """Return what no report may show; also where the settings could not be resolved."""
        environ = self.access.get("environ")
        environ = os.environ if environ is None else environ
        raw = [environ.get(name) for name in (KEY_SETTING, AUTH_SETTING)]
        raw += [self.access.get("api_key"), self.access.get("auth_string")]
        # A short one would be found in every other text.
        raw += [value for value in (self.access.get("headers") or {}).values() if len(value) >= 6]
        found = {text.strip() for text in raw if text}
        return found | set(self.resolved.secrets() if self.resolved is not None else ())

    async def close(self) -> None:
        """Close what was opened."""
        if self.connection is not None:
            await self.connection.close()
        if self.client is not None:
            await self.client.close()
