"""The settings and the filter of one stream as they are now, for the socket and for REST."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from rawlogs.errors import AuthError, ConfigError, RawlogsError
from rawlogs.options import Options
from rawlogs.status.notifier import Notifier
from rawlogs.wire.connection import Target
from rawlogs.wire.frames import filter_message

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings
    from rawlogs.rest.client import RestClient
    from rawlogs.selection import Selection


class Subscription:
    """Owner of the settings and the filter. ``rest`` is None where no list may be asked (``live_only``)."""

    def __init__(
        self,
        settings: Settings,
        selection: Selection,
        options: Options,
        notifier: Notifier,
        reload: Callable[[], Settings] | None,
    ) -> None:
        self.settings = settings
        self.selection = selection
        self.rest: RestClient | None = None
        self._options = options
        self._notifier = notifier
        self._reload = reload

    def open_rest(self, rest: RestClient) -> None:
        """Set the REST client, which ``refresh`` gives the new settings."""
        self.rest = rest

    def use_runs(self, runs: Iterable[UUID]) -> None:
        """Set the flow runs of the filter."""
        self.selection = self.selection.with_runs(runs)

    def filter_text(self) -> str:
        """Return the message that sends the present filter."""
        return filter_message(self.selection.wire)

    def logs_target(self) -> Target:
        """Return the address and access of ``/logs/out``. Raises ConfigError for a CA file that cannot be read."""
        settings, options = self.settings, self._options
        return Target.of(
            settings,
            compress=options.compress,
            legacy=options.legacy,
            max_size=options.max_size,
            open_timeout=options.open_timeout,
            auth_timeout=options.open_timeout,
            ping_interval=options.ping_interval,
            ping_timeout=options.ping_timeout,
        )

    def events_target(self) -> Target:
        """Return the same access for ``/events/out``."""
        return replace(self.logs_target(), url=self.settings.address.events_url)

    def refresh(self, used: Settings) -> bool:
        """Read the settings again after a refusal of ``used``. Return whether the credentials are others now.

        They may have been others before: socket and REST find out about a rotated key independently.
        """
        if self._reload is not None:
            try:
                self.settings = self._reload()
            except ConfigError as error:
                self._notifier.notify("warning", f"The settings cannot be read again: {error.text}")
            else:
                if self.rest is not None:
                    self.rest.use(self.settings)
        now = self.settings
        return (now.websocket_token, now.authorization) != (used.websocket_token, used.authorization)


class KeyRotation:
    """Reads the settings again after a refusal, as a key may have been rotated: once, until one is accepted again."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._looked = False

    def found(self, error: RawlogsError, used: Settings) -> bool:
        """Return whether ``used`` was refused for its credentials, and others are set by now."""
        if self._looked or not isinstance(error, AuthError):
            return False
        self._looked = True
        return self._subscription.refresh(used)

    def accepted(self) -> None:
        """Note that the server accepts the present credentials."""
        self._looked = False
