"""Pass requests on as they are, for a server in between; an error status is an answer like any other."""

from __future__ import annotations

from collections.abc import Mapping

from rawlogs.clock import SystemClock
from rawlogs.config.settings import Settings
from rawlogs.rest import body
from rawlogs.rest.http import Http
from rawlogs.rest.responses import Fatal, Response, Retry

_FORWARDED = frozenset(
    {"accept", "allow", "content-disposition", "content-type", "date", "location", "retry-after"}
)
_FAMILIES = ("prefect-", "x-prefect-")


class ForwardingClient:
    """Add the credentials of its settings to other people's requests, and nothing else."""

    def __init__(self, settings: Settings) -> None:
        self._http = Http(settings, SystemClock(), 60.0, body.MAX_SIZE, lambda: None)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def ask(self, method: str, target: str, headers: Mapping[str, str], content: bytes) -> Response:
        """Send one request; ``target`` is the path below the API's base path, with its query.

        Neither the client's credentials nor its cookies are passed on. A connection that was cut is tried once more.
        Raises what RestClient raises where no answer comes: HistoryError, CertificateError, ConfigError.
        """
        request = self._http.request(method, self._http.settings.api_url + target)
        allowed = forwardable_headers(headers)
        answer = await self._http.send(request, content or None, allowed, whole_errors=True)
        if isinstance(answer, Retry) and answer.at_once:
            answer = await self._http.send(request, content or None, allowed, whole_errors=True)
        if isinstance(answer, Fatal):
            raise answer.error
        if isinstance(answer, Retry):
            raise answer.error()
        return answer


def forwardable_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that mean something on the other side: no credentials, no cookies."""
    names = ((name.lower(), value) for name, value in headers.items())
    return {name: value for name, value in names if name in _FORWARDED or name.startswith(_FAMILIES)}
