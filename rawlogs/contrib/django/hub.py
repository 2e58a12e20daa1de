"""The hub of a Django process, made from Django's settings when it is first asked for; one for each event loop.

``RAWLOGS`` is a dict: ``api_url``, ``api_key``, ``auth_string``, ``profile``, ``headers``, ``ssl_cert_file``,
``insecure`` (as ``rawlogs.stream`` takes them), ``linger``, ``queue``, ``ring`` (as ``Hub`` does), and ``source``: a
callable, or its dotted path, that returns another ``Source``. ``PREFECT_API_URL``, ``PREFECT_API_KEY`` and
``PREFECT_API_AUTH_STRING`` among Django's settings count where RAWLOGS does not say; then Prefect's own sources do.
"""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings  # type: ignore[import-untyped,unused-ignore]
from django.utils.module_loading import import_string  # type: ignore[import-untyped,unused-ignore]

from rawlogs.errors import ConfigError
from rawlogs.relay.hub import Hub

ACCESS = ("api_url", "api_key", "auth_string", "profile", "headers", "ssl_cert_file", "insecure")
BEHAVIOUR = ("linger", "queue", "ring")
_PREFECT = {
    "api_url": "PREFECT_API_URL",
    "api_key": "PREFECT_API_KEY",
    "auth_string": "PREFECT_API_AUTH_STRING",
}
_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def get_hub() -> Hub:
    """Return the hub of the running event loop. Raises ConfigError for settings that cannot work."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = Hub(**hub_options())
    return hub


async def close_hub() -> None:
    """Close the running loop's hub, if there is one; the next connection would open another."""
    hub = _hubs.pop(asyncio.get_running_loop(), None)
    if hub is not None:
        await hub.close()


def hub_options() -> dict[str, Any]:
    """Return the arguments of ``Hub`` that Django's settings ask for."""
    given = getattr(settings, "RAWLOGS", {})
    if not isinstance(given, dict):
        raise ConfigError("RAWLOGS is not a dict", setting="RAWLOGS")
    if unknown := sorted(set(given) - {*ACCESS, *BEHAVIOUR, "source"}):
        raise ConfigError(
            f"RAWLOGS has unknown keys: {', '.join(map(str, unknown))}",
            setting="RAWLOGS",
            hint=f"Known: {', '.join((*ACCESS, *BEHAVIOUR, 'source'))}.",
        )
    options = {key: value for key, value in given.items() if value is not None}
    source = options.pop("source", None)
    if source is not None:
        make = import_string(source) if isinstance(source, str) else source
        return {"source": make(), **{key: options[key] for key in BEHAVIOUR if key in options}}
    for key, name in _PREFECT.items():
        value = getattr(settings, name, None)
        if value and key not in options:
            options[key] = value
    return options
